"""Bandwidth: who uses nearly all that a policy gives, in either direction, and for long."""

from random import Random

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.heard import Heard
from tests.broker.peer import Peer

from lanebus.broker.alerts import AlertKind
from lanebus.conf.model import EgressConfig, SessionsConfig
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.lanes import Lane

RATE = 2_000.0


@pytest.fixture
def bench() -> Bench:
    policy = Policy(up_bytes_per_s=RATE, down_bytes_per_s=2 * RATE, bytes_burst_s=1.0)
    return Bench(
        small_config(
            policy=PolicyConfig(client=policy),
            egress=EgressConfig(batch_bytes=1_024, credit_bytes=1 << 20, queue_bytes=1 << 20, age_s=100.0),
            sessions=SessionsConfig(grace_s=60.0, recovery_s=0.0, ping_interval_s=50.0, lease_s=900.0),
        )
    )


@pytest.fixture
def heard(bench: Bench) -> Heard:
    return Heard(bench.core.alerts)


def talk(bench: Bench, sender: Peer, receiver: Peer, seconds: int, size: int) -> None:
    """One event of `size` bytes each second, which is settled at once."""
    for second in range(seconds):
        sender.send("t", receiver.name, Lane.NORMAL, Random(second).randbytes(size))
        bench.advance(0.5)
        receiver.settle_all()
        sender.ack()
        bench.advance(0.5)


def test_a_player_that_uses_less_is_not_told(bench: Bench, heard: Heard) -> None:
    player, server = Peer(bench, "player:1").attach(), Peer(bench, "server:a").attach()
    talk(bench, player, server, 40, 1_000)
    assert heard.began == []
    up_bytes = bench.session("player:1").limits.up_bytes  # type: ignore[union-attr]
    assert up_bytes is not None
    assert 0.5 <= up_bytes.use(bench.now) <= 0.6


@pytest.mark.parametrize(("sends", "direction"), [(True, "up"), (False, "down")])
def test_either_direction_counts(bench: Bench, heard: Heard, sends: bool, direction: str) -> None:
    player, server = Peer(bench, "player:1").attach(), Peer(bench, "server:a").attach()
    sender, receiver = (player, server) if sends else (server, player)
    times = 2 if sends else 4
    for second in range(26):
        for number in range(times):
            payload = Random(second * times + number).randbytes(820)
            sender.send("t", receiver.name, Lane.NORMAL, payload)
        bench.advance(1.0)
        receiver.settle_all()
        sender.ack()
    assert (heard.began, heard.kinds) == (["player:1"], ["bandwidth"])
    alert = bench.core.alerts.lasting(AlertKind.BANDWIDTH, "player:1")
    assert alert is not None
    limit = RATE if sends else 2 * RATE
    assert 0.8 * limit <= alert.figures[f"{direction}_bytes_per_s"] <= 1.1 * limit
    assert alert.figures["used_share"] == pytest.approx(alert.figures[f"{direction}_bytes_per_s"] / limit)
    talk(bench, sender, receiver, 24, 100)
    assert heard.ended == ["player:1"]


def test_a_burst_is_no_lasting_use_and_servers_have_no_limit(bench: Bench, heard: Heard) -> None:
    player, server = Peer(bench, "player:1").attach(), Peer(bench, "server:a").attach()
    for number in range(2):
        player.send("t", "server:a", Lane.NORMAL, Random(number).randbytes(900))
    for number in range(60):
        server.send("t", "server:a", Lane.LOW, Random(number).randbytes(900))
        bench.advance(0.5)
        server.settle_all()
    assert heard.began == []
    assert bench.session("server:a").limits is None
