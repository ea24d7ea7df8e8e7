"""What goes out of an attachment: lanes, paused destinations, and what is sent again."""

import pytest
from tests.adapters.parts import accept, sessions

from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.outbox import OutEvent
from lanebus.adapters.outgoing import Outgoing
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason


def same(number: int) -> int:
    """What has become of a request's number where none is gone."""
    return number


class Bench:
    def __init__(self) -> None:
        self.sessions = sessions()
        self.outgoing = Outgoing(self.sessions, BrokerClock())

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
