"""All watchdogs of a broker look, each at what is its own, by the settings."""

from tests.broker.bench import Bench, small_config
from tests.broker.heard import Heard
from tests.broker.peer import Peer

from lanebus.broker.alerts import BROKER
from lanebus.conf.model import AlertsConfig, SessionsConfig
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.outboxes import OutboxReport
from lanebus.wire.pings import Ping

SESSIONS = SessionsConfig(grace_s=60.0, recovery_s=0.0, ping_interval_s=50.0, lease_s=100.0)


def test_every_kind_begins_in_a_broker_and_ends() -> None:
    config = AlertsConfig(memory_bytes=1000, flapping_returns=2, flapping_window_s=5.0)
    policy = PolicyConfig(error_budget_per_s=20.0)
    bench = Bench(small_config(alerts=config, sessions=SESSIONS, policy=policy))
    heard = Heard(bench.core.alerts)
    server, player = (Peer(bench, name).attach() for name in ("server:a", "player:1"))
    server.burst(1, "player:1")
    bench.advance(7.0)
    server.say(Kind.PING, Ping(0, 0, [], outboxes=[OutboxReport(0, 9, 10, 0)]))
    bench.core.bus.memory = 1000, None
    player.attach().attach()
    bench.now += 2.5
    for _ in range(2):
        bench.now += 0.25
        player.send_batch([player.event("t", "player:2") for _ in range(30)])
    bench.turn()
    assert sorted(zip(heard.kinds, heard.began, strict=True)) == [
        ("error_budget", "player:1"),
        ("flapping", "player:1"),
        ("loop_late", BROKER),
        ("memory", BROKER),
        ("outbox_full", "server:a"),
        ("slow_receiver", "player:1 critical"),
    ]
    bench.core.bus.memory = 0, None
    player.settle_all()
    server.ping()
    bench.advance(8.0)
    assert sorted(heard.ended) == sorted(heard.began)


def test_what_came_too_soon_is_told_by_a_later_look() -> None:
    config = AlertsConfig(memory_bytes=1000, min_interval_s=10.0)
    bench = Bench(small_config(alerts=config))
    heard = Heard(bench.core.alerts)
    for resident in (1000, 0, 1000):
        bench.core.bus.memory = resident, None
        bench.advance(1.0)
    assert (heard.began, heard.ended) == ([BROKER], [BROKER])
    bench.advance(9.0)
    assert heard.began == [BROKER] * 2


def test_a_gateway_without_players_is_there_all_the_same() -> None:
    bench = Bench(small_config(alerts=AlertsConfig(flapping_returns=2)))
    heard = Heard(bench.core.alerts)
    gateway = Peer(bench, "gateway:g").attach().attach().attach()
    bench.advance(2.0)
    assert (heard.began, heard.ended) == (["gateway:g"], [])
    gateway.bye()
    bench.advance(2.0)
    assert heard.ended == ["gateway:g"]
