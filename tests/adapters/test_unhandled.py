"""Events without a handler: they wait for one, for a while, and neither for ever nor in any number."""

import logging
from collections import deque

import pytest

from lanebus.adapters.inbox import Inbox
from lanebus.adapters.unhandled import (
    HANDLER_WAIT_S,
    MAX_UNHANDLED_BYTES,
    MAX_UNHANDLED_EVENTS,
    MAX_UNHANDLED_TOPICS_KNOWN,
    OTHER_TOPICS,
    Unhandled,
    checked_wait_s,
)
from lanebus.wire.batches import DownEvent
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.reports import MAX_UNHANDLED_TOPICS, UnhandledTopic

NO_HANDLER = (Outcome.REFUSED, Reason.NO_HANDLER)


class Bench:
    """A session's inbox, and a sender whose events find no handler."""

    def __init__(self) -> None:
        inbox = Inbox(0, tuple(deque() for _ in LANES), set())
        self.stream = inbox.know(1, "player:1", b"p" * 16)[Lane.NORMAL]
        self.unhandled = Unhandled("server:a")
        self._number = 0

    def put(self, topic: str = "t", now: float = 0.0, *, size: int = 0, wait_s: float = 10.0) -> float:
        self._number += 1
        self.stream.seen[self._number] = None
        event = DownEvent(1, self._number, 0, 0, topic, bytes(size))
        return self.unhandled.put(self.stream, event, now, wait_s)

    @property
    def refused(self) -> list[int]:
        return [number for number, end in self.stream.seen.items() if end == NO_HANDLER]

    @property
    def waiting(self) -> list[int]:
        return [event.number for _, event in self.unhandled]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_event_waits_for_its_time_and_is_refused_then(bench: Bench) -> None:
    assert bench.put(now=5.0) == 15.0
    assert bench.put(now=6.0) == 16.0
    assert bench.unhandled.end_overdue(14.9) == 15.0
    assert bench.refused == []
    assert bench.unhandled.end_overdue(15.0) == 16.0
    assert bench.refused == [1]
    assert bench.unhandled.end_overdue(99.0) == float("inf")
    assert (bench.refused, bench.waiting) == ([1, 2], [])


def test_once_one_has_waited_in_vain_further_ones_of_its_topic_do_not_wait(bench: Bench) -> None:
    bench.put(now=0.0)
    bench.unhandled.end_overdue(10.0)
    assert bench.put(now=11.0) == float("inf")
    assert bench.put("other", now=11.0) == 21.0
    assert (bench.refused, bench.waiting) == ([1, 2], [3])


def test_a_handler_gets_what_waits_in_order_and_the_topic_begins_anew(bench: Bench) -> None:
    for topic in ("t", "other", "t"):
        bench.put(topic)
    taken = bench.unhandled.take(lambda topic: topic == "t")
    assert [event.number for _, event in taken] == [1, 3]
    assert bench.waiting == [2]
    assert [row["topic"] for row in bench.unhandled.rows()] == ["other"]


def test_the_wait_goes_on_where_a_handler_of_something_else_was_added(bench: Bench) -> None:
    bench.put(now=0.0)
    bench.unhandled.take(lambda topic: False)
    assert bench.unhandled.end_overdue(9.9) == 10.0


def test_past_its_bounds_the_oldest_is_refused(bench: Bench) -> None:
    for _ in range(MAX_UNHANDLED_EVENTS + 2):
        bench.put()
    assert bench.refused == [1, 2]
    assert len(bench.unhandled) == MAX_UNHANDLED_EVENTS


def test_large_events_leave_the_credit_to_those_that_have_handlers(bench: Bench) -> None:
    for _ in range(9):
        bench.put(size=MAX_UNHANDLED_BYTES // 8)
    assert bench.refused == [1, 2]
    bench.put(size=2 * MAX_UNHANDLED_BYTES)
    assert bench.waiting == []


def test_topics_past_the_bound_do_not_wait_and_count_as_one(bench: Bench) -> None:
    for number in range(MAX_UNHANDLED_TOPICS_KNOWN):
        bench.put(f"t{number}", now=float(number))
        bench.unhandled.end_overdue(float(number) + 10.0)
    before = len(bench.refused)
    assert bench.put("one more", now=9e9) == bench.put("and another", now=9e9) == float("inf")
    assert len(bench.refused) == before + 2
    rows = {row["topic"]: row["refused"] for row in bench.unhandled.rows()}
    assert len(rows) == MAX_UNHANDLED_TOPICS_KNOWN + 1
    assert rows[OTHER_TOPICS] == 2


def test_a_report_names_what_waits_the_most_first_and_no_more_than_fits(bench: Bench) -> None:
    assert bench.unhandled.report() == []
    for number in range(MAX_UNHANDLED_TOPICS + 3):
        bench.put(f"t{number}")
    bench.put("t2")
    report = bench.unhandled.report()
    assert report[0] == UnhandledTopic("t2", "player:1", 2)
    assert len(report) == MAX_UNHANDLED_TOPICS


def test_the_program_is_told_once_of_a_topic(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lanebus"):
        for now in (0.0, 30.0, 60.0):
            bench.put(now=now)
            bench.unhandled.end_overdue(now + 10.0)
    assert [record.getMessage() for record in caplog.records] == [
        (
            "! server:a has no handler for t, which player:1 sends: "
            "such events are refused (no_handler) until it has one"
        )
    ]


def test_at_the_end_nothing_is_left_without_an_answer(bench: Bench) -> None:
    for topic in ("t", "other"):
        bench.put(topic)
    bench.unhandled.refuse_all()
    assert (bench.refused, bench.waiting) == ([1, 2], [])


def test_what_somebody_else_has_ended_is_forgotten(bench: Bench) -> None:
    for _ in range(3):
        bench.put()
    bench.unhandled.keep(lambda _, event: event.number != 2)
    assert (bench.waiting, bench.refused) == ([1, 3], [])
    assert bench.unhandled.report() == [UnhandledTopic("t", "player:1", 2)]


@pytest.mark.parametrize("given", [0, 0.0, 2.5, HANDLER_WAIT_S, 86_400])
def test_a_wait_is_a_number_of_seconds(given: float) -> None:
    assert checked_wait_s(given) == given


@pytest.mark.parametrize("given", [-1, float("nan"), float("inf"), 86_401, True, None, "10", 1 << 2000])
def test_what_is_no_wait_is_named(given: object) -> None:
    with pytest.raises(ValueError, match="handler_wait_s is"):
        checked_wait_s(given)
