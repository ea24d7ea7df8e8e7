"""Trials at work: rounds on lanes, and what waits for them. `tests/link/test_conforming.py` has whole processes."""

from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.trial import FIRST_ROUND, NARROWER
from lanebus.conf.model import EgressConfig, WindowConfig
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.lanes import LANES, Lane

COUNT = 3 * FIRST_ROUND
FREE = PolicyConfig(cool_down_s=0.0)
ROOM = EgressConfig(batch_bytes=1_024, credit_bytes=1 << 18, queue_bytes=1 << 20, age_s=60.0)
WINDOW = WindowConfig(batches=64, control_interval_ms=200.0)


def succeed(bench: Bench, player: Peer) -> Peer:
    """Its process is gone, and another one comes."""
    player.cut()
    bench.advance(0.1)
    newer = Peer(bench, player.name).attach()
    bench.advance(1.0)
    return newer


def sent(bench: Bench, lanes: tuple[Lane, ...] = LANES) -> Peer:
    """A player that was sent much on some lanes."""
    server = Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    for lane in lanes:
        server.burst(COUNT, "player:1", lane, size=1)
    bench.advance(1.0)
    return player


def counts(player: Peer) -> list[int]:
    return [sum(got.lane is lane for got in player.got) for lane in LANES]


def test_each_lane_has_rounds_of_its_own_while_nothing_is_known_against_any_part() -> None:
    bench = Bench(small_config(egress=ROOM, window=WINDOW, policy=FREE))
    player = succeed(bench, sent(bench))
    assert counts(player) == [FIRST_ROUND] * 3
    player.settle([got for got in player.unsettled if got.lane is Lane.NORMAL])
    bench.advance(1.0)
    assert counts(player) == [FIRST_ROUND, COUNT, FIRST_ROUND]
    assert bench.problems() == []


def test_after_an_end_in_the_middle_rounds_are_narrow_and_alone_and_widen_when_their_group_is_settled() -> (
    None
):
    bench = Bench(small_config(egress=ROOM, window=WINDOW, policy=FREE))
    player = succeed(bench, succeed(bench, sent(bench)))
    most = 3 * FIRST_ROUND // NARROWER
    assert counts(player) == [most, 0, 0]
    rounds = 0
    while bench.session("player:1").trial is not None and sum(counts(player)) < 3 * FIRST_ROUND:
        before = sum(counts(player))
        player.settle_all()
        bench.advance(1.0)
        assert sum(counts(player)) - before <= most or sum(counts(player)) > 3 * FIRST_ROUND
        rounds += 1
    assert rounds < 2 * NARROWER
    for _ in range(10):
        player.settle_all()
        bench.advance(1.0)
    assert counts(player) == [COUNT] * 3
    assert bench.session("player:1").trial is None
    assert bench.problems() == []


def test_what_is_fresh_waits_on_every_lane_while_rounds_are_narrow() -> None:
    bench = Bench(small_config(egress=ROOM, window=WINDOW, policy=FREE))
    player = succeed(bench, succeed(bench, sent(bench, (Lane.LOW,))))
    assert bench.session("player:1").trial is not None
    other = Peer(bench, "server:b").attach()
    other.send("t", "player:1", Lane.CRITICAL)
    bench.advance(1.0)
    assert counts(player) == [0, 0, FIRST_ROUND // NARROWER]
    for _ in range(20):
        player.settle_all()
        bench.advance(1.0)
    assert counts(player) == [1, 0, COUNT]
    assert bench.problems() == []
