"""Throttled sends: what is held back leaves again in order, when the broker says, and no faster than the limit."""

from typing import Any

import pytest
from tests.adapters.parts import accept, accept_on, sessions

from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.event import Unsettled
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.outgoing import Outgoing
from lanebus.adapters.throttle import STEP_S, Hold, ThrottledLane
from lanebus.wire.batches import EVENT_QUESTION, decode_up, ticks
from lanebus.wire.bodies import open_body
from lanebus.wire.header import decode_header
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Throttled
from lanebus.wire.outcomes import Outcome, Reason

LANE = Lane.NORMAL


def same(number: int) -> int:
    """What has become of a request's number where none is gone."""
    return number


def throttle(
    number: int,
    *,
    session: int = 0,
    wait_s: float = 1.0,
    events_per_s: float = 100.0,
    bytes_per_s: float = 0.0,
) -> Throttled:
    return Throttled(session, LANE, number, "events_per_s", wait_s * 1e3, events_per_s, bytes_per_s)


class Bench:
    def __init__(self) -> None:
        self.sessions = sessions()
        self.told: list[Unsettled] = []
        self.outgoing = Outgoing(self.sessions, BrokerClock(), lambda session, told: self.told.append(told))

    def put(self, count: int = 1, *, session: int = 0, **terms: Any) -> list[OutEvent]:
        """Accept events and queue them."""
        events = []
        for _ in range(count):
            fields: dict[str, Any] = {"mode": "reliable", "now": 0.0} | terms
            event = accept_on(self.sessions[session], **fields)
            self.outgoing.put(event)
            events.append(event)
        return events

    def leave(self, now: float = 0.0) -> list[tuple[int, int]]:
        """Let everything leave that may, and say which sessions' numbers did."""
        self.outgoing.turn(now)
        return [(event.session, event.number) for event in self.leaving(now)]

    def leaving(self, now: float) -> list[Any]:
        events: list[Any] = []
        for batch in self.outgoing.batches(LANE, now, incarnation=1, ack=0):
            header = decode_header(batch.frame, max_raw_bytes=1 << 20)
            events += decode_up(header, open_body(batch.frame, header)).events
        return events


@pytest.fixture
def bench() -> Bench:
    return Bench()


def numbers(left: list[tuple[int, int]]) -> list[int]:
    return [number for _, number in left]


def test_what_was_not_accepted_leaves_again_with_all_that_came_behind_it(bench: Bench) -> None:
    bench.put(10)
    assert numbers(bench.leave()) == list(range(1, 11))
    bench.put(2)
    bench.outgoing.throttle([throttle(7, wait_s=1.0, events_per_s=0.0, bytes_per_s=0.0)], 0.0)
    bench.put(1)
    assert bench.leave(0.5) == []
    assert bench.outgoing.turn_at == 1.0
    assert numbers(bench.leave(1.0)) == [7, 8, 9, 10, 11, 12, 13]
    bench.put(1)
    assert numbers(bench.leave(1.1)) == [14]
    assert bench.outgoing.throttled(1.1) == []


def test_it_goes_on_at_the_pace_of_the_limit(bench: Bench) -> None:
    bench.put(400)
    bench.leave()
    bench.outgoing.throttle([throttle(1, wait_s=1.0, events_per_s=100.0)], 0.0)
    left = 0
    now = 0.0
    while now < 3.0:
        now += 0.01
        left += len(bench.leave(now))
    assert left == pytest.approx(200, abs=6)


def test_what_a_limit_held_back_has_not_waited_for_company(bench: Bench) -> None:
    bench.put(2)
    bench.leave()
    bench.outgoing.throttle([throttle(1, wait_s=5.0, events_per_s=0.0)], 0.0)
    bench.outgoing.turn(5.0)
    (batch,) = bench.outgoing.batches(LANE, 5.02, incarnation=1, ack=0)
    header = decode_header(batch.frame, max_raw_bytes=1 << 20)
    assert decode_up(header, open_body(batch.frame, header)).held == pytest.approx(ticks(0.02), abs=1)


def test_bytes_have_a_pace_too(bench: Bench) -> None:
    events = bench.put(400)
    bench.leave()
    size = events[0].size
    bench.outgoing.lanes[LANE].ratio = 1.0
    bench.outgoing.throttle([throttle(1, wait_s=1.0, events_per_s=0.0, bytes_per_s=size * 20.0)], 0.0)
    now = 1.0
    left = 0
    while now < 3.0:
        now += 0.05
        bench.outgoing.lanes[LANE].ratio = 1.0
        left += len(bench.leave(now))
    assert left == pytest.approx(40, abs=3)


def test_a_pause_in_the_programs_turns_gives_no_burst(bench: Bench) -> None:
    bench.put(400)
    bench.leave()
    bench.outgoing.throttle([throttle(1, wait_s=0.0, events_per_s=100.0)], 0.0)
    bench.leave(0.01)
    assert len(bench.leave(60.0)) <= 100 * 4 * STEP_S + 1


def test_other_sessions_and_lanes_go_on(bench: Bench) -> None:
    bench.put(5)
    bench.leave()
    bench.outgoing.throttle([throttle(1)], 0.0)
    bench.put(1, session=1)
    assert bench.leave(0.1) == [(1, 1)]
    bench.outgoing.put(accept(bench.sessions[0], lane=Lane.LOW))
    assert len(bench.outgoing.lanes[Lane.LOW].queue) == 1


def test_another_throttle_takes_up_what_has_left_since(bench: Bench) -> None:
    bench.put(10)
    bench.leave()
    bench.outgoing.throttle([throttle(3, wait_s=0.1, events_per_s=0.0)], 0.0)
    assert numbers(bench.leave(0.1)) == list(range(3, 11))
    bench.outgoing.throttle([throttle(6, wait_s=0.1, events_per_s=0.0)], 0.2)
    assert numbers(bench.leave(0.3)) == list(range(6, 11))


def test_a_throttle_without_progress_waits_longer_each_time() -> None:
    hold = Hold()
    waits = []
    for _ in range(200):
        hold.throttled(throttle(1, wait_s=0.0), [], 0.0)
        waits.append(hold.due)
    assert waits[0] == 0.0
    assert sum(waits[1:40]) > 0.0
    assert max(waits) <= 1.0
    hold.throttled(throttle(2, wait_s=0.25), [], 0.0)
    assert hold.due == 0.25


def test_what_is_settled_meanwhile_does_not_leave_again(bench: Bench) -> None:
    bench.put(5)
    bench.leave()
    bench.outgoing.throttle([throttle(1, wait_s=0.5, events_per_s=0.0)], 0.0)
    bench.sessions[0].outbox.settle(LANE, Outcome.DELIVERED, Reason.NONE, [2, 3])
    assert numbers(bench.leave(0.5)) == [1, 4, 5]


def test_what_is_late_and_never_left_ends_while_it_is_held(bench: Bench) -> None:
    bench.put(2)
    bench.leave()
    bench.outgoing.throttle([throttle(1, wait_s=5.0)], 0.0)
    bench.put(1, ttl_ms=1_000.0)
    bench.leave(2.0)
    assert [(told.number, told.outcome) for told in bench.told] == [(3, Outcome.EXPIRED)]


def test_what_has_left_keeps_its_number_whatever_becomes_of_it(bench: Bench) -> None:
    # The broker waits for the very event that it named.
    bench.put(1, ttl_ms=1_000.0)
    bench.leave()
    bench.outgoing.throttle([throttle(1, wait_s=5.0)], 0.0)
    bench.leave(2.0)
    assert bench.told == []
    bench.outgoing.turn(5.0)
    (event,) = bench.leaving(5.0)
    assert event.number == 1
    assert event.flags & EVENT_QUESTION


def test_a_newer_value_takes_the_place_of_one_that_is_held_and_never_left(bench: Bench) -> None:
    bench.put(1)
    bench.leave()
    bench.outgoing.throttle([throttle(1, wait_s=0.5, events_per_s=0.0)], 0.0)
    for _ in range(5):
        bench.put(1, mode="latest", key="k")
    assert [told.outcome for told in bench.told] == [Outcome.SUPERSEDED] * 4
    assert numbers(bench.leave(0.5)) == [1, 6]


def test_a_volatile_event_that_was_not_accepted_leaves_again_while_it_is_good(bench: Bench) -> None:
    bench.put(2, mode="volatile")
    bench.leave()
    bench.outgoing.throttle([throttle(1, wait_s=0.5, events_per_s=2.0)], 0.0)
    bench.outgoing.turn(0.5)
    (first,) = bench.leaving(0.5)
    assert first.number == 1
    assert not first.flags & EVENT_QUESTION
    bench.outgoing.turn(1.1)
    (second,) = bench.leaving(1.1)
    assert second.number == 2
    assert second.flags & EVENT_QUESTION


def test_with_fresh_links_all_is_forgotten_and_each_event_leaves_once(bench: Bench) -> None:
    bench.put(6)
    bench.leave()
    bench.outgoing.throttle([throttle(3)], 0.0)
    bench.put(1)
    bench.outgoing.resume(same)
    assert bench.outgoing.throttled(0.0) == []
    assert numbers(bench.leave(0.1)) == list(range(1, 8))


def test_a_new_broker_gets_everything_once(bench: Bench) -> None:
    bench.put(6)
    bench.leave()
    bench.outgoing.throttle([throttle(3)], 0.0)
    bench.put(1)
    bench.outgoing.restart(same)
    assert numbers(bench.leave(0.1)) == list(range(1, 8))


def test_a_destination_that_has_room_again_waits_for_the_limit(bench: Bench) -> None:
    bench.put(2)
    bench.leave()
    bench.outgoing.pause(0, LANE, "server:a")
    bench.put(1)
    bench.outgoing.throttle([throttle(1, wait_s=0.5, events_per_s=0.0)], 0.0)
    bench.outgoing.unpause(0, LANE, "server:a")
    assert bench.leave(0.1) == []
    assert numbers(bench.leave(0.5)) == [1, 2, 3]


def test_a_closed_session_holds_nothing(bench: Bench) -> None:
    bench.put(2, session=1)
    bench.leave()
    bench.outgoing.throttle([throttle(1, session=1)], 0.0)
    bench.outgoing.discard(1)
    assert bench.outgoing.throttled(0.0) == []
    bench.outgoing.throttle([throttle(1, session=99)], 0.0)
    assert bench.outgoing.throttled(0.0) == []


def test_the_program_sees_what_is_held_by_which_limit(bench: Bench) -> None:
    bench.put(4)
    bench.leave()
    bench.outgoing.throttle([throttle(2, wait_s=0.8)], 0.0)
    (seen,) = bench.outgoing.throttled(0.3)
    assert seen == ThrottledLane(bench.sessions[0].name, LANE, "events_per_s", 3, pytest.approx(0.5))  # type: ignore[arg-type]
