"""Shaping: players are sent what their allowance gives, critical at once, and lose nothing."""

from random import Random

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.conf.model import EgressConfig
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.batches import EVENT_LATEST, EVENT_VOLATILE
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason

RATE = 2_000.0


@pytest.fixture
def bench() -> Bench:
    policy = PolicyConfig(client=Policy(down_bytes_per_s=RATE, bytes_burst_s=1.0))
    return Bench(
        small_config(
            policy=policy,
            egress=EgressConfig(batch_bytes=1_024, credit_bytes=1 << 20, queue_bytes=1 << 20, age_s=100.0),
        )
    )


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def player(bench: Bench) -> Peer:
    return Peer(bench, "player:1").attach()


def noise(size: int, seed: int) -> bytes:
    """A payload that does not get smaller."""
    return Random(seed).randbytes(size)


def flood(bench: Bench, server: Peer, lanes: tuple[Lane, ...], seconds: float, size: int = 90) -> None:
    """Send far more than the allowance, while everybody acknowledges and settles."""
    for step in range(round(seconds / 0.1)):
        for lane in lanes:
            for number in range(6):
                server.send("t", "player:1", lane, noise(size, step * 7 + number))
        bench.advance(0.1)


def drain(bench: Bench, player: Peer, seconds: float) -> None:
    for _ in range(round(seconds / 0.1)):
        player.settle_all()
        bench.advance(0.1)


@pytest.fixture(autouse=True)
def acknowledging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every peer acknowledges what it gets at once; windows are not what is looked at here."""
    take_frame = Peer.take_frame

    def take_and_ack(self: Peer, lane: Lane, frame: bytes) -> None:
        before = list(self.received)
        take_frame(self, lane, frame)
        if self.received != before:
            self.ack()

    monkeypatch.setattr(Peer, "take_frame", take_and_ack)


def sizes(player: Peer, lane: Lane) -> int:
    return len(player.numbers(lane))


def test_a_player_gets_no_more_than_its_allowance_and_in_the_end_all(
    bench: Bench, server: Peer, player: Peer
) -> None:
    flood(bench, server, (Lane.NORMAL,), 5.0)
    sent = len(server.sender(Lane.NORMAL).unsettled)
    assert sent == 300
    got_bytes = bench.session("player:1").traffic[Lane.NORMAL].bytes_out
    assert 0.7 * 6 * RATE <= got_bytes <= 1.3 * 6 * RATE
    assert bench.receiving("player:1", Lane.NORMAL).shaped
    drain(bench, player, 30.0)
    assert player.numbers(Lane.NORMAL) == list(range(1, sent + 1))
    assert not bench.receiving("player:1", Lane.NORMAL).shaped
    assert bench.core.egress.shaping.waited[Lane.NORMAL].count > 50
    assert bench.problems() == []


def test_what_waits_for_an_allowance_is_no_wait_for_company(bench: Bench, server: Peer, player: Peer) -> None:
    flood(bench, server, (Lane.NORMAL,), 5.0)
    drain(bench, player, 30.0)
    assert bench.core.egress.shaping.waited[Lane.NORMAL].max_us > 1_000_000
    assert bench.core.counters.held[Lane.NORMAL].max_us <= 50_000


def test_critical_never_waits(bench: Bench, server: Peer, player: Peer) -> None:
    flood(bench, server, (Lane.NORMAL, Lane.LOW), 3.0)
    for _ in range(30):
        number = server.send("t", "player:1", Lane.CRITICAL, bytes(90))
        bench.advance(0.016)
        assert player.numbers(Lane.CRITICAL)[-1] == number
    assert bench.core.egress.shaping.waited[Lane.CRITICAL].count == 0


def test_a_critical_flood_starves_nobody(bench: Bench, server: Peer, player: Peer) -> None:
    flood(bench, server, LANES, 10.0)
    drain_before = [sizes(player, lane) for lane in LANES]
    assert drain_before[Lane.CRITICAL] == 600
    # Their shares of the allowance, three eighths and an eighth, whatever the critical lane takes.
    assert drain_before[Lane.NORMAL] > 30
    assert drain_before[Lane.LOW] > 10
    assert drain_before[Lane.NORMAL] > 2 * drain_before[Lane.LOW]


def test_servers_are_not_shaped(bench: Bench, server: Peer, player: Peer) -> None:
    other = Peer(bench, "server:b").attach()
    for _ in range(5):
        for _ in range(50):
            server.send("t", "server:b", Lane.NORMAL, bytes(90))
            other.ack()
        bench.advance(0.2)
        server.ack()
    assert sizes(other, Lane.NORMAL) == 250


def test_a_shaped_player_shares_no_copy_behind_its_gateway_and_holds_nobody_up(
    bench: Bench, server: Peer
) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:busy")
    gateway.open(2, "player:calm")
    for step in range(60):
        server.send("t", "player:busy", Lane.NORMAL, noise(90, step))
        bench.advance(0.01)
    number = server.send("t", "all", Lane.NORMAL, bytes(90))
    bench.advance(0.1)
    assert gateway.numbers(Lane.NORMAL, session=2) == [number]
    assert number not in gateway.numbers(Lane.NORMAL, session=1)
    for _ in range(100):
        gateway.settle_all()
        bench.advance(0.1)
    assert gateway.numbers(Lane.NORMAL, session=1) == list(range(1, number + 1))
    assert bench.problems() == []


def test_latest_values_collapse_while_they_wait(bench: Bench, server: Peer, player: Peer) -> None:
    flood(bench, server, (Lane.NORMAL,), 3.0)
    before = len(bench.receiving("player:1", Lane.NORMAL).waiting)
    assert before
    for _ in range(20):
        last = server.send("state", "player:1", Lane.NORMAL, bytes(90), flags=EVENT_LATEST, key="k")
    bench.turn()
    assert len(bench.receiving("player:1", Lane.NORMAL).waiting) == before + 1
    drain(bench, player, 30.0)
    superseded = [number for number in range(last - 19, last) if number not in player.numbers(Lane.NORMAL)]
    assert len(superseded) == 19
    assert player.numbers(Lane.NORMAL)[-1] == last


def test_volatile_events_wait_no_longer_than_they_are_good_for(
    bench: Bench, server: Peer, player: Peer
) -> None:
    flood(bench, server, (Lane.NORMAL,), 5.0)
    number = server.send("t", "player:1", Lane.NORMAL, bytes(90), flags=EVENT_VOLATILE)
    drain(bench, player, 30.0)
    assert number not in player.numbers(Lane.NORMAL)
    assert server.end_of(number, Lane.NORMAL) == (Outcome.DROPPED, Reason.TOO_LATE)


def test_who_has_no_allowance_left_hears_of_it_in_few_batches(
    bench: Bench, server: Peer, player: Peer
) -> None:
    flood(bench, server, (Lane.NORMAL,), 5.0, size=30)
    traffic = bench.session("player:1").traffic[Lane.NORMAL]
    assert traffic.events_out / traffic.batches_out >= 2.0


@pytest.mark.parametrize(("each_bytes", "at_once"), [(120, True), (600, False)])
def test_what_comes_while_a_link_takes_nothing_is_charged_as_it_comes(
    bench: Bench, server: Peer, player: Peer, each_bytes: int, at_once: bool
) -> None:
    route = player.routes[Lane.CRITICAL]
    assert route is not None
    player.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    for number in range(40):
        server.send("t", "player:1", Lane.NORMAL, noise(each_bytes, number))
        bench.advance(0.1)
    receiving = bench.receiving("player:1", Lane.NORMAL)
    assert receiving.waiting_bytes > 2 * RATE
    player.attach()
    drain(bench, player, 0.5)
    # It gets what it would have had by now, and no more.
    assert (sizes(player, Lane.NORMAL) == 40) is at_once
    assert bench.session("player:1").traffic[Lane.NORMAL].bytes_out < RATE * 5.5 + 1_000
    drain(bench, player, 15.0)
    assert player.numbers(Lane.NORMAL) == list(range(1, 41))
    assert receiving.charged_bytes == 0
    assert bench.problems() == []


def test_a_session_that_ends_while_it_waits_is_forgotten(bench: Bench, server: Peer, player: Peer) -> None:
    flood(bench, server, (Lane.NORMAL,), 3.0)
    player.bye()
    bench.advance(1.0)
    assert not server.waits
    assert bench.problems() == []
