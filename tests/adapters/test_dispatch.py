"""Dispatch: arrived events to handlers, critical first, within a budget."""

from collections.abc import Callable

import pytest
from tests.adapters.down import batch, header_of, row

from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.dispatch import dispatch, requeue
from lanebus.adapters.event import Event, Gap
from lanebus.adapters.handler_times import HandlerTimes
from lanebus.adapters.session import SessionCore
from lanebus.wire.batches import EVENT_AFTER_GAP, EVENT_REDELIVERED
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason

FOREVER = float("inf")


class Bench:
    """A core whose sessions have received events, and a clock that handlers move."""

    def __init__(self, *indexes: int, strict: bool = False) -> None:
        self.core = AttachmentCore("gateway:g", Role.GATEWAY, b"g" * 16, ["tcp://broker:1"])
        self.times = HandlerTimes("gateway:g")
        self.now = 100.0
        self.got: list[tuple[str, str, int]] = []
        self._batches = [0 for _ in LANES]
        self._numbers = [0 for _ in LANES]
        for index in indexes or (1,):
            self.core.open_session(
                index, f"player:{index}", bytes([index]) * 16, outbox_bytes=0, strict=strict
            )

    def session(self, index: int = 1) -> SessionCore:
        return self.core.sessions[index]

    def on(self, topic: str, function: Callable[[Event], None] | None = None, *, session: int = 1) -> None:
        self.session(session).handlers.add(topic, function or self.note)

    def note(self, event: Event) -> None:
        self.got.append((event.receiver, event.topic, event.id))

    def arrive(
        self, topic: str = "t", *, lane: Lane = Lane.NORMAL, to: tuple[int, ...] = (1,), flags: int = 0
    ) -> None:
        self._batches[lane] += 1
        self._numbers[lane] += 1
        frame = batch(
            self._batches[lane],
            [(1, 1, "server:s", b"s" * 16)],
            [(list(to), row(1, self._numbers[lane], topic=topic, flags=flags))],
            lane=lane,
            targeted=True,
        )
        self.core.incoming.batch(lane, header_of(frame), frame, self.now)

    def dispatch(self, until: float = FOREVER) -> int:
        return dispatch(self.core, lambda: self.now, until, self.times)

    def ends(self, session: int = 1, lane: Lane = Lane.NORMAL) -> dict[int, tuple[Outcome, Reason] | None]:
        stream = self.session(session).inbox.stream(1, lane)
        assert stream is not None
        return stream.seen


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_critical_comes_first_and_each_lane_in_order(bench: Bench) -> None:
    bench.on("t")
    got: list[tuple[Lane, int]] = []
    bench.on("t", lambda event: got.append((event.lane, event.id)))
    for lane in (Lane.LOW, Lane.NORMAL, Lane.CRITICAL, Lane.LOW, Lane.CRITICAL):
        bench.arrive(lane=lane)
    assert bench.dispatch() == 5
    assert got == [(Lane.CRITICAL, 1), (Lane.CRITICAL, 2), (Lane.NORMAL, 1), (Lane.LOW, 1), (Lane.LOW, 2)]
    assert [bench.core.outgoing.lanes[lane].stats.handled for lane in LANES] == [2, 1, 2]


def test_the_budget_is_looked_at_between_events(bench: Bench) -> None:
    def slow(event: Event) -> None:
        bench.now += 0.003
        bench.note(event)

    bench.on("t", slow)
    for _ in range(5):
        bench.arrive()
    assert bench.dispatch(bench.now + 0.004) == 2
    assert bench.dispatch(bench.now + 0.004) == 2
    assert bench.dispatch(bench.now - 1.0) == 1, "one event is handled even without any time"
    assert [number for _, _, number in bench.got] == [1, 2, 3, 4, 5]


def test_a_handler_sees_who_sent_it_to_whom_how_long_ago_and_whether_again(bench: Bench) -> None:
    seen: list[Event] = []
    bench.on("t", seen.append)
    bench.core.clock.measure(0, 0.0, 100.0)
    bench.now = 100.25
    bench.arrive(flags=EVENT_REDELIVERED)
    bench.arrive()
    bench.dispatch()
    event = seen[0]
    assert (event.id, event.sender, event.receiver, event.lane) == (1, "server:s", "player:1", Lane.NORMAL)
    assert event.age_ms == pytest.approx(250.0, abs=0.2)
    assert [each.redelivered for each in seen] == [True, False]


def test_an_event_is_settled_when_its_handler_has_run(bench: Bench) -> None:
    during: list[object] = []
    bench.on("t", lambda event: during.append(bench.ends()[event.id]))
    bench.arrive()
    bench.dispatch()
    assert during == [None]
    assert bench.ends() == {1: (Outcome.DELIVERED, Reason.NONE)}


def test_a_strict_handler_stops_the_loop_and_its_event_is_settled_all_the_same() -> None:
    bench = Bench(strict=True)

    def fail(event: Event) -> None:
        if event.id == 1:
            raise ValueError("a handler that fails")
        bench.note(event)

    bench.on("t", fail)
    bench.arrive()
    bench.arrive()
    with pytest.raises(ValueError, match="a handler that fails"):
        bench.dispatch()
    assert bench.ends() == {1: (Outcome.REFUSED, Reason.HANDLER_ERROR), 2: None}
    assert bench.dispatch() == 1


def test_an_event_without_a_handler_waits_unsettled_and_does_not_count_as_handled(bench: Bench) -> None:
    bench.on("t")
    for topic in ("later", "t", "later"):
        bench.arrive(topic)
    assert bench.dispatch() == 1
    assert bench.ends() == {1: None, 2: (Outcome.DELIVERED, Reason.NONE), 3: None}
    assert len(bench.session().unhandled) == 2


def test_what_has_waited_for_a_handler_in_vain_is_refused_as_time_passes_and_no_session_is_forgotten() -> (
    None
):
    bench = Bench(1, 2)
    bench.core.incoming.handler_wait_s = 3.0
    bench.on("t")
    for to in ((1,), (2,)):
        bench.arrive("later", to=to)
    bench.dispatch()
    assert bench.core.incoming.expires_at == bench.now + 3.0
    bench.core.incoming.expire(bench.now + 2.9)
    assert [len(bench.session(index).unhandled) for index in (1, 2)] == [1, 1]
    bench.core.incoming.expire(bench.now + 3.0)
    no_handler = (Outcome.REFUSED, Reason.NO_HANDLER)
    assert [bench.ends(1)[1], bench.ends(2)[2]] == [no_handler, no_handler]
    assert bench.core.incoming.to_report == {1, 2}


def test_what_is_put_back_comes_in_order_in_front_of_all_that_waits(bench: Bench) -> None:
    for lane in (Lane.NORMAL, Lane.NORMAL, Lane.LOW):
        bench.arrive("later", lane=lane)
    bench.dispatch()
    bench.arrive("later")
    bench.on("later")
    requeue(bench.core, bench.session().unhandled.take(bench.session().handlers.match))
    assert bench.dispatch() == 4
    assert bench.got == [
        ("player:1", "later", 1),
        ("player:1", "later", 2),
        ("player:1", "later", 3),
        ("player:1", "later", 1),
    ]


def test_a_session_that_does_not_read_keeps_its_events_and_the_others_go_on() -> None:
    bench = Bench(1, 2)
    for index in (1, 2):
        bench.on("t", session=index)
    bench.session(1).reading = False
    bench.arrive(to=(1, 2))
    assert bench.dispatch() == 1
    assert bench.got == [("player:2", "t", 1)]
    assert len(bench.session(1).unread) == 1
    assert bench.ends(1) == {1: None}


def test_events_of_a_session_that_a_handler_closes_are_passed_over() -> None:
    bench = Bench(1, 2)

    def close(_: Event) -> None:
        del bench.core.sessions[2]

    bench.on("t", close, session=1)
    bench.on("t", session=2)
    bench.arrive(to=(1,))
    bench.arrive(to=(2,))
    assert bench.dispatch() == 1
    assert bench.got == []


def test_a_handler_may_add_a_handler(bench: Bench) -> None:
    bench.on("t", lambda _: bench.on("later"))
    bench.arrive("t")
    bench.arrive("later")
    assert bench.dispatch() == 2
    assert bench.got == [("player:1", "later", 2)]


def test_a_gap_is_told_once_in_front_of_all_that_is_later_whatever_has_a_handler(bench: Bench) -> None:
    story: list[object] = []
    bench.session().on_gap.append(story.append)
    bench.on("t", lambda event: story.append(event.id))
    bench.arrive("t")
    bench.arrive("later", flags=EVENT_AFTER_GAP)
    bench.arrive("t")
    bench.arrive("t", flags=EVENT_AFTER_GAP)
    bench.dispatch()
    gap = Gap("server:s", Lane.NORMAL, "player:1")
    assert story == [1, gap, 3, gap, 4]
    bench.on("later", lambda event: story.append(event.id))
    requeue(bench.core, bench.session().unhandled.take(bench.session().handlers.match))
    bench.dispatch()
    assert story[5:] == [2]


def test_nothing_waits_nothing_is_done(bench: Bench) -> None:
    assert bench.dispatch() == 0


def test_an_event_whose_time_is_over_in_its_turn_is_not_handled_but_tells_of_its_gap(bench: Bench) -> None:
    bench.on("t", bench.note)
    gaps: list[Gap] = []
    bench.session().on_gap.append(gaps.append)
    bench.arrive(flags=EVENT_AFTER_GAP)
    bench.arrive()
    inbox = bench.session().inbox
    stream = inbox.stream(1, Lane.NORMAL)
    assert stream is not None
    inbox.deadlines[stream, 1] = bench.now - 0.001
    inbox.deadlines[stream, 2] = bench.now + 0.001
    assert bench.dispatch() == 1
    assert [number for _, _, number in bench.got] == [2]
    assert len(gaps) == 1
    assert bench.ends() == {
        1: (Outcome.EXPIRED, Reason.TOO_LATE),
        2: (Outcome.DELIVERED, Reason.NONE),
    }
    assert inbox.deadlines == {}


def test_the_time_of_an_event_is_that_of_its_handlers_and_of_nobody_elses(bench: Bench) -> None:
    def take(seconds: float) -> Callable[[Event], None]:
        def handle(_: Event) -> None:
            bench.now += seconds

        return handle

    bench.on("short", take(0.002))
    bench.on("long", take(0.010))
    bench.on("long", take(0.010))
    for topic in ("long", "short", "later", "short"):
        bench.arrive(topic)
    bench.arrive("long", lane=Lane.CRITICAL)
    assert bench.dispatch() == 4
    shown = {(row["topic"], row["lane"]): (row["count"], row["max_ms"]) for row in bench.times.rows()}
    assert shown == {
        ("long", "critical"): (1, pytest.approx(20.0, abs=0.01)),
        ("long", "normal"): (1, pytest.approx(20.0, abs=0.01)),
        ("short", "normal"): (2, pytest.approx(2.0, abs=0.01)),
    }


def test_a_handler_that_fails_has_its_time_too(bench: Bench) -> None:
    def fail(_: Event) -> None:
        bench.now += 0.030
        raise ValueError("a handler that fails")

    bench.on("t", fail)
    bench.arrive("t", lane=Lane.CRITICAL)
    assert bench.dispatch() == 1
    (shown,) = bench.times.rows()
    assert (shown["count"], shown["over_budget"]) == (1, 1)


def test_the_way_to_a_handler_is_counted_of_every_event_but_those_that_come_again(bench: Bench) -> None:
    bench.on("t")
    bench.core.clock.measure(0, 0.0, 100.0)
    bench.now = 100.25
    for flags in (0, EVENT_REDELIVERED, 0):
        bench.arrive(flags=flags)
    bench.dispatch()
    (times,) = bench.session().latency.report()
    assert (times.lane, sum(times.counts[1::2])) == (Lane.NORMAL, 2)
    assert times.max_us == pytest.approx(250_000, abs=200)
