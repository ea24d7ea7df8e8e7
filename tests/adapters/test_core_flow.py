"""An attachment's core while it is up: what leaves when, control in few messages, and goodbyes."""

import pytest
from tests.adapters.hand import Hand, kinds

from lanebus.adapters.actions import HangUp, State
from lanebus.adapters.dispatch import dispatch
from lanebus.adapters.errors import Closed
from lanebus.adapters.handler_times import HandlerTimes
from lanebus.adapters.requests import Failed, Request
from lanebus.wire.batches import EVENT_REDELIVERED
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, TIMER_SLACK_S, Lane
from lanebus.wire.messages import Ack, Bye, Done, Drain, Leave, Pause, Settle, Settlement
from lanebus.wire.outcomes import Outcome, Reason


@pytest.fixture
def bench() -> Hand:
    return Hand().up()


def batches(bench: Hand) -> list[tuple[Lane, int]]:
    """Lane and event count of the batches that leave now."""
    return [(lane, header.event_count) for lane, kind, header in bench.sent() if kind is Kind.BATCH]


def test_the_first_turn_after_a_quiet_interval_sends_at_once_critical_first(bench: Hand) -> None:
    for lane in reversed(LANES):
        bench.send(lane=lane)
        bench.send(lane=lane)
    bench.end_turn()
    assert batches(bench) == [(Lane.CRITICAL, 2), (Lane.NORMAL, 2), (Lane.LOW, 2)]


def test_dense_traffic_leaves_once_per_interval_and_the_core_says_when(bench: Hand) -> None:
    bench.send()
    bench.end_turn()
    bench.take()
    sent = 0
    for _ in range(200):
        bench.now += 0.005
        bench.send()
        bench.end_turn()
        sent += len(batches(bench))
        if bench.core.outgoing.lanes[Lane.NORMAL].queue:
            timer = bench.core.next_timer()
            assert timer is not None
            assert timer <= bench.now + 0.05
        bench.say(Kind.ACK, Ack([0, bench.core.outgoing.lanes[Lane.NORMAL].next_number - 1, 0]))
    # One second; an interval is 50 ms, and no event is held longer than 45.
    assert 19 <= sent <= 23


def test_a_turn_sends_what_would_miss_its_hold_before_the_next_one(bench: Hand) -> None:
    bench.send(lane=Lane.CRITICAL)
    bench.end_turn()
    bench.take()
    bench.now += 0.005
    bench.send(lane=Lane.CRITICAL)
    bench.end_turn(next_turn_in_s=0.011)
    assert batches(bench) == []
    bench.end_turn(next_turn_in_s=0.0121)
    assert batches(bench) == [(Lane.CRITICAL, 1)]


def test_flush_sends_everything_now(bench: Hand) -> None:
    for _ in range(3):
        bench.send()
        bench.send(lane=Lane.LOW)
        bench.core.flush(bench.now)
    assert batches(bench) == [(Lane.NORMAL, 1), (Lane.LOW, 1)] * 3


def test_nothing_leaves_on_a_lane_that_is_not_welcome_yet() -> None:
    bench = Hand().start()
    bench.send()
    bench.core.flush(bench.now)
    bench.end_turn()
    assert batches(bench) == []
    bench.welcome()
    bench.end_turn()
    assert batches(bench) == [(Lane.NORMAL, 1)]


def test_control_of_all_lanes_is_one_message_per_interval(bench: Hand) -> None:
    bench.arrive(1)
    bench.arrive(1, lane=Lane.LOW)
    bench.handle_all()
    bench.end_turn()
    assert bench.sent() == []
    due = bench.core.next_timer()
    assert due == pytest.approx(bench.now + 0.2)
    bench.now += 0.1
    bench.arrive(2)
    bench.end_turn()
    assert bench.sent() == []
    bench.now += 0.1 - TIMER_SLACK_S / 2
    bench.end_turn()
    ((lane, kind, settle),) = bench.sent()
    assert (lane, kind, settle.acks) == (Lane.CRITICAL, Kind.SETTLE, [0, 2, 1])
    assert [each.lane for each in settle.settlements] == [Lane.NORMAL, Lane.LOW]
    bench.now += 10
    bench.end_turn()
    assert Kind.SETTLE not in kinds(bench.sent())


def test_half_a_window_is_acknowledged_at_once() -> None:
    bench = Hand().up(window_batches=8)
    for number in (1, 2, 3):
        bench.arrive(number)
        bench.end_turn()
    assert bench.sent() == []
    bench.arrive(4)
    bench.end_turn()
    assert bench.sent() == [(Lane.CRITICAL, Kind.ACK, Ack([0, 4, 0]))]


def test_a_quarter_of_the_credit_is_settled_at_once() -> None:
    bench = Hand().up(credit_bytes=1000)
    bench.arrive(1, size=210)
    bench.handle_all()
    bench.end_turn()
    assert bench.sent() == []
    bench.arrive(2, size=20)
    bench.end_turn()
    assert bench.sent() == [], "it is not handled"
    bench.handle_all()
    bench.end_turn()
    assert kinds(bench.sent()) == [Kind.SETTLE]


def test_what_the_broker_waits_for_is_settled_at_the_end_of_the_turn(bench: Hand) -> None:
    bench.on("t", lambda event: None)
    bench.arrive(1, flags=EVENT_REDELIVERED)
    dispatch(bench.core, lambda: bench.now, float("inf"), HandlerTimes("server:a"))
    assert bench.core.next_timer() == float("-inf")
    bench.end_turn()
    assert kinds(bench.sent()) == [Kind.SETTLE]
    bench.core.lost(bench.now)
    bench.core.settle_soon()
    bench.end_turn()
    assert bench.sent() == []


def test_a_batch_on_its_way_acknowledges_its_lane_and_saves_a_message(bench: Hand) -> None:
    bench.arrive(1)
    bench.send()
    bench.end_turn()
    ((_, _, header),) = bench.sent()
    assert header.ack == 1
    bench.now += 0.2
    bench.end_turn()
    assert bench.sent() == []


def test_settlements_reach_their_session_and_those_of_none_are_passed_over(bench: Hand) -> None:
    bench.send()
    bench.send()
    bench.core.flush(bench.now)
    bench.say(
        Kind.SETTLE,
        Settle(
            [0, 1, 0],
            [
                Settlement(0, 0, Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [1, 1]),
                Settlement(9, 0, Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [1, 1]),
                Settlement(0, 0, Lane.NORMAL, Outcome.REFUSED, Reason.NO_SERVICE, [2, 2]),
            ],
        ),
    )
    assert bench.session.outbox.books[Lane.NORMAL].as_list() == [2, 1, 0, 0, 0, 1, 0]
    assert [(each.number, each.reason) for _, each in bench.core.told] == [(2, Reason.NO_SERVICE)]
    assert bench.core.outgoing.lanes[Lane.NORMAL].unsent() == []


def test_a_paused_destination_waits_until_it_is_unpaused(bench: Hand) -> None:
    full = Pause(session=0, lane=Lane.NORMAL, destination="server:full")
    bench.say(Kind.PAUSE, full)
    bench.send(to="server:full")
    bench.send(to="server:b")
    bench.core.flush(bench.now)
    assert batches(bench) == [(Lane.NORMAL, 1)]
    bench.say(Kind.UNPAUSE, full)
    bench.core.flush(bench.now)
    assert batches(bench) == [(Lane.NORMAL, 1)]


def test_a_refused_request_is_kept_for_the_program(bench: Hand) -> None:
    bench.core.request(Request(Kind.LEAVE, lambda n: Leave(request=n, group="g", member="x"), "leaving"))
    bench.say(Kind.DONE, Done(request=1, error=501, detail="no session of x"))
    assert bench.core.requests.failed == [Failed("leaving", 501, "no session of x")]


def test_an_event_depends_on_the_requests_before_it(bench: Hand) -> None:
    bench.core.request(Request(Kind.LEAVE, lambda n: Leave(request=n, group="g", member="x"), "leaving"))
    bench.send()
    (event,) = bench.core.outgoing.lanes[Lane.NORMAL].queue
    assert event.after == 1


# A broker that is about to end


def test_while_the_broker_drains_events_are_held_and_nothing_is_due_for_them(bench: Hand) -> None:
    bench.say(Kind.DRAIN, Drain(deadline_ms=2000.0))
    for lane in LANES:
        bench.send(lane=lane)
    bench.core.flush(bench.now)
    bench.end_turn()
    bench.now += 1.0
    bench.end_turn()
    assert Kind.BATCH not in kinds(bench.sent())
    timer = bench.core.next_timer()
    assert timer is not None
    assert timer > bench.now
    assert bench.session.outbox.in_flight == 3


def test_while_the_broker_drains_what_was_handled_is_settled_in_the_same_turn(bench: Hand) -> None:
    bench.arrive(1)
    bench.end_turn()
    assert bench.sent() == []
    bench.say(Kind.DRAIN, Drain(deadline_ms=2000.0))
    bench.end_turn()
    assert kinds(bench.sent()) == [Kind.ACK]
    bench.handle_all()
    bench.end_turn()
    assert kinds(bench.sent()) == [Kind.SETTLE]


def test_what_was_held_goes_to_the_next_broker(bench: Hand) -> None:
    bench.say(Kind.DRAIN, Drain(deadline_ms=2000.0))
    bench.send(lane=Lane.CRITICAL)
    bench.say(Kind.BYE, Bye(reason="the broker is shutting down"))
    bench.again(epoch=b"another")
    bench.end_turn()
    assert batches(bench) == [(Lane.CRITICAL, 1)]


def test_a_request_without_an_answer_is_made_again_of_the_next_broker(bench: Hand) -> None:
    bench.say(Kind.DRAIN, Drain(deadline_ms=2000.0))
    leaving = Request(Kind.LEAVE, lambda n: Leave(request=n, group="g", member="x"), "leaving")
    bench.core.request(leaving, keep=False)
    assert kinds(bench.sent()) == [Kind.LEAVE]
    bench.say(Kind.BYE, Bye())
    bench.again(epoch=b"another")
    assert Kind.LEAVE in kinds(bench.sent())


def test_a_goodbye_says_all_that_is_left_to_say(bench: Hand) -> None:
    bench.arrive(1)
    bench.handle_all()
    bench.send()
    bench.session.outbox.abandon(Reason.CLOSED)
    bench.core.close("the match is over")
    assert kinds(sent := bench.sent()) == [Kind.SETTLE, Kind.BYE]
    assert sent[1][2].reason == "the match is over"
    assert sent[1][2].books == [(0, [[0] * 7, [1, 0, 0, 0, 0, 0, 1], [0] * 7])]
    assert bench.actions[-1] == HangUp(1.0)
    assert bench.state() is State.CLOSED
    bench.core.close("again")
    assert bench.take() == []


def test_without_a_link_there_is_nobody_to_say_goodbye_to() -> None:
    bench = Hand().start()
    bench.take()
    bench.core.close("closed")
    assert bench.take() == [HangUp(0.0)]


def test_a_closed_attachment_asks_for_nothing_more(bench: Hand) -> None:
    bench.core.close("closed")
    bench.take()
    request = Request(Kind.LEAVE, lambda n: Leave(request=n, group="g", member="x"), "leaving")
    with pytest.raises(Closed, match="server:a is closed"):
        bench.core.request(request)
    bench.end_turn()
    assert bench.take() == []


def test_a_session_closed_after_the_attachment_needs_no_request(bench: Hand) -> None:
    other = bench.core.open_session(1, "player:1", b"1" * 16, outbox_bytes=0, strict=False)
    bench.core.close("closed")
    bench.take()
    bench.core.end_session(other)
    assert bench.take() == []
    assert list(bench.core.sessions) == [0]
