"""A broker that claims a lot: what its messages cost an adapter is bounded by their size and by what is held."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.down import batch, row, welcome
from tests.adapters.hand import Hand
from tests.broker.samples import BODIES
from tests.cost import NUMBERS, cost_of, examples, may_cost, with_numbers

from lanebus.adapters.actions import State
from lanebus.wire.bodies import encode_body
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Ack, Revoked, Settle, Settlement, Throttle, Throttled
from lanebus.wire.outcomes import LEGAL_REASONS
from lanebus.wire.pings import Pong

HELD = 200
"""Events that are in flight on each lane, and as many that have arrived."""
ORIGIN = 1
ENDS = sorted((end, reason) for end, legal in LEGAL_REASONS.items() for reason in legal)

numbers = st.sampled_from((*NUMBERS, HELD, HELD + 1))
per_lane = st.lists(numbers, min_size=3, max_size=3)
lanes = st.sampled_from(LANES)
runs = st.one_of(
    st.tuples(numbers, st.sampled_from((0, HELD, (1 << 20) - 1))).map(lambda run: [run[0], sum(run)]),
    st.lists(numbers, max_size=60).map(lambda firsts: [each for n in firsts for each in (n, n + (1 << 14))]),
)


class Scene:
    """An adapter with events under way in both directions, on each lane; half of what arrived is handled."""

    def __init__(self) -> None:
        self.hand = Hand().up()
        events = [row(ORIGIN, number) for number in range(1, HELD + 1)]
        source = (ORIGIN, 1, "server:s", b"s" * 16)
        for lane in LANES:
            for _ in range(HELD):
                self.hand.send(lane=lane)
            self.hand.receive(batch(1, [source], events[: HELD // 2], lane=lane), lane=lane)
        self.hand.handle_all()
        for lane in LANES:
            self.hand.receive(batch(2, [source[:2]], events[HELD // 2 :], lane=lane), lane=lane)
        self.hand.core.flush(self.hand.now)
        self.hand.take()
        assert self.hand.session.outbox.in_flight == 3 * HELD

    def check(self, say: Callable[[], int]) -> None:
        """Let the broker say something, which gives its size, and compare with that what it costs."""
        size = 0

        def turn() -> None:
            nonlocal size
            size = say()
            self.hand.end_turn()
            self.hand.take()

        cost = cost_of(turn)
        allowed = may_cost(size, 2 * len(LANES) * HELD)
        assert cost.lines <= allowed.lines, cost
        assert cost.bytes <= allowed.bytes, cost

    def say(self, kind: Kind, message: Any) -> int:
        """Any message but a batch; its size."""
        self.hand.say(kind, message)
        return len(encode_body(message))

    def come_back(self, revoked: list[Revoked]) -> int:
        """The links are lost, and the broker knows the adapter."""
        self.hand.core.lost(self.hand.now)
        self.hand.again(resumed=True, revoked=revoked)
        return len(encode_body(welcome(revoked=revoked)))

    def batch(self, number: int, sources: list[tuple[Any, ...]], events: list[Any], lane: Lane) -> int:
        """Events arrive."""
        frame = batch(number, sources, events, lane=lane, incarnation=self.hand.incarnation)
        self.hand.receive(frame, lane=lane)
        return len(frame)


def claims(draw: st.DrawFn, scene: Scene) -> Callable[[], int]:
    """Something for the broker to say."""
    kind = draw(st.sampled_from((*BODIES, *[Kind.BATCH, Kind.SETTLE, Kind.WELCOME, Kind.THROTTLE] * 5)))
    odd = numbers if draw(st.integers(0, 9)) == 0 else st.nothing()
    message: Any
    if kind is Kind.BATCH:
        base = draw(st.just(1) | numbers)
        jumps = st.sampled_from((0, HELD, HELD + 2, 1 << 19, 1 << 20, 1 << 30))
        rows = [
            row(draw(st.just(ORIGIN) | odd), base + jump, flags=draw(st.sampled_from((0, 0, 2, 4, 0x80))))
            for jump in draw(st.lists(jumps, min_size=1, max_size=8))
        ]
        sources = [(ORIGIN, base), *([] if odd.is_empty else draw(st.lists(st.tuples(odd, odd), max_size=3)))]
        number, lane = draw(st.just(3) | odd.filter(lambda each: each < 1 << 32)), draw(lanes)
        return lambda: scene.batch(number, sources, rows, lane)
    if kind is Kind.WELCOME:
        each = st.builds(Revoked, st.just(0) | odd, st.just(ORIGIN) | odd, lanes, runs)
        revoked = draw(st.lists(each, max_size=4)) * draw(st.sampled_from((1, 1, 30)))
        return lambda: scene.come_back(revoked)
    if kind is Kind.SETTLE:
        rows_of = st.builds(
            lambda session, lane, end, runs: Settlement(session, 0, lane, end[0], end[1], runs),
            st.just(0) | odd,
            lanes,
            st.sampled_from(ENDS),
            runs,
        )
        message = Settle([draw(st.just(0) | odd) for _ in LANES], draw(st.lists(rows_of, max_size=4)))
    elif kind is Kind.THROTTLE:
        entries = st.builds(
            Throttled, st.just(0) | odd, lanes, numbers, st.just("bytes_per_s"), *[st.just(100.0)] * 3
        )
        repeated = draw(st.lists(entries, min_size=1, max_size=4)) * draw(st.sampled_from((1, 1, 60)))
        message = Throttle(entries=repeated)
    elif kind is Kind.ACK:
        message = Ack(draw(per_lane))
    elif kind is Kind.PONG:
        message = Pong(draw(numbers), draw(numbers))
    else:
        message = with_numbers(draw, BODIES[kind])
    return lambda: scene.say(kind, message)


@pytest.mark.longlife
@given(data=st.data())
@settings(max_examples=examples(150, 5_000), deadline=None)
def test_what_a_message_costs_is_bounded_by_its_size_and_by_what_is_held(data: Any) -> None:
    scene = Scene()
    for _ in range(data.draw(st.integers(1, 4))):
        if scene.hand.core.state is State.UP:
            scene.check(claims(data.draw, scene))


def test_a_settlement_may_name_a_million_numbers_for_the_price_of_its_own() -> None:
    scene = Scene()
    rows = [Settlement(0, 0, Lane.LOW, *ENDS[0], [first, first + (1 << 20) - 1]) for first in (1, 9, 1 << 30)]
    scene.check(lambda: scene.say(Kind.SETTLE, Settle([0, 0, 0], rows)))
    assert scene.hand.session.outbox.in_flight == 2 * HELD
    assert scene.hand.session.outbox.ignored == 3 * (1 << 20) - HELD


def test_a_million_parts_may_be_revoked_for_the_price_of_those_that_wait() -> None:
    scene = Scene()
    revoked = [Revoked(0, ORIGIN, Lane.LOW, [first, first + (1 << 20) - 1]) for first in (1, 5, 1 << 30)]
    scene.check(lambda: scene.come_back(revoked))
    assert not scene.hand.core.incoming.arrivals[Lane.LOW]
    assert len(scene.hand.core.incoming.arrivals[Lane.NORMAL]) == HELD // 2


def test_a_throttle_may_be_said_often_for_the_price_of_once() -> None:
    scene = Scene()
    entries = [Throttled(0, Lane.LOW, number, "bytes_per_s", 100.0, 0.0, 0.0) for number in (7, 1, 1 << 50)]
    scene.check(lambda: scene.say(Kind.THROTTLE, Throttle(entries=entries * 340)))
