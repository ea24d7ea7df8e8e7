"""Why a peer is late or gone: the evidence is the broker's state, and the verdict follows from it."""

from random import Random
from typing import Any

import msgspec
import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.inspect import Inspector
from lanebus.broker.tcpinfo import Look, Signs
from lanebus.broker.why import MOST_WAITS, answers, evidence, why
from lanebus.conf.model import EgressConfig, SessionsConfig
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.pings import Ping
from lanebus.wire.reports import LaneTimes, SessionReport, TopicTimes, UnhandledTopic


class Scene:
    """A server and a player, and what the kernel would say."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.server = Peer(bench, "server:a").attach()
        self.player = Peer(bench, "player:1").attach()
        self.signs: Signs | None = None
        self.asked: list[Look] = []

    def ask(self, look: Look) -> Signs | None:
        self.asked.append(look)
        return self.signs

    def why(self, name: str = "player:1") -> dict[str, Any]:
        return why(self.bench.core, name, self.ask, self.bench.now)

    def first(self, name: str = "player:1") -> tuple[str, str]:
        verdict = self.why(name)["verdicts"][0]
        return verdict["cause"], verdict["text"]

    def live(self, seconds: int, *peers: Peer, rtt_us: int = 20_000) -> None:
        """Let time pass in which these peers are well."""
        for _ in range(seconds * 2):
            for peer in peers:
                peer.say(Kind.PING, Ping(0, rtt_us, []))
            self.bench.advance(0.5)

    def look(self) -> None:
        """The kernel has been looked at once."""
        for number in range(2):
            self.player.say(Kind.PING, Ping(0, 20_000, []))
            self.bench.core.lines.network(Look("far", 20.0, 1.0, 20.0, number, 0, 33))
            self.bench.advance(1.0)


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(bench)


# A session


def test_a_player_of_whom_all_is_well_is_fine(scene: Scene) -> None:
    scene.server.send("t", "player:1")
    scene.bench.advance(0.1)
    scene.player.settle_all()
    scene.live(10, scene.server, scene.player)
    times = [LaneTimes(Lane.CRITICAL, 11_000, 11_000, [92, 1])]
    scene.player.say(Kind.PING, Ping(0, 20_000, [], reports=[SessionReport(0, [], [], times)]))
    scene.bench.turn()
    found = scene.why()
    (verdict,) = found["verdicts"]
    assert (verdict["cause"], verdict["share"]) == ("fine", 0.0)
    assert (
        verdict["text"]
        == "connection excellent, from send to handler critical 11 ms (p99), nothing held back"
    )
    assert (found["name"], found["closed"], found["closed_remembered"]) == ("player:1", [], 0)
    assert found["session"] == {"role": "client", "via": None, "connected_s": pytest.approx(10.1)}
    assert found["evidence"]["quality"] == "excellent"
    assert scene.asked == []


def test_a_poor_line_is_the_network(scene: Scene) -> None:
    scene.live(12, scene.player, rtt_us=900_000)
    assert scene.first() == ("network", "poor: round trip 900 ms")


def test_who_is_away_is_so_for_a_reason(scene: Scene) -> None:
    scene.player.cut()
    scene.server.send("t", "player:1")
    scene.bench.advance(1.0)
    assert scene.first() == ("away", "no connection for 1.0 s: its connection was gone")


def test_a_silent_process_on_a_machine_that_answers_stands_still(scene: Scene) -> None:
    scene.look()
    scene.signs = Signs(0.4, False)
    scene.server.send("t", "player:1")
    scene.bench.advance(2.5)
    cause, text = scene.first()
    assert cause == "handler"
    assert text.startswith("silent for 3.5 s, though its machine answers: its process stands still; ")
    assert [look.descriptor for look in scene.asked] == [33]


def test_a_machine_that_does_not_answer_is_the_network(scene: Scene) -> None:
    scene.look()
    scene.signs = Signs(3.4, True)
    scene.bench.advance(2.5)
    assert scene.first() == ("network", "silent for 3.5 s, and its machine does not answer either")


def test_without_a_look_at_the_connection_both_is_said(scene: Scene) -> None:
    scene.bench.advance(3.0)
    assert scene.first() == (
        "network",
        "silent for 3.0 s: the network does not carry, or its process stands still",
    )
    assert scene.asked == []


@pytest.mark.parametrize(
    ("signs", "found"),
    [
        (None, None),
        (Signs(0.1, False), True),
        (Signs(5.6, False), None),
        (Signs(0.1, True), False),
    ],
)
def test_what_was_acknowledged_since_the_last_word_is_an_answer(
    signs: Signs | None, found: bool | None
) -> None:
    assert answers(6.0, signs) is found


def test_a_receiver_that_settles_late_is_slow_until_a_minute_after(scene: Scene) -> None:
    scene.server.send("t", "player:1", Lane.NORMAL)
    for _ in range(3):
        scene.live(1, scene.server, scene.player)
    scene.player.settle_all()
    cause, text = scene.first()
    assert (cause, text.partition(",")[0]) == ("handler", "settles within 3")
    for _ in range(70):
        scene.live(1, scene.server, scene.player)
    assert scene.first()[0] == "fine"
    assert scene.bench.session("player:1").traffic[Lane.NORMAL].settled_after is not None


def test_what_it_has_not_settled_is_shown_with_its_age(scene: Scene) -> None:
    scene.server.send("t", "player:1", Lane.NORMAL, bytes(500))
    scene.live(4, scene.server, scene.player)
    cause, text = scene.first()
    assert cause == "handler"
    assert text.startswith("oldest unsettled 4.0 s, 5")


def test_one_that_was_given_up_for_its_silence_may_stand_still_on(scene: Scene) -> None:
    scene.look()
    scene.signs = Signs(0.4, False)
    scene.live(6, scene.server)
    assert scene.first() == (
        "handler",
        (
            "no connection for 2.0 s: it has been silent for 5.0 s, though its machine answers: "
            "its process stands still"
        ),
    )
    scene.signs = None
    assert scene.first()[0] == "away"


# Limits


def test_who_is_over_a_limit_is_throttled() -> None:
    scene = Scene(Bench(small_config(policy=PolicyConfig(client=Policy(events_per_s=10.0, events_burst=16)))))
    scene.player.send_batch([scene.player.event("t", None, Lane.NORMAL) for _ in range(20)], Lane.NORMAL)
    scene.bench.turn()
    cause, text = scene.first()
    assert cause == "throttled"
    assert text.startswith("held to events_per_s on normal, its next event waits 0.")


def test_what_waits_for_an_allowance_is_shaped() -> None:
    config = small_config(
        policy=PolicyConfig(client=Policy(down_bytes_per_s=1_000.0, bytes_burst_s=1.0)),
        egress=EgressConfig(batch_bytes=1_024, credit_bytes=1 << 20, queue_bytes=1 << 20, age_s=100.0),
    )
    scene = Scene(Bench(config))
    for number in range(80):
        scene.server.send("t", "player:1", Lane.NORMAL, Random(number).randbytes(90))
        if number % 8 == 7:
            scene.bench.advance(0.2)
            scene.player.ack()
            scene.player.settle_all()
    cause, text = scene.first()
    assert (cause, text.partition(" bytes ")[2][:34]) == ("shaped", "wait for its allowance, the oldest")
    waiting = scene.bench.receiving("player:1", Lane.NORMAL).waiting_bytes
    assert scene.why()["evidence"]["shaped_bytes"] == waiting > 0


def test_who_has_broken_rules_lately_is_told_so(scene: Scene) -> None:
    for _ in range(3):
        scene.player.send("t", "player:2")
    scene.live(2, scene.server, scene.player)
    assert scene.why()["evidence"]["violations"] == 3
    assert ("violations", "3 rules broken lately") in [
        (verdict["cause"], verdict["text"]) for verdict in scene.why()["verdicts"]
    ]
    scene.live(70, scene.server, scene.player)
    assert scene.why()["evidence"]["violations"] == 0


# Others that it waits for


def test_who_does_not_settle_its_events_is_named(scene: Scene) -> None:
    for _ in range(2):
        scene.server.send("t", "player:1", Lane.CRITICAL)
    scene.live(3, scene.server, scene.player)
    assert scene.first("server:a") == (
        "receiver",
        "player:1 has not settled 2 of its events, the oldest for 3.0 s",
    )


def test_a_destination_that_it_was_told_to_pause_for_is_named_first(scene: Scene) -> None:
    other = Peer(scene.bench, "player:2").attach()
    scene.server.send("t", "player:2")
    for _ in range(7):
        scene.server.send_batch([scene.server.event("t", "player:1", payload=bytes(300)) for _ in range(3)])
        scene.bench.advance(0.05)
        scene.player.ack()
    assert scene.bench.receiving("player:1").paused
    (first, second) = evidence(
        scene.bench.core, scene.bench.session("server:a"), scene.ask, scene.bench.now
    ).waits_for
    assert (first.receiver, first.is_paused, first.events) == ("player:1", True, 21)
    assert (second.receiver, second.is_paused, second.events) == ("player:2", False, 1)
    assert scene.first("server:a") == ("receiver", "player:1 is behind: events for it wait at the sender")
    assert other.unsettled


def test_only_the_worst_are_named(bench: Bench) -> None:
    scene = Scene(bench)
    for number in range(2, MOST_WAITS + 1):
        Peer(bench, f"player:{number}").attach()
    scene.server.send("t", "all")
    bench.advance(2.0)
    scene.server.send("t", "server:a")
    bench.advance(0.1)
    found = evidence(bench.core, bench.session("server:a"), scene.ask, bench.now).waits_for
    assert len(found) == MOST_WAITS
    assert "server:a" not in {waits.receiver for waits in found}


def test_what_waits_for_a_service_after_a_start_is_said() -> None:
    bench = Bench(small_config(sessions=SessionsConfig(grace_s=10.0, recovery_s=8.0)))
    scene = Scene(bench)
    scene.player.send("t", None)
    scene.live(3, scene.server, scene.player)
    cause, text = scene.first()
    assert cause == "receiver"
    assert text.startswith(
        "a service or group that has not come back since the broker's start has not settled 1"
    )


def test_who_has_not_come_back_since_the_start_is_away(scene: Scene) -> None:
    bench = Bench(small_config(sessions=SessionsConfig(grace_s=10.0, recovery_s=8.0)))
    server = Peer(bench, "server:a").attach()
    server.send("t", "player:9")
    bench.advance(2.0)
    found = why(bench.core, "player:9", scene.ask, bench.now)
    assert found["verdicts"][0]["text"] == (
        "no connection for 2.0 s: it has not come back since the broker's start"
    )


# The broker


def test_a_broker_that_is_late_is_the_cause(scene: Scene) -> None:
    for _ in range(100):
        scene.bench.core.counters.late.record(80_000)
    assert scene.first() == ("broker", "the broker's loop is 77.8 ms late (p99)")
    scene.live(75, scene.server, scene.player)
    assert scene.first()[0] == "fine"


def test_a_broker_that_accepts_nothing_or_drains_is_the_cause(scene: Scene) -> None:
    scene.live(3, scene.server, scene.player)
    budget = scene.bench.core.budget
    budget.held_bytes += budget.limit_bytes
    scene.live(1, scene.server, scene.player)
    cause, text = scene.first()
    assert (cause, text.partition(" and ")[0]) == ("broker", "the broker: its budget is used up")
    budget.held_bytes -= budget.limit_bytes
    scene.bench.core.draining.begin(scene.bench.now, 5.0)
    found = scene.why()["verdicts"]
    assert {"cause": "broker", "share": 50.0, "text": "the broker is draining"} in found


# Sessions that have ended


def test_who_has_gone_is_told_by_its_end(scene: Scene) -> None:
    scene.player.bye()
    scene.bench.advance(4.0)
    found = scene.why()
    assert (found["session"], found["verdicts"], found["evidence"]) == (None, [], None)
    assert found["closed_remembered"] == 1
    (closed,) = found["closed"]
    assert (closed["reason"], closed["ended_ago_s"]) == ("said goodbye: done", 4.0)


def test_who_is_here_again_has_its_earlier_ends_beside(scene: Scene) -> None:
    scene.player.bye()
    Peer(scene.bench, "player:1").attach()
    found = scene.why()
    assert found["session"] is not None
    assert [closed["reason"] for closed in found["closed"]] == ["said goodbye: done"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("player:9", "none of the 1 that ended last was of that name: lanebus peers lists who is here"),
        ("player:a", "but server:a is known"),
        ("server:1", "but player:1 is known"),
        ("gateway:g", "gateway:g is a gateway and has no session of its own: ask for a player behind it"),
        (None, "None is no name of a peer"),
        (["player:1"], "is no name of a peer"),
    ],
)
def test_an_unknown_name_is_an_error_that_says_where_to_look(scene: Scene, name: object, text: str) -> None:
    Peer(scene.bench, "gateway:g").attach()
    scene.player.bye()
    reply = Inspector(scene.bench.core, {}).answer(
        [msgspec.msgpack.encode({"command": "why", "peer": name})], scene.bench.now
    )
    assert reply is not None
    said = msgspec.msgpack.decode(reply)
    assert not said["ok"]
    assert text in said["error"]


def test_the_control_endpoint_answers_with_plain_values(scene: Scene) -> None:
    scene.server.send("t", "player:1")
    scene.bench.advance(3.0)
    request = msgspec.msgpack.encode({"command": "why", "peer": "server:a"})
    reply = Inspector(scene.bench.core, {}).answer([request], scene.bench.now)
    assert reply is not None
    result = msgspec.msgpack.decode(reply)["result"]
    assert result["evidence"]["waits_for"][0]["receiver"] == "player:1"
    assert all(set(verdict) == {"cause", "share", "text"} for verdict in result["verdicts"])


# What nobody handles


def test_events_without_a_handler_are_named_and_are_nobodys_slowness(scene: Scene) -> None:
    scene.player.send("wave", "server:a")
    waits = SessionReport(0, [UnhandledTopic("wave", "player:1", 1)])
    for _ in range(9):
        scene.server.say(Kind.PING, Ping(0, 20_000, [], reports=[waits]))
        scene.player.say(Kind.PING, Ping(0, 20_000, []))
        scene.bench.advance(1.0)
    assert not any(scene.bench.core.alerts)
    for command in ("peers", "stats"):
        (row,) = [row for row in answer_of(scene, command) if row["name"] == "server:a"]
        figures = row if command == "peers" else row["lanes"]["critical"]["out"]
        assert (figures["oldest_age_s"], figures["held_bytes"] > 0) == (0.0, True)
    for name in ("server:a", "player:1"):
        verdicts = [(each["cause"], each["text"]) for each in scene.why(name)["verdicts"]]
        assert [cause for cause, _ in verdicts] == ["fine", "refused"]
        assert verdicts[1][1] == "server:a has no handler for wave: 1 event of player:1 will be refused"
    scene.server.settle_all(Outcome.REFUSED, Reason.NO_HANDLER)
    scene.bench.turn()
    assert scene.bench.session("server:a").traffic[Lane.CRITICAL].settled_after is None, (
        "that was no slow handler"
    )
    status = status_of(scene)
    assert status["unhandled"] == [
        {"receiver": "server:a", "sender": "player:1", "topic": "wave", "events": 1}
    ]


def test_what_was_refused_is_named_with_topic_and_reason_and_the_receiver_is_no_culprit(scene: Scene) -> None:
    scene.player.send("wave", "server:a")
    scene.bench.advance(0.1)
    scene.server.settle(scene.server.unsettled, Outcome.REFUSED, Reason.NO_HANDLER)
    scene.player.send("tpyo", None)
    scene.live(3, scene.server, scene.player)
    found = [(each["cause"], each["share"], each["text"]) for each in scene.why("player:1")["verdicts"]]
    assert found[:2] == [
        (
            "refused",
            2.0,
            "1 of its events of tpyo were refused: no_service (no service handles this topic), the last 3 s ago",
        ),
        (
            "refused",
            2.0,
            (
                "1 of its events of wave for server:a were refused: no_handler "
                "(its receiver has no handler for this topic), the last 3 s ago"
            ),
        ),
    ]
    server = scene.why("server:a")["verdicts"]
    assert [each["cause"] for each in server] == ["fine", "refused"]
    assert server[1]["text"].startswith("it refused 1 events of wave of player:1: no_handler")
    refused = status_of(scene)["refused"]
    assert [(each["topic"], each["reason"], each["sender"]) for each in refused] == [
        ("tpyo", "no_service", "player:1"),
        ("wave", "no_handler", "player:1"),
    ]
    scene.live(70, scene.server, scene.player)
    assert scene.first("player:1")[0] == "fine"


def status_of(scene: Scene) -> Any:
    """What `lanebus status` would show."""
    return answer_of(scene, "status")


def answer_of(scene: Scene, command: str) -> Any:
    """What the broker answers a command."""
    reply = Inspector(scene.bench.core, {}).answer(
        [msgspec.msgpack.encode({"command": command})], scene.bench.now
    )
    assert reply is not None
    return msgspec.msgpack.decode(reply)["result"]


def test_handlers_that_take_longer_than_their_budget_are_named_with_the_first_report(scene: Scene) -> None:
    times = TopicTimes("unit.aim", Lane.CRITICAL, 40, 38, 16_000, 90_000, 100_000, 101_000, 104_000)
    scene.server.say(Kind.PING, Ping(0, 20_000, [], topics=[times]))
    scene.bench.turn()
    assert scene.first("server:a") == (
        "handler",
        (
            "its handlers of unit.aim on critical take up to 104 ms, their budget is 16 ms: "
            "38 of the last 40 events took longer"
        ),
    )
    scene.live(70, scene.server, scene.player)
    assert scene.first("server:a")[0] == "fine"


def test_a_handler_that_was_slow_once_is_said_and_is_no_verdict(scene: Scene) -> None:
    times = TopicTimes("unit.aim", Lane.CRITICAL, 4_000, 1, 16_000, 300, 200, 900, 17_000)
    scene.server.say(Kind.PING, Ping(0, 20_000, [], topics=[times]))
    scene.bench.turn()
    assert [each["cause"] for each in scene.why("server:a")["verdicts"]] == ["fine", "handler"]
