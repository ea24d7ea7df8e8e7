"""The sums that metrics are made of: of the broker as a whole, in names that are bounded."""

from typing import Any

import msgspec
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.alerts import AlertKind
from lanebus.broker.portions import complete
from lanebus.broker.sums import sums
from lanebus.broker.survey import survey
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane


def ask(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = sums(
        bench.core, complete(survey(bench.core.registry, bench.now), bench.now), bench.now
    )
    return found


def test_traffic_is_summed_by_role_and_lane(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    for number in range(2):
        Peer(bench, f"player:{number}").attach()
        server.send("topic", f"player:{number}", Lane.LOW, b"123")
    bench.advance(0.3)
    traffic = ask(bench)["traffic"]
    assert set(traffic) == {"client", "server"}
    assert traffic["server"]["low"]["events_in"] == traffic["client"]["low"]["events_out"] == 2
    assert traffic["server"]["low"]["bytes_in"] == 2 * len("topic123")
    assert traffic["client"]["critical"]["events_out"] == 0


def test_ends_are_told_by_outcome_and_reason(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.send("t", "player:1")
    for _ in range(2):
        server.send("t", "player:nobody")
    bench.advance(0.1)
    player.settle_all()
    assert ask(bench)["ended"]["critical"] == [
        ["delivered", "", 1],
        ["refused", "unknown_destination", 2],
    ]
    assert ask(bench)["withheld"]["critical"] == {
        "superseded": 0,
        "expired": 0,
        "dropped": 0,
        "refused": 0,
    }


def test_the_fullest_queue_and_the_oldest_part_of_those_without_credit(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    Peer(bench, "player:2").attach()
    server.ask(Kind.JOIN, group="room", member="player:1")
    for _ in range(4):
        server.burst(3, "group:room")
        bench.advance(0.05)
        player.ack()
        server.ack()
    bench.advance(1.0)
    receiving = bench.receiving("player:1")
    queues = ask(bench)["queues"]
    assert queues["critical"] == {
        "fullest_bytes": receiving.waiting_bytes,
        "waiting_sessions": 1,
        "shaped_sessions": 0,
        "at_sender_events": 0,
        "at_sender_bytes": 0,
        "oldest_age_s": bench.now - receiving.waiting.oldest.arrived,
    }
    assert receiving.waiting_bytes > 0
    assert queues["low"] == {
        "fullest_bytes": 0,
        "waiting_sessions": 0,
        "shaped_sessions": 0,
        "at_sender_events": 0,
        "at_sender_bytes": 0,
        "oldest_age_s": 0.0,
    }


def test_sessions_instances_and_alerts_are_counted(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.ask(Kind.REGISTER, service="combat", topics=["t"])
    player.bye()
    Peer(bench, "player:2").attach()
    bench.turn()
    found = ask(bench)
    assert found["sessions_begun"] == 3
    assert found["sessions"]["client"]["estimating"] == found["sessions"]["server"]["estimating"] == 1
    assert found["sessions"]["client"]["poor"] == 0
    assert found["instances"] == [["combat", "ready", 1]]
    assert found["alerts"] == {kind.value: 0 for kind in AlertKind}
    bench.core.alerts.begin(AlertKind.SLOW_RECEIVER, "player:2", bench.now, {}, lane=Lane.LOW)
    found = ask(bench)
    assert found["alerts"]["slow_receiver"] == found["alerts_begun"]["slow_receiver"] == 1
    (alert,) = bench.core.alerts
    bench.core.alerts.end(alert, bench.now)
    found = ask(bench)
    assert (found["alerts"]["slow_receiver"], found["alerts_begun"]["slow_receiver"]) == (0, 1)


def test_what_metrics_are_made_of_names_no_peer(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    Peer(bench, "player:1").attach()
    server.ask(Kind.JOIN, group="room", member="player:1")
    server.send("t", "player:1")
    bench.advance(0.3)
    written = msgspec.json.encode(ask(bench))
    assert b"player:" not in written
    assert b"server:" not in written
    assert b"room" not in written


def test_histograms_travel_whole(bench: Bench) -> None:
    bench.core.counters.busy.record(20)
    bench.core.counters.late.record(7)
    bench.core.counters.held[Lane.LOW].record(3)
    found = ask(bench)
    assert found["turns"]["busy"][:2] == [20, 20]
    assert found["turns"]["late"][:2] == [7, 7]
    assert found["held"]["low"][:2] == [3, 3]
