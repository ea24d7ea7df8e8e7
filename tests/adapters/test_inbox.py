"""The inbox: every event once, and what is said of those handled until their senders know."""

from collections import deque

import pytest

from lanebus.adapters import inbox
from lanebus.adapters.inbox import DELIVERED, EVENT_BYTES, Arrivals, Inbox, Stream
from lanebus.wire.batches import (
    EVENT_AFTER_GAP,
    EVENT_LATEST,
    EVENT_QUESTION,
    EVENT_REPLAYED,
    EVENT_VOLATILE,
    DownEvent,
)
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Settlement
from lanebus.wire.outcomes import Outcome, Reason

ONE, OTHER = b"1" * 16, b"2" * 16
FAILED = (Outcome.REFUSED, Reason.HANDLER_ERROR)


class Bench:
    """An inbox, and what it shares with the rest of its attachment."""

    def __init__(self) -> None:
        self.arrivals: Arrivals = tuple(deque() for _ in LANES)
        self.to_report: set[int] = set()
        self.inbox = Inbox(4, self.arrivals, self.to_report)

    def stream(self, origin: int = 1, process: bytes = ONE, lane: Lane = Lane.NORMAL) -> Stream:
        return self.inbox.stream(origin, lane) or self.inbox.know(origin, "server:s", process)[lane]

    def arrive(self, number: int, stream: Stream | None = None, *, flags: int = 0) -> bool:
        stream = stream or self.stream()
        return self.inbox.arrive(stream, DownEvent(stream.origins[-1], number, 0, flags, "t", b"xx"))

    def handle(self, result: tuple[Outcome, Reason] = DELIVERED) -> int:
        stream, event = self.arrivals[Lane.NORMAL].popleft()
        self.inbox.settle(stream, event, result)
        return event.number

    def said(self) -> list[tuple[int, Outcome, list[int]]]:
        """Origin, outcome and runs of what is settled with the broker now."""
        return [(each.origin, each.outcome, list(each.runs)) for each in self._settlements()]

    def _settlements(self) -> list[Settlement]:
        self.to_report.clear()
        return self.inbox.take_settlements(1 << 20)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_event_arrives_once(bench: Bench) -> None:
    assert bench.arrive(1)
    assert not bench.arrive(1)
    assert bench.inbox.duplicates == 1
    assert len(bench.arrivals[Lane.NORMAL]) == 1


def test_lanes_and_processes_number_for_themselves(bench: Bench) -> None:
    assert bench.arrive(1)
    assert bench.arrive(1, bench.stream(lane=Lane.LOW))
    assert bench.arrive(1, bench.stream(origin=2, process=OTHER))
    assert bench.inbox.duplicates == 0


def test_a_lower_number_than_the_highest_is_new_unless_it_was_seen(bench: Bench) -> None:
    bench.arrive(6)
    bench.handle()
    assert bench.arrive(5)
    assert not bench.arrive(6)


def test_nothing_is_said_of_what_is_not_handled(bench: Bench) -> None:
    bench.arrive(1)
    assert not bench.arrive(1)
    assert bench.to_report == set()
    assert bench.said() == []


def test_what_is_handled_is_said_once_in_runs_by_outcome(bench: Bench) -> None:
    for number in (1, 2, 3, 4, 6):
        bench.arrive(number)
    for result in (DELIVERED, DELIVERED, FAILED, DELIVERED, DELIVERED):
        bench.handle(result)
    assert bench.to_report == {4}
    assert bench.inbox.handled_bytes == 10 + 5 * EVENT_BYTES
    assert bench.said() == [
        (1, Outcome.DELIVERED, [1, 2, 4, 4, 6, 6]),
        (1, Outcome.REFUSED, [3, 3]),
    ]
    assert bench.inbox.handled_bytes == 0
    assert bench.said() == []


def test_a_duplicate_of_what_was_handled_gets_its_first_result(bench: Bench) -> None:
    bench.arrive(1)
    bench.handle(FAILED)
    bench.said()
    assert not bench.arrive(1)
    assert bench.to_report == {4}
    assert bench.said() == [(1, Outcome.REFUSED, [1, 1])]


def test_what_is_below_the_base_is_forgotten_and_an_echo_of_it_is_nothing(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.arrive(number)
        bench.handle()
    bench.said()
    bench.stream().rebase(3)
    assert bench.stream().seen == {3: DELIVERED}
    assert not bench.arrive(1)
    assert not bench.arrive(2)
    assert bench.said() == []
    bench.stream().rebase(2)
    assert bench.stream().base == 3


def test_what_waits_while_its_sender_learns_its_end_elsewhere_is_handled_once_and_not_remembered(
    bench: Bench,
) -> None:
    bench.arrive(1)
    bench.stream().rebase(2)
    assert not bench.arrive(1)
    assert bench.handle() == 1
    assert bench.stream().seen == {}


def test_after_a_resume_everything_that_is_remembered_is_said_again(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.arrive(number)
    bench.handle()
    bench.handle(FAILED)
    assert bench.said() == [(1, Outcome.DELIVERED, [1, 1]), (1, Outcome.REFUSED, [2, 2])]
    bench.inbox.report_again()
    assert bench.to_report == {4}
    assert bench.said() == [(1, Outcome.DELIVERED, [1, 1]), (1, Outcome.REFUSED, [2, 2])]


def test_a_resume_with_nothing_handled_says_nothing(bench: Bench) -> None:
    bench.arrive(1)
    bench.inbox.report_again()
    assert bench.to_report == set()


def test_a_sender_that_came_back_under_another_number_is_the_same_sender(bench: Bench) -> None:
    bench.arrive(1)
    assert not bench.arrive(1, bench.stream(origin=9))
    bench.handle()
    # The broker may hold the event under both numbers; it ignores what it does not hold.
    assert bench.said() == [(1, Outcome.DELIVERED, [1, 1]), (9, Outcome.DELIVERED, [1, 1])]


def test_at_a_new_broker_nothing_is_said_under_the_numbers_of_the_old_one(bench: Bench) -> None:
    for number in (1, 2):
        bench.arrive(number)
    bench.handle()
    bench.inbox.forget_origins()
    bench.handle()
    assert bench.said() == []
    assert bench.inbox.stream(1, Lane.NORMAL) is None
    # The sender comes back with a new number, and sends both again: now they are settled.
    stream = bench.stream(origin=5)
    assert not bench.arrive(1, stream)
    assert not bench.arrive(2, stream)
    assert bench.said() == [(5, Outcome.DELIVERED, [1, 2])]


def test_a_replay_that_comes_after_a_later_event_ends_without_a_handler(bench: Bench) -> None:
    bench.arrive(5)
    bench.handle()
    assert not bench.arrive(3, flags=EVENT_REPLAYED)
    assert bench.arrive(6, flags=EVENT_REPLAYED)
    assert bench.inbox.out_of_order == 1
    assert bench.said() == [(1, Outcome.DELIVERED, [5, 5]), (1, Outcome.UNKNOWN, [3, 3])]
    # It is said again as it was said first.
    assert not bench.arrive(3, flags=EVENT_REPLAYED)
    assert bench.said() == [(1, Outcome.UNKNOWN, [3, 3])]


def test_a_replay_of_what_fell_into_a_gap_ends_as_dropped(bench: Bench) -> None:
    bench.arrive(2)
    bench.arrive(7, flags=EVENT_AFTER_GAP)
    for number in (1, 4):
        assert not bench.arrive(number, flags=EVENT_REPLAYED)
    assert bench.said() == [(1, Outcome.UNKNOWN, [1, 1]), (1, Outcome.DROPPED, [4, 4])]
    stream = bench.stream()
    stream.rebase(7)
    assert stream.gaps == []


def test_a_lower_number_that_is_no_replay_is_handled(bench: Bench) -> None:
    bench.arrive(5)
    assert bench.arrive(3)


def test_what_went_elsewhere_is_forgotten_unless_it_was_handled_and_may_come_back(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.arrive(number)
    bench.handle()
    stream = bench.stream()
    assert stream.revoke([1, 3, 9, 9]) == {2, 3}
    assert stream.highest == 1
    assert bench.arrive(2, flags=EVENT_REPLAYED)
    assert not bench.arrive(1)


@pytest.mark.parametrize(
    ("flags", "outcome"),
    [
        (EVENT_QUESTION, Outcome.EXPIRED),
        (EVENT_QUESTION | EVENT_VOLATILE, Outcome.DROPPED),
        (EVENT_QUESTION | EVENT_LATEST, Outcome.SUPERSEDED),
    ],
)
def test_a_question_about_what_was_never_seen_is_answered_and_remembered(
    bench: Bench, flags: int, outcome: Outcome
) -> None:
    stream = bench.stream()
    assert not bench.inbox.arrive(stream, DownEvent(1, 5, 0, flags, "t", b""))
    assert bench.said() == [(1, outcome, [5, 5])]
    # The event itself comes too late.
    assert not bench.arrive(5)
    assert bench.said() == [(1, outcome, [5, 5])]
    assert len(bench.arrivals[Lane.NORMAL]) == 0


def test_a_question_about_what_was_seen_gets_its_end_as_soon_as_there_is_one(bench: Bench) -> None:
    bench.arrive(1)
    question = DownEvent(1, 1, 0, EVENT_QUESTION, "t", b"")
    assert not bench.inbox.arrive(bench.stream(), question)
    assert bench.said() == []
    bench.handle(FAILED)
    assert bench.said() == [(1, Outcome.REFUSED, [1, 1])]
    bench.inbox.arrive(bench.stream(), question)
    assert bench.said() == [(1, Outcome.REFUSED, [1, 1])]


def test_a_latest_value_says_nothing_of_the_order_of_other_events(bench: Bench) -> None:
    stream = bench.stream()
    assert bench.inbox.arrive(stream, DownEvent(1, 9, 0, EVENT_LATEST, "t", b""))
    assert bench.inbox.arrive(stream, DownEvent(1, 6, 0, EVENT_REPLAYED, "t", b""))
    assert bench.inbox.arrive(stream, DownEvent(1, 4, 0, EVENT_REPLAYED | EVENT_LATEST, "t", b""))
    assert not bench.inbox.arrive(stream, DownEvent(1, 5, 0, EVENT_REPLAYED, "t", b""))
    assert bench.inbox.out_of_order == 1


def test_what_waits_past_its_deadline_is_settled_as_expired(bench: Bench) -> None:
    bench.arrive(1)
    stream, event = bench.arrivals[Lane.NORMAL][0]
    assert not bench.inbox.expire(stream, event, 100.0)
    bench.inbox.deadlines[stream, 1] = 50.0
    assert not bench.inbox.expire(stream, event, 49.9)
    assert bench.inbox.expire(stream, event, 50.0)
    assert bench.said() == [(1, Outcome.EXPIRED, [1, 1])]
    assert bench.inbox.deadlines == {}


def test_settlements_are_taken_in_portions_until_there_are_none(bench: Bench) -> None:
    for origin in range(1, 101):
        stream = bench.stream(origin, origin.to_bytes(16, "big"))
        bench.arrive(1, stream)
        bench.handle()
    portions = []
    while bench.to_report:
        bench.to_report.clear()
        portions.append(bench.inbox.take_settlements(60))
    assert [len(portion) for portion in portions] == [10] * 10
    assert sorted(each.origin for portion in portions for each in portion) == list(range(1, 101))


def test_a_settlement_that_is_longer_than_a_portion_is_cut(bench: Bench) -> None:
    for number in range(1, 201):
        bench.arrive(number)
    for number in range(1, 201):
        bench.handle(DELIVERED if number % 2 else FAILED)
    said: list[int] = []
    while bench.to_report:
        bench.to_report.clear()
        for each in bench.inbox.take_settlements(20):
            assert len(each.runs) <= 20
            said += each.runs[::2]
    assert sorted(said) == list(range(1, 201))


def test_a_sender_that_is_finished_is_forgotten_unless_something_of_it_waits(bench: Bench) -> None:
    bench.arrive(1)
    bench.inbox.finished(1)
    assert bench.inbox.senders == 1
    bench.handle()
    bench.inbox.finished(1)
    assert bench.inbox.senders == 0
    assert bench.said() == []
    bench.inbox.finished(1)


@pytest.mark.patches
def test_of_too_many_senders_one_is_forgotten_of_which_nothing_has_to_be_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_SENDERS", 2)
    streams = [bench.stream(origin, bytes(15) + bytes([origin])) for origin in (1, 2)]
    for stream in streams:
        bench.arrive(1, stream)
        bench.handle()
    assert len(bench.said()) == 2
    bench.arrive(2, streams[1])
    bench.handle()
    bench.stream(3, OTHER)
    assert bench.inbox.senders == 2
    assert bench.said() == [(2, Outcome.DELIVERED, [2, 2])]
