"""Statistics of one session by lane: what was sent, got, sent again, and how events ended."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.statistics import queued_events, statistics
from lanebus.wire.lanes import Lane


def test_both_directions_are_counted_by_lane(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.send("tick", "player:1", Lane.CRITICAL)
    server.send("tick", "player:1", Lane.CRITICAL)
    server.send("chat", "player:2", Lane.LOW)
    bench.advance(0.1)
    player.settle_all()
    bench.advance(0.3)
    sent = statistics(bench.session("server:a"), bench.now)
    got = statistics(bench.session("player:1"), bench.now)
    assert sent["critical"]["in"]["events"] == sent["critical"]["in"]["ended"]["delivered"] == 2
    assert sent["low"]["in"]["reasons"] == {"refused: unknown_destination": 1}
    assert sent["normal"]["in"]["events"] == 0
    out = got["critical"]["out"]
    assert (out["events"], out["resent"], out["held_bytes"]) == (2, 0, 0)
    assert 0 < out["settled_ms"]["max"] <= 400
    assert got["low"]["out"]["settled_ms"]["p50"] is None


def test_what_waits_has_an_age_and_what_goes_again_is_counted(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.send("tick", "player:1", Lane.NORMAL)
    bench.advance(1.0)
    player.cut()
    player.attach()
    bench.advance(0.5)
    out = statistics(bench.session("player:1"), bench.now)["normal"]["out"]
    assert (out["events"], out["resent"]) == (2, 1)
    assert (out["queued_events"], out["unsettled_events"]) == (0, 1)
    assert (out["retry"]["resent_events"], out["retry"]["most_sendings"]) == (1, 2)
    assert out["held_bytes"] > 0
    assert out["oldest_age_s"] == pytest.approx(0.5), "the present process has had it since then"


def test_parts_that_wait_to_be_sent_are_counted_where_they_wait(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:2")
    for _ in range(2):
        for name in ("player:1", "player:2"):
            server.send("t", name, Lane.LOW)
    bench.core.end_turn(bench.now)
    # The first went at once; of the others those behind the gateway are in its link's queue.
    for _ in range(2):
        for name in ("player:1", "player:2"):
            server.send("t", name, Lane.LOW)
    assert queued_events(bench.session("player:1"), Lane.LOW) == 2
    assert queued_events(bench.session("player:2"), Lane.LOW) == 0
    for _ in range(7):
        server.send_batch([server.event("t", "player:1", payload=bytes(300)) for _ in range(3)])
        bench.advance(0.05)
        player.ack()
    waiting = len(bench.receiving("player:1").waiting)
    assert queued_events(bench.session("player:1"), Lane.CRITICAL) == waiting > 0


def test_events_that_come_again_are_counted_with_their_sender(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    event = server.event("t", "server:a")
    for _ in range(3):
        server.send_batch([event])
    bench.turn()
    sent = statistics(bench.session("server:a"), bench.now)["critical"]["in"]
    assert (sent["events"], sent["resent"]) == (1, 2)
