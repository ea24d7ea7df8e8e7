"""The sweep: leases end, times are over, statistics are noted in turns, and all that watches has its look."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.alerts import BROKER, AlertKind
from lanebus.broker.sweep import NOTE_SWEEPS, PORTION, STEP_S, SWEEP_S
from lanebus.broker.traffic import Traffic
from lanebus.broker.watchdogs import Watchdogs
from lanebus.conf.model import LimitsConfig, SessionsConfig
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.lanes import LANES, Lane


def test_a_silent_link_ends_with_its_lease_and_any_traffic_proves_life(bench: Bench) -> None:
    silent, pinging, sending = (Peer(bench, f"server:{name}").attach() for name in "abc")
    for _ in range(6):
        bench.advance(1.0)
        pinging.ping()
        sending.send("t", "server:z", Lane.LOW)
    assert bench.attachment("server:a").links == [None, None, None]
    assert None not in bench.attachment("server:b").links
    assert None not in bench.attachment("server:c").links
    silent.ping()
    bench.turn()
    assert silent.errors == [ErrorNumber.NO_SESSION]


def test_an_attachment_that_does_not_complete_its_links_is_ended(bench: Bench) -> None:
    peer = Peer(bench, "player:1")
    peer.say_hello()
    for _ in range(int(bench.core.config.sessions.hello_timeout_s) + 1):
        bench.advance(1.0)
        peer.ping()
    bench.advance(0.1)
    assert peer.errors == [ErrorNumber.NO_SESSION]
    assert bench.attachment("player:1").away_since is not None


def test_who_is_over_is_gone_and_is_not_looked_at(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.send("t", "player:1")
    player.cut()
    for _ in range(30):
        server.ping()
        bench.advance(SWEEP_S)
    assert [each.name for each in bench.core.registry.sessions()] == ["server:a"]
    assert bench.core.alerts.all_lasting(AlertKind.SLOW_RECEIVER) == []
    assert list(bench.core.registry.ended) == [], "what has ended is summed up"


def test_each_session_is_noted_once_in_so_many_sweeps_and_not_all_in_one(
    monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    peers = [Peer(bench, f"server:{name}").attach() for name in "abc"]
    noted: list[tuple[float, int]] = []
    monkeypatch.setattr(Traffic, "note", lambda traffic: noted.append((bench.now, id(traffic))))
    for _ in range(NOTE_SWEEPS):
        for peer in peers:
            peer.ping()
        bench.advance(SWEEP_S)
    traffics = [id(traffic) for each in bench.core.registry.sessions() for traffic in each.traffic]
    assert sorted(found for _, found in noted) == sorted(traffics)
    assert len({at for at, _ in noted}) == len(noted) / len(LANES) == 3


def test_the_broker_looks_at_itself_before_it_judges(bench: Bench) -> None:
    bench.now += SWEEP_S + 3.0
    bench.turn()
    assert [str(symptom) for symptom in bench.core.bus.symptoms] == ["its loop stood still: 3.0 s"]
    alert = bench.core.alerts.lasting(AlertKind.LOOP_LATE, BROKER)
    assert alert is not None
    assert alert.figures["late_s"] == 3.0


def test_a_sweep_over_thousands_looks_at_each_once_a_second_and_at_few_in_one_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = LimitsConfig(attachments=3000, sessions_per_gateway=3000)
    bench = Bench(small_config(limits=limits, sessions=SessionsConfig(recovery_s=0.0)))
    gateway = Peer(bench, "gateway:g").attach()
    for number in range(1, 2001):
        gateway.open(number, f"player:{number}")
    looked: dict[float, list[str]] = {}
    monkeypatch.setattr(
        Watchdogs, "session", lambda _, session, now: looked.setdefault(now, []).append(session.name)
    )
    for _ in range(100):
        bench.advance(STEP_S)
        if bench.now % 1.0 < STEP_S:
            gateway.ping()
    assert max(map(len, looked.values())) <= PORTION
    names = [name for found in looked.values() for name in found]
    assert len(set(names)) == 2000
    assert len(names) <= 4000


def test_who_ends_while_a_sweep_is_under_way_is_passed_over() -> None:
    limits = LimitsConfig(attachments=3000, sessions_per_gateway=3000)
    bench = Bench(small_config(limits=limits, sessions=SessionsConfig(recovery_s=0.0)))
    players = [Peer(bench, f"player:{number}").attach() for number in range(PORTION + 10)]
    bench.advance(SWEEP_S)
    for player in players[::2]:
        player.bye()
    bench.advance(SWEEP_S)
    assert len(list(bench.core.registry.sessions())) == len(players) // 2
    assert bench.problems() == []
