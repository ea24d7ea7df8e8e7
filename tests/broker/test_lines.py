"""Lines: pings become samples, everybody is judged in turn, and a poor line gets fewer batches."""

from collections import Counter

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.attachment import Attachment
from lanebus.broker.lines import PORTION, ROUND_S, STEP_S, queue_ms
from lanebus.broker.tcpinfo import Look
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.pings import Ping
from lanebus.wire.quality import Degree


def ping(bench: Bench, peer: Peer, rtt_ms: float, seconds: int) -> None:
    """Let the peer ping once a second for so long."""
    for _ in range(seconds):
        peer.say(Kind.PING, Ping(0, int(rtt_ms * 1000), []))
        bench.advance(1.0)


def drop(bench: Bench, peer: Peer) -> None:
    """The broker learns at once that the peer's links are gone."""
    route = peer.routes[Lane.CRITICAL]
    assert route is not None
    peer.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)


def wanted(bench: Bench) -> Attachment | None:
    return bench.core.lines.wanted


def degree(bench: Bench, name: str) -> str:
    return bench.session(name).quality.judgement.degree.value


def attached(bench: Bench, *names: str) -> list[Peer]:
    return [Peer(bench, name).attach() for name in names]


def test_a_players_line_is_judged_after_some_pings(bench: Bench) -> None:
    (player,) = attached(bench, "player:1")
    ping(bench, player, 30.0, 4)
    assert degree(bench, "player:1") == "estimating"
    ping(bench, player, 30.0, 4)
    assert degree(bench, "player:1") == "excellent"


def test_the_driver_looks_once_a_sample(bench: Bench) -> None:
    (player,) = attached(bench, "player:1")
    lines = bench.core.lines
    for segments in (100, 160):
        assert wanted(bench) is None
        player.say(Kind.PING, Ping(0, 90_000, []))
        assert wanted(bench) is bench.attachment("player:1")
        lines.network(Look("far", 40.0, 1.0, 30.0, segments, 3))
        player.say(Kind.PING, Ping(0, 90_000, []))
        bench.advance(1.0)
    found = bench.attachment("player:1").line.figures(20.0, bench.now)
    assert (found.rtt_ms, found.samples) == (40.0, 2)
    player.say(Kind.PING, Ping(0, 90_000, []))
    lines.network(None)
    lines.network(Look("far", 40.0, 1.0, 30.0, 170, 3))
    assert bench.attachment("player:1").line.figures(20.0, bench.now).rtt_ms == pytest.approx(40.0)


def test_a_line_that_falls_silent_is_lost_before_its_links_are(bench: Bench) -> None:
    (player,) = attached(bench, "player:1")
    ping(bench, player, 30.0, 8)
    bench.advance(3.7)
    judgement = bench.session("player:1").quality.judgement
    assert player.up
    assert judgement.degree.value == "lost"
    assert judgement.reason.startswith("silent for ")


def test_who_is_away_is_lost_and_who_is_back_is_estimated_anew(bench: Bench) -> None:
    (player,) = attached(bench, "player:1")
    ping(bench, player, 30.0, 8)
    player.cut()
    bench.advance(6.0)
    quality = bench.session("player:1").quality
    assert (quality.judgement.degree.value, quality.judgement.reason) == ("lost", "silent")
    player.attach()
    bench.advance(0.1)
    assert quality.judgement.degree is Degree.ESTIMATING
    assert (quality.resumes, quality.outages) == (1, 1)
    assert 1.0 < quality.longest_s(bench.now) < 6.1


def test_batches_that_go_again_after_a_reconnect_are_a_loss(bench: Bench) -> None:
    server, player = attached(bench, "server:a", "player:1")
    for _ in range(3):
        server.send("t", "player:1")
        bench.advance(0.1)
    player.cut()
    bench.advance(1.0)
    player.attach()
    player.say(Kind.PING, Ping(0, 30_000, []))
    rows = list(bench.attachment("player:1").line.ring.rows())
    assert rows[-1][1][3:] == [4.0, 3.0]


@pytest.mark.patches
@pytest.mark.parametrize(
    ("players", "each_s"), [(3, ROUND_S), (PORTION + 1, ROUND_S), (50 * PORTION, 50 * STEP_S)]
)
def test_a_few_are_judged_in_one_go_and_all_once_a_round(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, players: int, each_s: float
) -> None:
    attached(bench, "player:1")
    session = bench.session("player:1")
    lines = bench.core.lines
    monkeypatch.setattr(lines, "_sessions", lambda: iter([session] * players))
    judged: list[float] = []
    monkeypatch.setattr(lines, "judge", lambda session, now: judged.append(now))
    bench.advance(ROUND_S + 2 * each_s - 0.01)
    assert len(judged) == 2 * players
    assert max(Counter(judged).values()) == min(players, PORTION)


def test_who_ends_within_a_round_is_not_judged(bench: Bench) -> None:
    (player,) = attached(bench, "player:1")
    session = bench.session("player:1")
    player.bye()
    bench.core.lines._round = [session]
    bench.advance(ROUND_S)
    assert session.quality.judgement.reason == "0 of 5 samples"
    assert bench.core.lines._round == []


def test_players_behind_a_gateway_share_its_line(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1", rtt_ms=10.0)
    gateway.open(2, "player:2", rtt_ms=350.0)
    ping(bench, gateway, 90.0, 10)
    assert [degree(bench, f"player:{number}") for number in (1, 2)] == ["excellent", "poor"]
    # Who shares a link with others does not slow them down.
    assert [out.extra_s for out in bench.attachment("gateway:g").outbound] == [0.0, 0.0, 0.0]


def test_a_poor_line_gets_normal_and_low_batches_less_often(bench: Bench) -> None:
    server, player, other = attached(bench, "server:a", "player:1", "player:2")
    for _ in range(10):
        for peer, rtt_ms in ((player, 900.0), (other, 30.0), (server, 30.0)):
            peer.say(Kind.PING, Ping(0, int(rtt_ms * 1000), []))
        bench.advance(1.0)
    assert [degree(bench, f"player:{number}") for number in (1, 2)] == ["poor", "excellent"]
    config = bench.core.config
    assert [out.extra_s for out in bench.attachment("player:1").outbound] == [
        0.0,
        config.lanes.normal.interval_ms / 1e3,
        config.lanes.low.interval_ms / 1e3,
    ]
    batches = {lane: [peer.batches(lane) for peer in (player, other)] for lane in Lane}
    for _ in range(200):
        for lane in (Lane.CRITICAL, Lane.NORMAL):
            for name in ("player:1", "player:2"):
                server.send("t", name, lane)
        bench.advance(0.01)
        for peer in (player, other):
            peer.settle_all()
    grown = {
        lane: [
            peer.batches(lane) - before for peer, before in zip((player, other), batches[lane], strict=True)
        ]
        for lane in Lane
    }
    assert grown[Lane.CRITICAL][0] == grown[Lane.CRITICAL][1]
    assert grown[Lane.NORMAL][0] < 0.7 * grown[Lane.NORMAL][1]
    drop(bench, player)
    assert [out.extra_s for out in bench.attachment("player:1").outbound] == [0.0, 0.0, 0.0]


def test_the_oldest_part_that_has_not_left_is_the_queue(bench: Bench) -> None:
    server, player = attached(bench, "server:a", "player:1")
    session = bench.session("player:1")
    assert queue_ms(session, bench.now) == 0.0
    for _ in range(4):
        server.send_batch([server.event("t", "player:1", payload=bytes(900)) for _ in range(2)])
        bench.advance(0.1)
        player.ack()
    assert bench.receiving("player:1").waiting
    since = bench.receiving("player:1").waiting.oldest.arrived
    assert queue_ms(session, bench.now + 1.0) == pytest.approx((bench.now + 1.0 - since) * 1e3)


def test_what_a_peer_says_of_its_own_line_is_kept_and_changes_nothing(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    line = bench.session("player:1").attachment.line
    ping(bench, player, 30.0, 12)
    player.say(Kind.PING, Ping(0, 30_000, [], Degree.POOR, "loss 9.0 %"))
    reported = (Degree.POOR, "loss 9.0 %", bench.now)
    assert line.reported == reported
    player.say(Kind.PING, Ping(0, 30_000, []))
    assert line.reported == reported, "one that says nothing of it takes nothing back"
    assert bench.session("player:1").quality.judgement.degree is Degree.EXCELLENT
    player.attach()
    assert not line.reported
