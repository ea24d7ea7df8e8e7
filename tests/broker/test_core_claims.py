"""The core and peers that claim a lot: the cost of a message is bounded by its size and by what is held."""

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.broker.bench import UNLIMITED, Bench
from tests.broker.peer import Peer
from tests.broker.samples import BODIES, PROCESS
from tests.cost import NUMBERS, cost_of, examples, may_cost, with_numbers

from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.batches import UpEvent
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Ack, Close, Open, Settle, Settlement
from lanebus.wire.outcomes import LEGAL_REASONS, RECEIVER_REASONS
from lanebus.wire.pings import Ping

HELD = 200
"""Events that the peer in question has under way, and as many that it has not settled."""
ENDS = sorted((end, reason) for end, legal in LEGAL_REASONS.items() for reason in legal & RECEIVER_REASONS)

numbers = st.sampled_from((*NUMBERS, HELD, HELD + 1))
per_lane = st.lists(numbers, min_size=3, max_size=3)
runs = st.one_of(
    # As many as may be named together, in one run, in a few, or in many.
    st.tuples(numbers, st.sampled_from((0, HELD, (1 << 20) - 1))).map(lambda run: [run[0], sum(run)]),
    st.lists(numbers, max_size=60).map(lambda firsts: [each for n in firsts for each in (n, n + (1 << 14))]),
    st.lists(st.tuples(numbers, numbers).map(sorted), max_size=3).map(lambda pairs: [*chain(*pairs)]),
)


class Claimant(Peer):
    """A peer that says anything, looks at nothing once it is attached, and counts what it has sent."""

    sent_bytes = 0

    def take_frame(self, lane: Lane, frame: bytes) -> None:
        if not self.up:
            super().take_frame(lane, frame)

    def put(self, frame: bytes, lane: Lane = Lane.CRITICAL, *, more: bool = False) -> None:
        self.sent_bytes += len(frame)
        super().put(frame, lane, more=more)


class Scene:
    """A claimant with events under way in both directions, on each lane."""

    def __init__(self, name: str) -> None:
        self.bench = Bench(Config(sessions=SessionsConfig(recovery_s=0.0), policy=UNLIMITED))
        self.other = Claimant(self.bench, "server:other").attach()
        self.peer = Claimant(self.bench, name)
        self.peer.attach()
        self.index, target = 0, name
        if name.startswith("gateway"):
            self.index, target = 1, "player:1"
            self.peer.open(1, target)
        for lane in LANES:
            self.other.send_batch([self.other.event("t", target, lane) for _ in range(HELD)], lane)
            mine = [self.peer.event("t", "server:other", lane, session=self.index) for _ in range(HELD)]
            self.peer.send_batch(mine, lane)
        self.bench.advance(0.5)
        self.origin = self.bench.session("server:other").origin
        assert len(self.bench.receiving(target).unsettled[self.origin]) == HELD

    def check(self, say: Callable[[], object]) -> None:
        """Let the claimant say something, and compare what it costs with its size."""
        before = self.peer.sent_bytes

        def turn() -> None:
            say()
            self.bench.turn()

        cost = cost_of(turn)
        allowed = may_cost(self.peer.sent_bytes - before, 2 * len(LANES) * HELD)
        assert cost.lines <= allowed.lines, cost
        assert cost.bytes <= allowed.bytes, cost


def _odd(draw: st.DrawFn) -> st.SearchStrategy[int]:
    """Any numbers now and then: what names one that is refused says nothing of what would have been believed."""
    return numbers if draw(st.integers(0, 9)) == 0 else st.nothing()


def settles(draw: st.DrawFn, scene: Scene) -> Settle:
    odd = _odd(draw)
    rows = draw(
        st.lists(
            st.builds(
                lambda session, origin, lane, end, runs: Settlement(
                    session, origin, lane, end[0], end[1], runs
                ),
                st.just(scene.index) | odd,
                st.just(scene.origin) | odd,
                st.sampled_from(LANES),
                st.sampled_from(ENDS),
                runs,
            ),
            min_size=1,
            max_size=3,
        )
    )
    return Settle([draw(st.just(0) | odd) for _ in LANES], rows)


def batches(draw: st.DrawFn, scene: Scene) -> tuple[list[UpEvent], list[tuple[int, int]]]:
    odd = _odd(draw)
    jumps = st.sampled_from((HELD, HELD + 2, 1 << 10, 1 << 19, (1 << 20) - 1))
    base = draw(st.just(1) | numbers.filter(lambda number: number < 1 << 33))
    events = draw(
        st.lists(
            st.builds(
                UpEvent,
                st.just(scene.index) | odd,
                jumps.map(lambda jump: base + jump) | odd,
                st.just(1) | odd,
                st.just("t"),
                st.sampled_from(("server:other", "player:1", "all", "group:none")),
                st.just(b""),
                st.just([]),
                st.sampled_from((0, 0x10, 0x20)),
                st.just(0) | odd,
                st.just(""),
            ),
            min_size=1,
            max_size=8,
        )
    )
    bases = [(scene.index, base)]
    if not odd.is_empty:
        bases += draw(st.lists(st.tuples(odd, numbers), max_size=3))
    return events, bases


def claims(draw: st.DrawFn, scene: Scene) -> Callable[[], object]:
    """Something for the claimant to say."""
    peer = scene.peer
    kind = draw(st.sampled_from((*BODIES, *[Kind.BATCH, Kind.SETTLE] * 8)))
    ack = draw(st.sampled_from((0, 0, 0, 3, 1 << 20, (1 << 32) - 1)))
    message: Any
    if kind is Kind.BATCH:
        events, bases = batches(draw, scene)
        after, held = (draw(st.sampled_from((0, 0, 0, 0, each))) for each in (1 << 52, 1 << 20))
        lane = draw(st.sampled_from(LANES))
        return lambda: peer.send_batch(events, lane, bases=bases, after=after, held=held)
    if kind is Kind.HELLO and draw(st.booleans()):
        changes = {
            "sent": draw(per_lane),
            "served_by": [("s", [("server:other", draw(per_lane), True)] * 16)] * draw(st.integers(0, 20)),
            "requests": draw(numbers),
            "generation": draw(numbers),
            "process": draw(st.sampled_from((peer.process, PROCESS))),
            "token": draw(st.sampled_from((peer.token, b""))),
        }
        return lambda: peer.say_hello(**changes)
    if kind is Kind.SETTLE:
        message = settles(draw, scene)
    elif kind is Kind.ACK:
        message = Ack(draw(per_lane))
    elif kind is Kind.PING:
        books = st.lists(st.lists(numbers, min_size=7, max_size=10), min_size=3, max_size=3)
        rows = draw(st.lists(st.tuples(st.just(scene.index) | numbers, books), max_size=10))
        message = Ping(draw(numbers), draw(numbers), rows * draw(st.sampled_from((1, 30))))
    elif kind is Kind.OPEN:
        message = Open(request=1, index=draw(numbers), name="player:9", process=PROCESS, sent=draw(per_lane))
    elif kind is Kind.CLOSE:
        books = st.lists(st.lists(numbers, min_size=7, max_size=7), min_size=3, max_size=3)
        message = Close(request=draw(st.just(2) | numbers), index=1, books=draw(books))
    else:
        message = with_numbers(draw, BODIES[kind])
    return lambda: peer.say(kind, message, ack=ack)


@pytest.mark.longlife
@given(data=st.data(), name=st.sampled_from(("server:b", "player:1", "gateway:g")))
@settings(max_examples=examples(150, 5_000), deadline=None)
def test_what_a_message_costs_is_bounded_by_its_size_and_by_what_is_held(data: Any, name: str) -> None:
    scene = Scene(name)
    for _ in range(data.draw(st.integers(1, 4))):
        scene.check(claims(data.draw, scene))
    scene.check(lambda: scene.bench.advance(1.0))
    assert scene.bench.problems() == []


@pytest.mark.parametrize("held", [True, False], ids=["of a sender", "of nobody"])
def test_a_settlement_may_name_a_million_numbers_for_the_price_of_its_own(held: bool) -> None:
    scene = Scene("server:b")
    origin = scene.origin if held else 99
    most = Settlement(0, origin, Lane.LOW, *ENDS[0], [1, 1 << 20])
    again = [Settlement(0, origin, Lane.LOW, *end, [1 << 30, (1 << 30) + (1 << 19)]) for end in ENDS[:4]]
    before = scene.bench.core.counters.ignored_settlements
    scene.check(lambda: scene.peer.say(Kind.SETTLE, Settle([0, 0, 0], [most, *again])))
    assert len(scene.bench.receiving("server:b", Lane.LOW).unsettled) == (0 if held else 1)
    ignored = scene.bench.core.counters.ignored_settlements - before
    assert ignored == ((1 << 20) - HELD + 4 if held else 5)


def test_events_and_bases_may_jump_by_a_million_for_the_price_of_their_own() -> None:
    scene = Scene("server:b")
    for jump in range(1, 6):
        base = jump << 30
        events = [
            UpEvent(0, base + ahead, 1, "t", "server:other", b"")
            for ahead in (1 << 19, (1 << 20) - 1, 7, (1 << 20) - 2)
        ]
        for lane in LANES:
            scene.check(partial(scene.peer.send_batch, events, lane, bases=[(0, base)]))
            assert scene.bench.session("server:b").sending[lane].base == base
            assert scene.bench.session("server:b").sending[lane].book.accepted == HELD + 4 * jump


def test_a_generation_at_the_end_of_all_numbers_shuts_nobody_out() -> None:
    bench = Bench()
    for _ in range(3):
        peer = Claimant(bench, "server:b")
        peer.say_hello(generation=NUMBERS[6])
        bench.turn()
        assert peer.welcome is not None
    assert Peer(bench, "server:b").attach().up
