"""The control endpoint's answers are figures of the broker's state."""

import logging
import os
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from typing import Any

import msgspec
import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.inspect import Inspector
from lanebus.broker.retries import retries
from lanebus.conf.model import LimitsConfig, SessionsConfig
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.build import is_compiled
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.pings import Ping

ADDRESSES = {"critical": "tcp://127.0.0.1:1"}


class Scene:
    """A server that has sent to a player and to a gateway's player; some of it is settled, some waits."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.inspector = Inspector(bench.core, ADDRESSES)
        self.server = Peer(bench, "server:a").attach()
        self.player = Peer(bench, "player:1").attach()
        self.gateway = Peer(bench, "gateway:g").attach()
        self.gateway.open(1, "player:11", rtt_ms=30.0)
        self.server.ask(Kind.REGISTER, service="combat", topics=["t"])
        self.server.ask(Kind.JOIN, group="room", member="player:1")
        for _ in range(4):
            self.server.send_batch([self.server.event("t", "player:1", payload=bytes(300)) for _ in range(3)])
            bench.advance(0.05)
            self.player.ack()
        self.player.settle(self.player.unsettled[:1])
        bench.advance(0.3)
        for _ in range(2):
            self.server.send("t", "player:11", Lane.LOW)
            bench.turn()

    def ask(self, command: object) -> Any:
        reply = answer(self.inspector, {"command": command}, self.bench.now)
        assert reply["ok"], reply
        return reply["result"]


def answer(inspector: Inspector, request: dict[str, object], now: float = 0.0) -> dict[str, Any]:
    reply = inspector.answer([msgspec.msgpack.encode(request)], now)
    assert reply is not None
    decoded: dict[str, Any] = msgspec.msgpack.decode(reply)
    return decoded


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(bench)


# Requests


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([], "0 frames; a request is one"),
        ([b"a", b"b"], "2 frames; a request is one"),
        ([b"\xc1"], "MessagePack"),
        ([b"\x01"], "Expected `object`"),
        ([msgspec.msgpack.encode({})], "no command None; there are status, queues, peers, audit"),
        ([msgspec.msgpack.encode({"command": "reboot"})], "no command 'reboot'"),
        ([msgspec.msgpack.encode({"command": ["status"]})], "no command ['status']"),
        ([b"\x91" * 5000], ""),
    ],
)
def test_a_request_that_is_none_is_answered_with_an_error(
    bench: Bench, frames: list[bytes], error: str
) -> None:
    given = Inspector(bench.core, ADDRESSES).answer(frames, 0.0)
    assert given is not None
    reply = msgspec.msgpack.decode(given)
    assert not reply["ok"]
    assert error in reply["error"]


# Answers


def test_status_is_the_broker_at_a_glance(scene: Scene) -> None:
    status = scene.ask("status")
    core = scene.bench.core
    assert status["name"] == core.config.broker.name
    assert status["pid"] == os.getpid()
    assert status["compiled"] is is_compiled()
    assert status["epoch"] == core.epoch.hex()
    assert status["uptime_s"] == scene.bench.now
    assert status["addresses"] == ADDRESSES
    assert status["attachments"] == 3
    assert status["sessions"] == {"client": 2, "server": 1, "gateway": 0}
    assert status["services"] == {"combat": ["server:a"]}
    assert status["groups"] == 1
    assert status["ping_mean_ms"] == 30.0
    assert status["rss_bytes"] > 1 << 20
    assert status["control"]["in"]["messages"] == core.counters.control_in.messages
    assert status["books"]["parts"]["critical"]["delivered"] == 1


def test_status_says_how_well_the_broker_is_and_why_it_is_not(scene: Scene) -> None:
    assert (scene.ask("status")["health"], scene.ask("status")["reasons"]) == ("ok", [])
    for _ in range(100):
        scene.bench.core.counters.late.record(50_000)
    scene.bench.advance(1.0)
    status = scene.ask("status")
    assert status["health"] == "degraded"
    assert status["reasons"] == ["its loop is late: 50.0 ms (p99 of the last minute)"]
    assert status["loop"]["late_lately_ms"]["max"] == status["loop"]["late_ms"]["max"] == 50.0


def test_the_lanes_of_status_are_the_queues_and_counters_of_the_core(scene: Scene) -> None:
    status = scene.ask("status")
    core = scene.bench.core
    for lane in LANES:
        shown = status["lanes"][lane.label]
        receivers = [session.receiving[lane] for session in core.registry.sessions()]
        queues = [attachment.outbound[lane] for attachment in core.registry.attachments.values()]
        assert shown["queued_events"] == sum(len(r.waiting) for r in receivers) + sum(
            len(out.queue) for out in queues
        )
        assert shown["queued_bytes"] == sum(r.waiting_bytes for r in receivers) + sum(
            out.queued_bytes for out in queues
        )
        assert shown["unsettled_events"] == sum(
            len(numbers) for r in receivers for numbers in r.unsettled.values()
        )
        assert shown["out"] == core.counters.lanes_out[lane].as_dict()
        assert shown["in"] == core.counters.lanes_in[lane].as_dict()
    assert status["lanes"]["critical"]["queued_events"] == 4
    assert status["lanes"]["low"]["queued_events"] == 1
    assert status["lanes"]["normal"]["held_ms"] == {"p50": None, "p95": None, "p99": None, "max": None}
    assert status["lanes"]["critical"]["held_ms"]["max"] is not None


def test_queues_shows_every_session_and_lane(scene: Scene) -> None:
    queues = {(row["peer"], row["lane"]): row for row in scene.ask("queues")}
    assert len(queues) == 9
    slow = queues["player:1", "critical"]
    receiving = scene.bench.receiving("player:1")
    assert slow["queued_events"] == len(receiving.waiting) == 4
    assert slow["queued_bytes"] == receiving.waiting_bytes
    assert slow["unsettled_events"] == 7
    assert slow["unsettled_bytes"] == receiving.committed_bytes
    assert slow["oldest_age_s"] == pytest.approx(scene.bench.now - receiving.waiting.oldest.arrived)
    assert slow["limit_bytes"] == scene.bench.core.config.egress.queue_bytes
    assert slow["credit_bytes"] == scene.bench.core.config.egress.credit_bytes
    assert slow["retry"] == retries(scene.bench.session("player:1"), Lane.CRITICAL, scene.bench.now)
    behind = queues["player:11", "low"]
    assert (behind["queued_events"], behind["unsettled_events"]) == (1, 1)
    assert queues["server:a", "normal"]["oldest_age_s"] == 0.0


def test_queues_shows_drops_and_pauses(bench: Bench) -> None:
    scene = Scene(bench)
    for to in ("all", "player:1"):
        for _ in range(6):
            scene.server.send_batch([scene.server.event("t", to, payload=bytes(300)) for _ in range(3)])
            bench.advance(0.05)
            scene.player.ack()
            scene.gateway.settle_all()
    (slow,) = (row for row in scene.ask("queues") if (row["peer"], row["lane"]) == ("player:1", "critical"))
    assert slow["dropped"] == bench.receiving("player:1").dropped > 0
    assert slow["paused_senders"] == 1


def test_peers_shows_every_session_with_its_line(scene: Scene) -> None:
    scene.server.say(Kind.PING, Ping(0, 5_000, []))
    peers = {row["name"]: row for row in scene.ask("peers")}
    assert set(peers) == {"server:a", "player:1", "player:11"}
    server = peers["server:a"]
    assert (server["state"], server["links"], server["via"]) == ("up", 3, None)
    assert (server["rtt_ms"], server["quality"]) == (5.0, "estimating")
    assert (
        server["events_in"] == sum(each.events_in for each in scene.bench.session("server:a").traffic) == 14
    )
    assert server["in_flight"] == 13
    assert server["idle_s"] == 0.0
    assert peers["player:11"]["via"] == "gateway:g"
    assert peers["player:1"]["events_out"] == 8
    assert peers["player:1"]["connected_s"] == scene.bench.now


def test_peers_says_who_is_over_which_limit() -> None:
    scene = Scene(Bench(small_config(policy=PolicyConfig())))
    burst = [scene.player.event("t", "server:a", Lane.LOW) for _ in range(100)]
    scene.player.send_batch(burst, Lane.LOW)
    scene.bench.turn()
    peers = {row["name"]: row for row in scene.ask("peers")}
    (held,) = peers["player:1"]["throttled"]
    assert (held["lane"], held["limit"]) == ("low", "events_per_s")
    assert held["wait_s"] > 0.0
    assert peers["server:a"]["throttled"] == peers["server:a"]["shaped"] == []
    stats = {row["name"]: row for row in scene.ask("stats")}
    figures = stats["player:1"]["lanes"]["low"]["in"]
    assert figures["events"] + figures["throttled"] == 100


def test_peers_and_alerts_name_a_slow_receiver(scene: Scene) -> None:
    assert scene.ask("alerts") == []
    for _ in range(7):
        scene.bench.advance(1.0)
        scene.player.ping()
        scene.server.ping()
        scene.gateway.ping()
    peers = {row["name"]: row for row in scene.ask("peers")}
    receiving = scene.bench.receiving("player:1")
    assert peers["server:a"]["slow"] == []
    assert peers["server:a"]["held_bytes"] == 0
    assert peers["player:1"]["held_bytes"] == receiving.committed_bytes + receiving.waiting_bytes > 0
    assert peers["player:1"]["oldest_age_s"] > 5.0
    (episode,) = peers["player:1"]["slow"]
    assert episode["lane"] == "critical"
    assert episode["held_bytes"] == peers["player:1"]["held_bytes"]
    (alert,) = (row for row in scene.ask("alerts") if row["peer"] == "player:1")
    assert (alert["kind"], alert["lane"], alert["is_over"]) == ("slow_receiver", "critical", False)
    assert alert["lasted_s"] == alert["age_s"] == episode["for_s"]
    scene.player.settle_all()
    scene.bench.advance(1.5)
    scene.player.settle_all()
    scene.bench.advance(1.5)
    (alert,) = (row for row in scene.ask("alerts") if row["peer"] == "player:1")
    assert alert["is_over"]
    assert alert["peak_held_bytes"] > alert["held_bytes"]
    assert {row["name"]: row for row in scene.ask("peers")}["player:1"]["slow"] == []


def test_a_peer_that_is_joining_or_away_is_shown_so(scene: Scene) -> None:
    joining = Peer(scene.bench, "player:2")
    joining.say_hello()
    route = scene.player.routes[Lane.CRITICAL]
    assert route is not None
    scene.bench.core.lost(Lane.CRITICAL, route, scene.bench.now)
    peers = {row["name"]: row for row in scene.ask("peers")}
    assert (peers["player:2"]["state"], peers["player:2"]["links"]) == ("joining", 1)
    assert (peers["player:1"]["state"], peers["player:1"]["quality"], peers["player:1"]["reason"]) == (
        "away",
        "lost",
        "no link",
    )


def test_audit_shows_both_sides_books(scene: Scene) -> None:
    scene.server.ping()
    shown = scene.ask("audit")
    assert shown["balanced"]
    assert not shown["at_rest"]
    assert shown["problems"] == []
    assert shown["sessions"] == 3
    assert shown["books"]["events"]["critical"]["accepted"] == 12
    assert shown["books"]["reported"]["critical"]["accepted"] == 12
    scene.bench.session("server:a").sending[Lane.CRITICAL].parts.accepted += 1
    shown = scene.ask("audit")
    assert not shown["balanced"]
    assert len(shown["problems"]) == 1


def test_books_as_large_as_the_wire_allows_can_be_shown(scene: Scene) -> None:
    most = (1 << 53) - 1
    scene.server.say(Kind.PING, Ping(0, 0, [(0, [[0, *[most] * 6]] * 3)]))
    scene.player.say(Kind.PING, Ping(0, 0, [(0, [[most, *[0] * 6]] * 3)]))
    shown = scene.ask("audit")["books"]["reported"]["low"]
    assert shown["in_flight"] < 0 < shown["accepted"]


def test_sums_of_lies_that_no_number_holds_are_an_error_and_not_the_end(scene: Scene) -> None:
    reported = scene.bench.core.registry.totals.reported[Lane.LOW]
    reported.accepted = 1 << 70
    assert not answer(scene.inspector, {"command": "audit"}, scene.bench.now)["ok"]


# Draining


def test_a_drain_begins_at_once_and_is_answered_when_it_is_over(scene: Scene) -> None:
    began = scene.bench.now
    request = msgspec.msgpack.encode({"command": "drain", "deadline_s": 1.5})
    assert scene.inspector.answer([request], began) is None
    assert scene.ask("status")["state"] == "draining"
    scene.bench.advance(1.4)
    assert not scene.bench.core.draining.over
    scene.bench.advance(0.2)
    reply = msgspec.msgpack.decode(scene.inspector.drained())
    assert reply["ok"]
    assert reply["result"]["took_s"] == pytest.approx(1.5, abs=0.01)
    assert sum(reply["result"]["events_left"].values()) > 0


def test_a_drain_that_names_no_deadline_has_the_configured_one(scene: Scene) -> None:
    assert scene.inspector.answer([msgspec.msgpack.encode({"command": "drain"})], scene.bench.now) is None
    scene.bench.advance(scene.bench.core.config.broker.drain_s + 0.1)
    assert scene.bench.core.draining.over


@pytest.mark.parametrize("deadline_s", [-1, 3601, "1", float("nan"), [1]])
def test_a_drain_with_a_deadline_that_is_none_is_an_error_and_does_not_begin(
    scene: Scene, deadline_s: object
) -> None:
    reply = answer(scene.inspector, {"command": "drain", "deadline_s": deadline_s}, scene.bench.now)
    assert "give seconds from 0 to 3600" in reply["error"]
    assert not scene.bench.core.draining.active


# Where the system gives less


def test_without_proc_the_peak_is_the_size(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_proc(*args: object) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(os, "pread", no_proc)
    status = scene.ask("status")
    assert status["rss_bytes"] == status["rss_peak_bytes"]


def test_a_source_tree_that_is_not_installed_has_no_version(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_installed(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("lanebus.broker.inspect.version", not_installed)
    assert Scene(bench).ask("status")["version"] == "unknown"


def test_quality_is_one_peers_history(scene: Scene) -> None:
    scene.server.say(Kind.PING, Ping(0, 5_000, []))
    reply = answer(scene.inspector, {"command": "quality", "peer": "server:a"}, scene.bench.now)
    assert reply["ok"]
    assert reply["result"]["name"] == "server:a"
    assert [row["app_rtt_ms"] for row in reply["result"]["samples"]] == [5.0]


@pytest.mark.parametrize("peer", ["player:99", None, 7, ["player:1"]])
def test_quality_of_nobody_is_refused(scene: Scene, peer: object) -> None:
    reply = answer(scene.inspector, {"command": "quality", "peer": peer})
    assert not reply["ok"]
    assert reply["unknown"]
    assert repr(peer) in reply["error"]


# What takes arguments


def test_metrics_are_the_status_and_sums_of_one_moment(scene: Scene) -> None:
    before = time.time()
    scene = Scene(Bench())
    found = scene.ask("metrics")
    assert found["status"].keys() == scene.ask("status").keys()
    assert before - 1.0 <= found["started_at_s"] <= time.time()
    assert found["traffic"]["server"]["critical"]["events_in"] == 12
    assert found["status"]["books"]["events"]["critical"]["accepted"] == 12


def test_the_log_level_is_read_and_changed(scene: Scene) -> None:
    logger = logging.getLogger("lanebus")
    before = logger.level
    try:
        logger.setLevel("INFO")
        assert answer(scene.inspector, {"command": "log"})["result"] == {"level": "info", "before": "info"}
        changed = answer(scene.inspector, {"command": "log", "level": "warning"})["result"]
        assert changed == {"level": "warning", "before": "info"}
        assert logger.level == logging.WARNING
        assert "no level 7" in answer(scene.inspector, {"command": "log", "level": 7})["error"]
    finally:
        logger.setLevel(before)


def test_a_trace_is_begun_read_and_ended(scene: Scene) -> None:
    def ask(command: str, **arguments: object) -> dict[str, Any]:
        return answer(scene.inspector, {"command": command, **arguments}, scene.bench.now)

    number = ask("trace", peer="player:1", payloads=True)["result"]["trace"]
    scene.server.send("t", "player:1", Lane.LOW, b"\xff")
    scene.bench.advance(0.3)
    lines = ask("trace_read", trace=number)["result"]["lines"]
    assert [line["what"] for line in lines] == ["trace", "batch"]
    assert lines[1]["payloads"] == [["t", 1, b"\xff"]]
    assert ask("trace_end", trace=number)["result"] == {"ended": True}
    assert ask("trace_end", trace=number)["result"] == {"ended": False}
    assert f"no trace {number} is on" in ask("trace_read", trace=number)["error"]
    assert "can be nobody's name" in ask("trace", peer="nobody")["error"]
    assert "can be nobody's name" in ask("trace")["error"]


@pytest.mark.parametrize(
    "request_",
    [{"command": name} for name in ("status", "peers", "stats", "queues", "services", "metrics")]
    + [{"command": "limits", "match": "player:*", "settings": {"events_per_s": 9.0}}]
    + [{"command": "members", "group": "room"}],
    ids=lambda request_: request_["command"],
)
def test_no_step_of_an_answer_is_about_more_than_one_session(request_: dict[str, object]) -> None:
    limits = LimitsConfig(attachments=300, sessions_per_gateway=300)
    bench = Bench(small_config(limits=limits, sessions=SessionsConfig(recovery_s=0.0)))
    server, gateway = Peer(bench, "server:a").attach(), Peer(bench, "gateway:g").attach()
    for number in range(1, 201):
        gateway.open(number, f"player:{number}")
        server.request(Kind.JOIN, group="room", member=f"player:{number}")
    bench.turn()
    inspector = Inspector(bench.core, {})
    work = inspector.work([msgspec.msgpack.encode(request_)], bench.now)
    steps = 1
    next(work)
    with suppress(StopIteration):
        while True:
            work.send(bench.now)
            steps += 1
    assert steps >= 200
    whole = inspector.answer([msgspec.msgpack.encode(request_)], bench.now)
    assert whole is not None
    assert msgspec.msgpack.decode(whole)["ok"]
