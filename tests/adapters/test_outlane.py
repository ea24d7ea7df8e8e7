"""One lane's way out: when it leaves, in which batches, and how much may be under way."""

from inspect import isdatadescriptor

import pytest
from tests.adapters.parts import SESSIONS, accept, sessions

from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.outlane import LaneStats, OutLane, Window
from lanebus.wire.batches import UpBatch, decode_up
from lanebus.wire.bodies import open_body
from lanebus.wire.header import FLAG_LINKED, decode_header
from lanebus.wire.history import History, open_batch
from lanebus.wire.lanes import DEFAULT_TIMINGS, LANES, TIMER_SLACK_S, Lane
from lanebus.wire.outcomes import Outcome, Reason

INTERVAL_S, HOLD_S = DEFAULT_TIMINGS[Lane.NORMAL]


class Bench:
    """A lane on its own, and one session that sends on it."""

    def __init__(self) -> None:
        self.window = Window()
        self.out = OutLane(Lane.NORMAL, self.window)
        self.sessions = sessions()

    def put(self, now: float, *, payload: bytes = b"x", session: int = 0, after: int = 0) -> OutEvent:
        event = accept(self.sessions[session], now=now, payload=payload, after=after)
        self.out.put(event)
        return event

    def batch(self, now: float, *, ack: int = 0) -> UpBatch | None:
        made = self.out.next_batch(now, BrokerClock(), self.sessions, incarnation=7, ack=ack)
        if made is None:
            return None
        header = decode_header(made.frame, max_raw_bytes=1 << 22)
        assert (header.incarnation, header.ack, header.lane) == (7, ack, Lane.NORMAL)
        return decode_up(header, open_body(made.frame, header))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_first_events_after_a_quiet_interval_leave_at_once_and_together(bench: Bench) -> None:
    bench.put(10.0)
    bench.put(10.0)
    assert bench.out.should_leave(10.0, 10.0)
    batch = bench.batch(10.0)
    assert batch is not None
    assert [event.number for event in batch.events] == [1, 2]
    assert not bench.out.should_leave(10.0, 10.0), "nothing is left"
    assert bench.out.due is None


def test_while_traffic_is_dense_one_batch_leaves_per_interval(bench: Bench) -> None:
    bench.put(10.0)
    bench.batch(10.0)
    bench.put(10.030)
    assert bench.out.due == pytest.approx(10.0 + INTERVAL_S)
    assert not bench.out.should_leave(10.040, 10.040)
    assert bench.out.should_leave(10.0 + INTERVAL_S, 10.0 + INTERVAL_S)


def test_no_event_waits_past_its_hold(bench: Bench) -> None:
    bench.put(10.0)
    bench.batch(10.0)
    bench.put(10.001)
    assert bench.out.due == pytest.approx(10.001 + HOLD_S)
    assert bench.out.should_leave(10.001 + HOLD_S, 10.001 + HOLD_S)


def test_what_is_due_within_the_slack_of_timers_is_due_now(bench: Bench) -> None:
    bench.put(10.0)
    bench.batch(10.0)
    bench.put(10.030)
    due = 10.0 + INTERVAL_S
    assert bench.out.should_leave(due - 0.9 * TIMER_SLACK_S, 0.0)
    assert not bench.out.should_leave(due - 1.1 * TIMER_SLACK_S, 0.0)


def test_what_would_miss_its_hold_before_the_next_turn_leaves_now(bench: Bench) -> None:
    bench.put(10.0)
    bench.batch(10.0)
    bench.put(10.010)
    assert not bench.out.should_leave(10.020, 10.050)
    assert bench.out.should_leave(10.020, 10.010 + HOLD_S)


def test_a_full_batch_does_not_wait(bench: Bench) -> None:
    bench.put(10.0)
    bench.batch(10.0)
    bench.put(10.001, payload=b"x" * bench.window.batch_bytes)
    assert bench.out.should_leave(10.001, 10.001)


def test_batches_end_at_their_size_and_at_their_count(bench: Bench) -> None:
    bench.window.batch_bytes = 200
    for _ in range(10):
        bench.put(10.0, payload=b"x" * 50)
    first = bench.batch(10.0)
    assert first is not None
    assert len(first.events) == 3
    bench.window.batch_bytes = 1 << 20
    bench.window.batch_events = 5
    second = bench.batch(10.0)
    assert second is not None
    assert [event.number for event in second.events] == [4, 5, 6, 7, 8]


def test_a_batch_says_how_long_its_oldest_event_was_held_and_on_what_it_depends(bench: Bench) -> None:
    bench.put(10.0, after=3)
    bench.put(10.010, after=5)
    bench.put(10.020, after=4)
    batch = bench.batch(10.025)
    assert batch is not None
    assert batch.held == 250
    assert batch.after == 5


def test_a_batch_states_the_base_of_every_session_in_it(bench: Bench) -> None:
    bench.put(10.0)
    bench.put(10.0)
    bench.put(10.0, session=1)
    bench.sessions[0].outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [1, 1])
    batch = bench.batch(10.0)
    assert batch is not None
    assert sorted(batch.bases) == [(0, 2), (1, 1)]
    assert [(event.session, event.number) for event in batch.events] == [(0, 1), (0, 2), (1, 1)]


def test_exclusions_travel_and_cost_nothing_where_there_are_none(bench: Bench) -> None:
    session = bench.sessions[0]
    bench.out.put(accept(session, now=10.0, to="group:room", exclude=["player:1"]))
    bench.out.put(accept(session, now=10.0, to=["player:2", "player:3"]))
    batch = bench.batch(10.0)
    assert batch is not None
    assert [(event.to, event.exclude) for event in batch.events] == [
        ("group:room", ["player:1"]),
        (["player:2", "player:3"], []),
    ]


def test_a_full_window_lets_nothing_leave_until_it_is_acknowledged(bench: Bench) -> None:
    bench.window.batches = 2
    for _ in range(3):
        bench.put(10.0)
        bench.batch(10.0)
    assert bench.out.window_full
    assert len(bench.out.queue) == 1
    assert bench.out.due is None
    assert not bench.out.should_leave(20.0, 20.0)
    assert bench.batch(20.0) is None
    assert bench.out.acknowledged(1)
    assert bench.out.should_leave(20.0, 20.0)
    assert bench.batch(20.0) is not None


def test_the_window_counts_bytes_too(bench: Bench) -> None:
    bench.window.bytes = 100
    bench.put(10.0, payload=b"x" * 100)
    bench.put(10.0)
    bench.window.batch_events = 1
    assert bench.batch(10.0) is not None
    assert bench.out.window_full
    assert bench.batch(10.0) is None
    bench.out.acknowledged(1)
    assert bench.batch(10.0) is not None


def test_what_was_never_sent_cannot_be_acknowledged(bench: Bench) -> None:
    bench.put(10.0)
    bench.batch(10.0)
    assert bench.out.acknowledged(0)
    assert bench.out.acknowledged(1)
    assert bench.out.acknowledged(1)
    assert not bench.out.acknowledged(2)


def test_a_fresh_link_begins_with_batch_one_and_with_what_it_is_given(bench: Bench) -> None:
    for _ in range(2):
        bench.put(10.0)
        bench.batch(10.0)
    third = bench.put(10.0)
    unsent = bench.out.unsent()
    assert [event.number for event in unsent] == [1, 2, 3]
    bench.out.relink(unsent)
    assert bench.out.next_number == 1
    assert bench.out.queued_bytes == sum(event.size for event in unsent)
    assert bench.out.should_leave(10.0, 10.0)
    batch = bench.batch(10.0)
    assert batch is not None
    assert [event.number for event in batch.events] == [1, 2, third.number]


def test_nothing_of_a_closed_session_leaves_or_leaves_again(bench: Bench) -> None:
    for session in SESSIONS:
        bench.put(10.0, session=session)
    bench.batch(10.0)
    for session in SESSIONS:
        bench.put(10.0, session=session)
    del bench.sessions[1]
    bench.out.discard(1)
    assert bench.out.queued_bytes == sum(event.size for event in bench.out.queue)
    bench.out.relink(bench.out.unsent())
    batch = bench.batch(10.0)
    assert batch is not None
    assert [(event.session, event.number) for event in batch.events] == [(0, 1), (0, 2)]


def test_statistics_count_what_left(bench: Bench) -> None:
    for _ in range(3):
        bench.put(10.0)
    bench.batch(10.0)
    bench.put(10.0)
    bench.batch(10.0)
    stats = bench.out.stats.as_dict()
    assert (stats["events_out"], stats["batches_out"]) == (4, 2)
    assert 0 < stats["bytes_out"] < stats["unbatched_bytes_out"]
    assert set(stats) == {name for name, value in vars(LaneStats).items() if isdatadescriptor(value)}


@pytest.mark.parametrize("lane", LANES)
def test_lanes_begin_with_the_timing_of_the_table(lane: Lane) -> None:
    assert OutLane(lane, Window()).timing == DEFAULT_TIMINGS[lane]


def test_what_has_to_leave_again_is_what_left_on_a_lost_link_and_is_not_acknowledged(bench: Bench) -> None:
    events = [bench.put(0.0) for _ in range(3)]
    assert bench.batch(0.0) is not None
    bench.put(0.1)
    assert bench.out.to_resend(is_lost=False) == 0
    assert bench.out.to_resend(is_lost=True) == 3
    bench.out.relink([*events, bench.put(0.2)])
    assert bench.out.to_resend(is_lost=False) == 3
    assert bench.batch(0.3) is not None
    assert bench.out.to_resend(is_lost=False) == 0


def test_batches_are_linked_where_the_broker_takes_them_and_every_link_begins_anew(bench: Bench) -> None:
    def flags(times: int) -> list[int]:
        found = []
        for number in range(times):
            bench.put(10.0 + number, payload=bytes(range(200)))
            made = bench.out.next_batch(10.0 + number, BrokerClock(), bench.sessions, incarnation=7, ack=0)
            assert made is not None
            header = decode_header(made.frame, max_raw_bytes=1 << 22)
            raw = open_batch(made.frame, header, heard)
            assert decode_up(header, raw).events[0].payload == bytes(range(200))
            found.append(header.flags & FLAG_LINKED)
        return found

    heard: History | None = None
    assert flags(2) == [0, 0]
    bench.window.linked = True
    bench.out.relink([])
    heard = History()
    assert flags(3) == [0, FLAG_LINKED, FLAG_LINKED]
    bench.out.relink([])
    heard = History()
    assert flags(2) == [0, FLAG_LINKED]
    bench.window.linked = False
    bench.out.relink([])
    heard = None
    assert flags(2) == [0, 0]


def test_a_batch_that_does_not_encode_leaves_everything_where_it_was(bench: Bench) -> None:
    good = [bench.put(10.0), bench.put(10.0)]
    bad = bench.put(10.0)
    bad.topic = "\ud800"
    for _ in range(2):
        with pytest.raises(UnicodeEncodeError):
            bench.batch(10.1)
    assert [*bench.out.queue] == [*good, bad]
    assert not any(event.transmitted for event in (*good, bad))
    assert bench.out.queued_bytes == sum(event.size for event in bench.out.queue)
    bad.topic = "t"
    batch = bench.batch(10.2)
    assert batch is not None
    assert [event.number for event in batch.events] == [1, 2, 3]
    assert bench.out.queued_bytes == 0
