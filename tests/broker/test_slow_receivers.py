"""Slow receivers are named: by bytes, by age, by lane, and once however their figures swing."""

from random import Random

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.heard import Heard
from tests.broker.peer import Peer

from lanebus.broker.slow_receivers import held
from lanebus.broker.why import evidence, why
from lanebus.conf.model import AlertsConfig, EgressConfig, SessionsConfig
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane

# On a bench whose limits are 2 KiB of credit, 4 KiB of queue and 5 s of age


@pytest.fixture
def patient() -> Bench:
    """A bench on which nobody is taken for lost within a test."""
    return Bench(
        small_config(
            sessions=SessionsConfig(grace_s=60.0, recovery_s=0.0, ping_interval_s=50.0, lease_s=100.0),
            alerts=AlertsConfig(min_interval_s=0.0),
        )
    )


def test_a_receiver_for_whom_much_is_held_is_named_once(patient: Bench) -> None:
    told = Heard(patient.core.alerts)
    server, player = Peer(patient, "server:a").attach(), Peer(patient, "player:1").attach()
    for _ in range(4):
        server.burst(3, "all")
        patient.advance(0.3)
        player.ack()
    patient.advance(3.0)
    assert told.began == ["player:1 critical"]
    assert told.ended == []
    (alert,) = patient.core.alerts
    receiving = patient.receiving("player:1")
    assert alert.figures["held_bytes"] == receiving.committed_bytes + receiving.waiting_bytes
    assert alert.figures["oldest_age_s"] == pytest.approx(4.2, abs=1.0)


def test_a_receiver_that_does_not_settle_the_little_it_has_is_named_for_its_age(patient: Bench) -> None:
    told = Heard(patient.core.alerts)
    server, player = Peer(patient, "server:a").attach(), Peer(patient, "player:1").attach()
    server.burst(1, "player:1")
    patient.advance(4.0)
    assert told.began == []
    patient.advance(2.5)
    assert told.began == ["player:1 critical"]
    player.settle_all()
    patient.advance(1.5)
    assert told.ended == ["player:1 critical"]


def test_it_ends_only_at_half_of_what_it_began_at(patient: Bench) -> None:
    told = Heard(patient.core.alerts)
    server, player = Peer(patient, "server:a").attach(), Peer(patient, "player:1").attach()
    server.burst(11, "all")
    patient.advance(1.2)
    player.ack()
    patient.advance(1.0)
    assert told.began == ["player:1 critical"]
    # From above the mark to between it and its half, and back: one episode all the same.
    player.settle(player.unsettled[:3])
    patient.advance(1.2)
    receiving = patient.receiving("player:1")
    assert 1536 < held(receiving, patient.now)["held_bytes"] < 3072
    server.burst(3, "all")
    patient.advance(1.2)
    assert (told.began, told.ended) == (["player:1 critical"], [])
    for _ in range(4):
        player.settle_all()
        patient.advance(0.5)
    assert told.ended == ["player:1 critical"]


def test_a_second_episode_is_told_again(patient: Bench) -> None:
    told = Heard(patient.core.alerts)
    server, player = Peer(patient, "server:a").attach(), Peer(patient, "player:1").attach()
    for _ in range(2):
        server.burst(1, "player:1")
        patient.advance(7.0)
        player.settle_all()
        patient.advance(2.0)
    assert told.began == told.ended == ["player:1 critical"] * 2
    assert len(list(patient.core.alerts)) == 2


def test_it_lasts_while_parts_are_dropped(patient: Bench) -> None:
    told = Heard(patient.core.alerts)
    server, player = Peer(patient, "server:a").attach(), Peer(patient, "player:1").attach()
    for _ in range(10):
        server.burst(3, "all")
        patient.advance(0.5)
        player.ack()
    assert told.began == ["player:1 critical"]
    (alert,) = patient.core.alerts
    assert alert.figures["dropped"] > 0
    assert alert.figures["peak_held_bytes"] <= 2_048 + 4_096 + 400


def test_lanes_are_told_apart(patient: Bench) -> None:
    told = Heard(patient.core.alerts)
    server = Peer(patient, "server:a").attach()
    Peer(patient, "player:1").attach()
    server.send("t", "player:1", Lane.LOW)
    server.send("t", "player:1", Lane.NORMAL)
    patient.advance(7.0)
    assert sorted(told.began) == ["player:1 low", "player:1 normal"]


def test_who_is_away_is_not_called_slow_but_who_was_slow_stays_so(patient: Bench) -> None:
    told = Heard(patient.core.alerts)
    server = Peer(patient, "server:a").attach()
    slow, away = Peer(patient, "player:1").attach(), Peer(patient, "player:2").attach()
    server.burst(1, "player:1")
    patient.advance(7.0)
    for peer in (slow, away):
        patient.core.lost(Lane.CRITICAL, peer.routes[Lane.CRITICAL] or b"", patient.now)
    server.burst(1, "player:2")
    patient.advance(8.0)
    assert (told.began, told.ended) == (["player:1 critical"], [])


def test_the_receiver_s_end_is_the_end_of_its_episode(patient: Bench) -> None:
    told = Heard(patient.core.alerts)
    server, player = Peer(patient, "server:a").attach(), Peer(patient, "player:1").attach()
    server.burst(1, "player:1")
    patient.advance(7.0)
    player.bye()
    patient.advance(1.5)
    assert told.ended == ["player:1 critical"]
    assert Kind.BYE not in server.kinds()


def test_a_successor_is_not_blamed_for_what_its_predecessor_did_not_settle(patient: Bench) -> None:
    told = Heard(patient.core.alerts)
    server = Peer(patient, "server:a").attach()
    Peer(patient, "player:1").attach()
    server.burst(2, "player:1")
    patient.advance(7.0)
    successor = Peer(patient, "player:1").attach()
    patient.advance(1.5)
    assert (told.began, told.ended) == (["player:1 critical"], ["player:1 critical"])
    patient.advance(7.0)
    assert told.began == ["player:1 critical"] * 2, "it has had them for long enough itself"
    for _ in range(3):
        successor.settle_all()
        patient.advance(1.2)
    assert told.ended == ["player:1 critical"] * 2


def test_who_only_waits_for_its_allowance_is_not_slow_until_it_does_not_settle() -> None:
    bench = Bench(
        small_config(
            sessions=SessionsConfig(grace_s=60.0, recovery_s=0.0, ping_interval_s=50.0, lease_s=100.0),
            policy=PolicyConfig(client=Policy(down_bytes_per_s=200.0, bytes_burst_s=1.0)),
            egress=EgressConfig(batch_bytes=1_024, credit_bytes=1 << 20, queue_bytes=1 << 20, age_s=100.0),
        )
    )
    told = Heard(bench.core.alerts)
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    for seed in range(11):
        server.send("t", "all", Lane.NORMAL, Random(seed).randbytes(300))
    for _ in range(80):
        player.ack()
        player.settle_all()
        bench.advance(0.1)
    receiving = bench.receiving("player:1", Lane.NORMAL)
    assert receiving.shaped
    assert bench.now - receiving.waiting.oldest.arrived > 7.0
    assert held(receiving, bench.now)["oldest_age_s"] < 1.0
    assert told.began == []
    bench.advance(8.0)
    assert sorted(zip(told.kinds, told.began, strict=True)) == [
        ("bandwidth", "player:1"),
        ("slow_receiver", "player:1 normal"),
    ]


def test_what_was_accepted_long_before_its_receiver_had_it_makes_nobody_slow() -> None:
    """A sender that came before its service, and an instance that has left."""
    bench = Bench(small_config(sessions=SessionsConfig(grace_s=60.0, recovery_s=30.0)))
    told = Heard(bench.core.alerts)
    player = Peer(bench, "player:1").attach()
    for _ in range(3):
        player.send("t", None)
    bench.advance(9.0)
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["t"])
    bench.advance(1.0)
    (waits,) = evidence(bench.core, bench.session("player:1"), lambda look: None, bench.now).waits_for
    assert (waits.receiver, waits.events) == ("server:a", 3)
    assert waits.oldest_age_s <= 1.0
    first = why(bench.core, "server:a", lambda look: None, bench.now)["verdicts"][0]
    assert first["cause"] == "fine"
    heir = Peer(bench, "server:b").attach()
    heir.ask(Kind.REGISTER, service="s", topics=["t"])
    bench.advance(3.0)
    server.bye()
    bench.advance(1.0)
    for _ in range(2):
        (waits,) = evidence(bench.core, bench.session("player:1"), lambda look: None, bench.now).waits_for
        assert waits.oldest_age_s <= 3.0
        bench.advance(1.0)
    assert told.began == []
