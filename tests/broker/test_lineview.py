"""What the control endpoint shows of a line."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.lineview import history, line_figures
from lanebus.broker.tcpinfo import Look
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.pings import Ping
from lanebus.wire.quality import Degree


@pytest.fixture
def player(bench: Bench) -> Peer:
    """A player that has pinged for 24 s."""
    player = Peer(bench, "player:1").attach()
    for number in range(24):
        player.say(Kind.PING, Ping(0, 40_000, []))
        bench.core.lines.network(Look("far", 30.0, 2.0, 20.0, 10 * number, 0))
        bench.advance(1.0)
    return player


def test_a_line_has_its_figures_and_their_judgement(bench: Bench, player: Peer) -> None:
    shown = line_figures(bench.session("player:1"), bench.now)
    assert shown == {
        "rtt_ms": 30.0,
        "network_rtt_ms": 30.0,
        "app_rtt_ms": 40.0,
        "outside_rtt_ms": None,
        "jitter_ms": 0.0,
        "loss_share": 0.0,
        "queue_ms": 0.0,
        "quality": "excellent",
        "reason": "round trip 30.0 ms",
        "score": pytest.approx(94.0),
        "resumes": 0,
        "outages": 0,
        "longest_outage_s": 0.0,
    }


def test_behind_a_gateway_the_way_to_it_is_added(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1", rtt_ms=50.0)
    gateway.say(Kind.PING, Ping(0, 10_000, []))
    shown = line_figures(bench.session("player:1"), bench.now)
    assert (shown["app_rtt_ms"], shown["network_rtt_ms"], shown["rtt_ms"]) == (60.0, None, 60.0)
    for _ in range(3):
        bench.advance(1.0)
        gateway.say(Kind.PING, Ping(0, 10_000, []))
    found = history(bench.session("player:1"), bench.now)
    assert found["via"] == "gateway:g"
    assert found["percentiles"]["app_rtt_ms"]["p50"] == 60.0


def test_the_history_has_samples_and_changes_with_their_ages(bench: Bench, player: Peer) -> None:
    route = player.routes[Lane.CRITICAL]
    assert route is not None
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    player.attach()
    player.say(Kind.PING, Ping(0, 50_000, []))
    shown = history(bench.session("player:1"), bench.now)
    assert (shown["name"], shown["connected_s"]) == ("player:1", bench.now)
    assert len(shown["samples"]) == 25
    first, *_, last = shown["samples"]
    assert (first["age_s"], first["network_rtt_ms"], first["before_reconnect"]) == (bench.now, None, True)
    assert (last["age_s"], last["app_rtt_ms"], last["before_reconnect"]) == (0.0, 50.0, False)
    assert shown["samples"][5]["network_rtt_ms"] == 30.0
    assert [change["after"] for change in shown["changes"]] == ["excellent", "lost", "estimating"]
    assert shown["changes"][-1]["age_s"] == 0.0


def test_percentiles_are_only_of_enough_samples(bench: Bench, player: Peer) -> None:
    percentiles = history(bench.session("player:1"), bench.now)["percentiles"]
    assert percentiles["network_rtt_ms"] == {"p50": 30.0, "p95": 30.0, "p98": None}
    assert percentiles["app_rtt_ms"] == {"p50": 40.0, "p95": 40.0, "p98": None}


def test_both_views_of_a_line_are_shown(bench: Bench, player: Peer) -> None:
    assert history(bench.session("player:1"), bench.now)["reported"] is None
    player.say(Kind.PING, Ping(0, 40_000, [], Degree.FAIR, "jitter 61.0 ms"))
    bench.advance(1.5)
    shown = history(bench.session("player:1"), bench.now)
    assert shown["quality"] == "excellent"
    assert shown["reported"] == {"quality": "fair", "reason": "jitter 61.0 ms", "age_s": 1.5}
