"""Full outboxes: what pings say of them, of one session and of a gateway's many."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.heard import Heard
from tests.broker.peer import Peer

from lanebus.broker.alerts import AlertKind
from lanebus.conf.model import AlertsConfig
from lanebus.wire.batches import MAX_UNSIGNED
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Watched
from lanebus.wire.outboxes import OutboxReport
from lanebus.wire.pings import Ping

FULL = AlertKind.OUTBOX_FULL


@pytest.fixture
def bench() -> Bench:
    return Bench(small_config(alerts=AlertsConfig(min_interval_s=0.0)))


@pytest.fixture
def heard(bench: Bench) -> Heard:
    return Heard(bench.core.alerts)


def ping(peer: Peer, *reports: tuple[int, int, int]) -> None:
    """A ping that reports outboxes of 1000 bytes: index, bytes held, events turned away."""
    outboxes = [OutboxReport(index, held, 1000, away) for index, held, away in reports]
    peer.say(Kind.PING, Ping(0, 0, [], outboxes=outboxes))


def test_an_outbox_near_its_limit_is_told_until_it_is_well_below_it(bench: Bench, heard: Heard) -> None:
    server = Peer(bench, "server:a").attach()
    for held in (500, 799):
        ping(server, (0, held, 0))
    assert heard.began == []
    ping(server, (0, 800, 0))
    ping(server, (0, 700, 0))
    assert (heard.began, heard.ended, heard.kinds) == (["server:a"], [], ["outbox_full"])
    ping(server, (0, 590, 0))
    assert heard.ended == ["server:a"]
    (alert,) = bench.core.alerts
    assert alert.figures["peak_held_bytes"] == 800
    assert alert.figures["limit_bytes"] == 1000


def test_an_outbox_that_had_no_room_was_full_though_it_is_not_now(bench: Bench, heard: Heard) -> None:
    server = Peer(bench, "server:a").attach()
    ping(server, (0, 10, 7))
    ping(server, (0, 10, 5))
    assert heard.began == ["server:a"]
    (alert,) = bench.core.alerts
    assert (alert.figures["used_share"], alert.figures["turned_away"]) == (1.0, 12)
    ping(server)
    assert heard.ended == ["server:a"]


def test_who_is_not_named_by_a_ping_is_well(bench: Bench, heard: Heard) -> None:
    first, second = (Peer(bench, name).attach() for name in ("server:a", "player:1"))
    ping(first, (0, 900, 0))
    ping(second, (0, 900, 0))
    ping(first)
    assert heard.ended == ["server:a"]
    assert bench.core.alerts.lasting(FULL, "player:1") is not None


def test_the_sessions_of_a_gateway_are_told_apart(bench: Bench, heard: Heard) -> None:
    gateway, other = (Peer(bench, name).attach() for name in ("gateway:g", "gateway:h"))
    for index in (1, 2, 3):
        gateway.open(index, f"player:{index}")
    other.open(1, "player:9")
    ping(other, (1, 900, 0))
    ping(gateway, (1, 900, 0), (2, 950, 0), (3, 600, 0), (7, 999, 0))
    assert heard.began == ["player:9", "player:1", "player:2"]
    ping(gateway, (2, 950, 0))
    assert heard.ended == ["player:1"]
    ping(gateway)
    assert heard.ended == ["player:1", "player:2"]
    assert bench.core.alerts.lasting(FULL, "player:9") is not None


def test_the_end_of_the_sender_is_the_end_of_its_episode(bench: Bench, heard: Heard) -> None:
    server = Peer(bench, "server:a").attach()
    ping(server, (0, 900, 0))
    server.bye()
    bench.advance(1.5)
    assert heard.ended == ["server:a"]


def test_what_peers_say_stays_a_number_that_travels(bench: Bench) -> None:
    watcher, liar = Peer(bench, "server:w").attach(), Peer(bench, "player:1").attach()
    watcher.ask(Kind.WATCH, what=Watched.ALERTS)
    for _ in range(5):
        ping(liar, *[(0, 10, MAX_UNSIGNED)] * 200)
        bench.turn()
    (alert,) = bench.core.alerts
    assert alert.figures["turned_away"] == MAX_UNSIGNED
    assert watcher.errors == []
