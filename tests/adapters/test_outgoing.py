"""What goes out of an attachment: lanes, paused destinations, and what is sent again."""

from typing import Any

import pytest
from tests.adapters.down import welcome
from tests.adapters.parts import accept, accept_on, sessions

from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.event import Unsettled
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.outgoing import Outgoing
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Limits, Throttled
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.reports import WaitingLane


def same(number: int) -> int:
    """What has become of a request's number where none is gone."""
    return number


class Bench:
    def __init__(self) -> None:
        self.sessions = sessions()
        self.told: list[tuple[int, Unsettled]] = []
        self.outgoing = Outgoing(
            self.sessions, BrokerClock(), lambda session, told: self.told.append((session.index, told))
        )

    def put(self, to: str | list[str] | None, *, session: int = 0, lane: Lane = Lane.NORMAL) -> OutEvent:
        event = accept(self.sessions[session], to=to, lane=lane)
        self.outgoing.put(event)
        return event

    def queued(self, lane: Lane = Lane.NORMAL) -> list[tuple[int, int]]:
        """Session and number of what waits to leave."""
        return [(event.session, event.number) for event in self.outgoing.lanes[lane].queue]

    def leave(self, lane: Lane = Lane.NORMAL) -> int:
        """Let everything leave that may; how many batches it took."""
        return len(list(self.outgoing.batches(lane, 1.0, incarnation=1, ack=0)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_events_go_to_their_lanes(bench: Bench) -> None:
    bench.put("all", lane=Lane.LOW)
    bench.put("all", lane=Lane.CRITICAL)
    assert bench.queued(Lane.LOW) == bench.queued(Lane.CRITICAL) == [(0, 1)]
    assert bench.queued(Lane.NORMAL) == []


def test_batches_come_until_the_queue_is_empty_or_the_window_full(bench: Bench) -> None:
    bench.outgoing.window.batch_events = 1
    bench.outgoing.window.batches = 3
    for _ in range(5):
        bench.put("all")
    assert bench.leave() == 3
    assert bench.queued() == [(0, 4), (0, 5)]


def test_a_paused_destination_holds_its_events_of_that_session_and_lane_alone(bench: Bench) -> None:
    bench.outgoing.pause(0, Lane.NORMAL, "player:9")
    bench.put("player:9")
    bench.put("player:8")
    bench.put("player:9", session=1)
    bench.put("player:9", lane=Lane.LOW)
    bench.put("player:9")
    assert bench.queued() == [(0, 2), (1, 1)]
    assert bench.queued(Lane.LOW) == [(0, 1)]
    bench.outgoing.unpause(0, Lane.NORMAL, "player:9")
    assert bench.queued() == [(0, 2), (1, 1), (0, 1), (0, 3)]
    bench.put("player:9")
    assert bench.queued()[-1] == (0, 4)


def test_a_pause_told_twice_loses_nothing(bench: Bench) -> None:
    bench.outgoing.pause(0, Lane.NORMAL, "player:9")
    bench.put("player:9")
    bench.outgoing.pause(0, Lane.NORMAL, "player:9")
    bench.outgoing.unpause(0, Lane.NORMAL, "player:9")
    bench.outgoing.unpause(0, Lane.NORMAL, "player:9")
    assert bench.queued() == [(0, 1)]


def test_events_that_leave_the_choice_to_the_broker_are_paused_together(bench: Bench) -> None:
    bench.outgoing.pause(0, Lane.NORMAL, "")
    bench.put(None)
    bench.put("service:match")
    assert bench.queued() == [(0, 2)]
    bench.outgoing.unpause(0, Lane.NORMAL, "")
    assert bench.queued() == [(0, 2), (0, 1)]


def test_after_a_resume_all_that_was_not_acknowledged_goes_again_in_order(bench: Bench) -> None:
    bench.put("player:1")
    bench.put("player:2", session=1)
    bench.leave()
    bench.outgoing.pause(0, Lane.NORMAL, "player:9")
    bench.put("player:9")
    bench.put("player:1")
    bench.outgoing.resume(same)
    # The broker tells again who is full.
    assert bench.queued() == [(0, 1), (0, 2), (0, 3), (1, 1)]
    bench.put("player:9")
    assert bench.queued()[-1] == (0, 4)


def test_after_a_resume_what_was_acknowledged_does_not_go_again(bench: Bench) -> None:
    bench.put("player:1")
    bench.leave()
    bench.put("player:1")
    bench.leave()
    bench.outgoing.lanes[Lane.NORMAL].acknowledged(1)
    bench.outgoing.resume(same)
    assert bench.queued() == [(0, 2)]


def test_a_broker_that_has_forgotten_gets_all_that_is_unsettled_behind_the_requests(bench: Bench) -> None:
    for _ in range(3):
        bench.put("player:1")
    bench.put("player:1", session=1)
    bench.leave()
    bench.outgoing.lanes[Lane.NORMAL].acknowledged(1)
    bench.sessions[0].outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [2, 2])
    bench.outgoing.pause(0, Lane.NORMAL, "player:9")
    bench.put("player:9")
    bench.outgoing.restart(lambda _: 7)
    # What the broker before may have had comes first, and is said to be a replay.
    assert bench.queued() == [(0, 1), (0, 3), (1, 1), (0, 4)]
    queue = bench.outgoing.lanes[Lane.NORMAL].queue
    assert [event.replayed for event in queue] == [True, True, True, False]
    assert {event.after for event in queue} == {7}


def test_a_closed_session_takes_its_events_along_the_held_ones_too(bench: Bench) -> None:
    bench.outgoing.pause(1, Lane.NORMAL, "player:9")
    bench.put("player:9", session=1)
    bench.put("player:8", session=1)
    bench.put("player:8")
    bench.outgoing.discard(1)
    assert bench.queued() == [(0, 1)]
    bench.outgoing.unpause(1, Lane.NORMAL, "player:9")
    assert bench.queued() == [(0, 1)]


# Modes and times to live


def ends(bench: Bench) -> list[tuple[int, Outcome, Reason]]:
    """What was told of events that ended before they left, since it was last asked."""
    told = [(each.number, each.outcome, each.reason) for _, each in bench.told]
    bench.told.clear()
    return told


def put_on(bench: Bench, mode: str, **terms: Any) -> OutEvent:
    event = accept_on(bench.sessions[0], mode, **terms)
    bench.outgoing.put(event)
    return event


@pytest.mark.parametrize("paused", [False, True])
def test_a_newer_value_has_the_place_of_the_older_one_wherever_that_waits(bench: Bench, paused: bool) -> None:
    if paused:
        bench.outgoing.pause(0, Lane.NORMAL, "server:a")
    put_on(bench, "latest", key="k", payload=b"old")
    bench.put("server:a")
    put_on(bench, "latest", key="k", payload=b"new, longer", ttl_ms=5_000)
    assert ends(bench) == [(1, Outcome.SUPERSEDED, Reason.NEWER_VALUE)]
    bench.outgoing.unpause(0, Lane.NORMAL, "server:a")
    lane = bench.outgoing.lanes[Lane.NORMAL]
    assert [(event.number, event.payload) for event in lane.queue] == [(3, b"new, longer"), (2, b"x")]
    assert lane.queued_bytes == sum(event.size for event in lane.queue)
    assert lane.deadline == 6.0
    assert lane.queue[0].sent_at == 1.0, "its hold counts from the first value in its place"


def test_what_has_left_is_not_replaced(bench: Bench) -> None:
    old = put_on(bench, "latest", key="k")
    bench.leave()
    put_on(bench, "latest", key="k")
    assert ends(bench) == []
    assert bench.queued() == [(0, 2)]
    assert old.terms is not None
    assert old.terms.outdated


@pytest.mark.parametrize("paused", [False, True])
def test_what_is_late_is_ended_wherever_it_waits_at_most_ten_times_a_second(
    bench: Bench, paused: bool
) -> None:
    if paused:
        bench.outgoing.pause(0, Lane.NORMAL, "server:a")
    for ttl_ms in (500, 520, 5_000):
        put_on(bench, "reliable", ttl_ms=ttl_ms)
    bench.put("server:a")
    assert bench.outgoing.expires_at == 1.5
    bench.outgoing.expire(1.49)
    assert ends(bench) == []
    bench.outgoing.expire(1.51)
    assert ends(bench) == [(1, Outcome.EXPIRED, Reason.TOO_LATE)]
    assert bench.outgoing.expires_at == pytest.approx(1.61)
    bench.outgoing.expire(1.6)
    assert ends(bench) == []
    bench.outgoing.expire(1.62)
    assert ends(bench) == [(2, Outcome.EXPIRED, Reason.TOO_LATE)]
    assert bench.outgoing.expires_at == 6.0
    bench.outgoing.unpause(0, Lane.NORMAL, "server:a")
    assert bench.queued() == [(0, 3), (0, 4)]
    assert bench.sessions[0].outbox.withheld[Lane.NORMAL] == [0, 2, 0, 0]


def test_what_is_late_when_it_should_leave_does_not(bench: Bench) -> None:
    put_on(bench, "volatile", now=-0.1)
    bench.put("server:a")
    assert bench.leave() == 1
    assert ends(bench) == [(1, Outcome.DROPPED, Reason.TOO_LATE)]
    put_on(bench, "volatile", now=-0.1)
    assert bench.leave() == 0
    assert ends(bench) == [(3, Outcome.DROPPED, Reason.TOO_LATE)]
    assert bench.outgoing.lanes[Lane.NORMAL].queued_bytes == 0


def test_what_left_and_is_to_leave_again_is_never_ended_here(bench: Bench) -> None:
    put_on(bench, "reliable", ttl_ms=500)
    put_on(bench, "volatile")
    bench.leave()
    bench.outgoing.resume(lambda after: after)
    put_on(bench, "reliable", ttl_ms=500)
    bench.outgoing.expire(9.0)
    assert ends(bench) == [(3, Outcome.EXPIRED, Reason.TOO_LATE)]
    assert bench.queued() == [(0, 1), (0, 2)]


def test_a_volatile_event_without_room_is_dropped_at_once(bench: Bench) -> None:
    bench.sessions[0].outbox.limit_bytes = 60
    put_on(bench, "volatile")
    put_on(bench, "volatile")
    assert ends(bench) == [(2, Outcome.DROPPED, Reason.NO_ROOM)]
    assert bench.sessions[0].outbox.turned_away == 1
    assert bench.queued() == [(0, 1)]


def test_what_was_abandoned_meanwhile_is_not_ended_again(bench: Bench) -> None:
    put_on(bench, "reliable", ttl_ms=500)
    bench.sessions[0].outbox.abandon(Reason.CLOSED)
    bench.outgoing.expire(2.0)
    assert ends(bench) == []


def test_what_may_not_leave_is_counted_by_session_and_lane_whatever_holds_it(bench: Bench) -> None:
    bench.put("all")
    assert bench.outgoing.waiting() == {}, "what leaves with the next batch does not wait"
    bench.leave()
    bench.outgoing.pause(1, Lane.LOW, "player:9")
    paused = [bench.put("player:9", session=1, lane=Lane.LOW) for _ in range(2)]
    held = [bench.put("all", lane=Lane.CRITICAL) for _ in range(3)]
    bench.leave(Lane.CRITICAL)
    bench.outgoing.throttle(
        [Throttled(0, Lane.CRITICAL, held[0].number, "events_per_s", 900.0, 1.0, 0.0)], 1.0
    )
    bench.outgoing.window.batches = 1
    behind = [bench.put("all") for _ in range(4)]
    assert bench.leave() == 0
    assert bench.outgoing.waiting() == {
        0: [
            WaitingLane(Lane.CRITICAL, 3, sum(event.size for event in held)),
            WaitingLane(Lane.NORMAL, 4, sum(event.size for event in behind)),
        ],
        1: [WaitingLane(Lane.LOW, 2, sum(event.size for event in paused))],
    }
    bench.outgoing.unpause(1, Lane.LOW, "player:9")
    assert 1 not in bench.outgoing.waiting()


def test_what_a_broker_with_smaller_limits_would_refuse_ends_alone_wherever_it_waits(bench: Bench) -> None:
    def put(size: int, to: str | list[str]) -> OutEvent:
        event = accept(bench.sessions[0], to=to, payload=b"x" * size)
        bench.outgoing.put(event)
        return event

    put(200, "server:b")
    assert bench.leave() == 1
    bench.outgoing.pause(0, Lane.NORMAL, "server:a")
    put(100, "server:b"), put(101, "server:b"), put(101, "server:a"), put(1, "server:a")
    put(1, ["player:1", "player:2"]), put(1, ["player:1", "player:2", "player:3"])
    bench.outgoing.adopt(welcome(limits=Limits(event_bytes=100, destinations=2)))
    assert [(told.number, told.outcome, told.reason) for _, told in bench.told] == [
        (3, Outcome.REFUSED, Reason.TOO_LARGE),
        (4, Outcome.REFUSED, Reason.TOO_LARGE),
        (7, Outcome.REFUSED, Reason.BAD_DESTINATION),
    ]
    assert bench.queued() == [(0, 2), (0, 6)]
    lane = bench.outgoing.lanes[Lane.NORMAL]
    assert lane.queued_bytes == sum(event.size for event in lane.queue)
    assert bench.sessions[0].outbox.withheld[Lane.NORMAL] == [0, 0, 0, 3]
    assert 1 in bench.sessions[0].outbox.unsettled[Lane.NORMAL], "it has left: its broker says how it ended"
    bench.outgoing.unpause(0, Lane.NORMAL, "server:a")
    assert bench.queued() == [(0, 2), (0, 6), (0, 5)]
