"""An adapter's figures: that they are plain, complete and true, on all kinds of adapters."""

import time
from typing import Any

import msgspec
import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.event import Event
from lanebus.adapters.gateway import GatewayAdapter
from lanebus.adapters.loop import Loop
from lanebus.adapters.server import ServerAdapter
from lanebus.conf.model import Config, SessionsConfig
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.quality import Degree

LANE_KEYS = {
    *("events_out", "batches_out", "bytes_out", "unbatched_bytes_out"),
    *("events_in", "batches_in", "bytes_in", "handled"),
    *("queued_events", "in_flight", "waiting_events", "handler_budget_ms", "over_budget"),
}


def plain(value: Any) -> Any:
    """What is left of a value on its way through JSON; the same, if it is plain."""
    return msgspec.json.decode(msgspec.json.encode(value))


def test_an_adapter_that_was_never_started_shows_what_it_holds() -> None:
    client = ClientAdapter("42", outbox_bytes=1000, handler_budget_ms={"critical": 5})
    client.send("player.move", b"x" * 100, lane="low")
    shown = client.stats()
    assert plain(shown) == shown
    assert (shown["name"], shown["role"], shown["state"]) == ("player:42", "client", "new")
    assert (shown["ping_ms"], shown["quality"]["label"], shown["reconnects"]) == (None, "lost", 0)
    assert shown["retry"] == {"attempts": 0, "next_in_s": None, "events": 0}
    outbox = shown["outbox"]
    assert outbox["bytes"] == client.core.sessions[0].outbox.held_bytes > 100
    assert (outbox["limit_bytes"], outbox["share"]) == (1000, outbox["bytes"] / 1000)
    assert shown["in_flight"] == shown["lanes"]["low"]["in_flight"] == 1
    assert shown["lanes"]["low"]["queued_events"] == 1
    assert {name: set(lane) for name, lane in shown["lanes"].items()} == dict.fromkeys(
        ("critical", "normal", "low"), LANE_KEYS
    )
    assert shown["lanes"]["critical"]["handler_budget_ms"] == 5
    assert shown["handlers"] == client.handler_stats() == []
    client.close(0.0)
    assert client.stats()["state"] == "closed"
    assert client.stats()["in_flight"] == 0


def test_a_gateway_shows_its_sessions_together_and_the_fullest_outbox() -> None:
    gateway = GatewayAdapter("g", session_outbox_bytes=1000)
    assert gateway.stats()["outbox"] == {"bytes": 0, "limit_bytes": 0, "share": 0.0}
    first, second = gateway.open("1"), gateway.open("2")
    first.send("t", b"x" * 100)
    for _ in range(3):
        second.send("t", b"x" * 100, lane="critical")
    shown = gateway.stats()
    assert (shown["in_flight"], shown["requests_pending"]) == (4, 2)
    one = shown["outbox"]["bytes"] / 4
    assert shown["outbox"] == {"bytes": 4 * one, "limit_bytes": 2000, "share": 3 * one / 1000}
    gateway.close(0.0)


@pytest.mark.system
def test_figures_of_real_traffic_are_those_of_what_happened(broker: RunningBroker) -> None:
    with (
        ServerAdapter("arena", service="arena", broker=broker.address) as server,
        ClientAdapter("42", broker=broker.address) as client,
    ):

        @server.on("player.attack", schema=int)
        def attack(event: Event) -> None:
            if event.payload == 1:
                time.sleep(0.02)
            if event.payload == 2:
                raise ValueError("a handler that fails")

        until(lambda: not server.requests_pending, server, what="the service is there")
        for payload in (0, 1, 2, "no number"):
            client.send("player.attack", payload, lane="critical")
        until(
            lambda: not client.in_flight and client.rtt_ms is not None, client, server, what="all are settled"
        )
        mine, theirs = client.stats(), server.stats()
        assert plain(mine) == mine
        assert plain(theirs) == theirs
        assert mine["state"] == "up"
        assert mine["quality"]["label"] == Degree.ESTIMATING
        assert mine["quality"]["reason"]
        assert 0 < mine["ping_ms"] < 1000
        assert mine["lanes"]["critical"]["events_out"] == theirs["lanes"]["critical"]["events_in"] == 4
        assert mine["lanes"]["critical"]["bytes_out"] > 0
        assert theirs["lanes"]["critical"]["handled"] == 4
        assert theirs["lanes"]["critical"]["over_budget"] == 1
        assert theirs["handler_errors"] == 2
        (attacks,) = theirs["handlers"]
        assert (attacks["topic"], attacks["lane"], attacks["count"]) == ("player.attack", "critical", 4)
        assert 20.0 <= attacks["max_ms"] < 2000.0
        assert theirs["turns"] == {
            "longest_gap_s": server.turns.longest_gap_s,
            "stalls": 0,
        }


@pytest.mark.system
def test_a_client_that_is_throttled_shows_what_it_holds() -> None:
    limits = PolicyConfig(client=Policy(events_per_s=10.0, events_burst=10))
    config = Config(sessions=SessionsConfig(recovery_s=0.0), policy=limits)
    with (
        RunningBroker(config) as broker,
        ServerAdapter("arena", broker=broker.address) as server,
        ClientAdapter("42", broker=broker.address) as client,
    ):
        server.on("player.move")(lambda event: None)
        for number in range(40):
            client.send("player.move", number, to="server:arena")
        until(lambda: bool(client.throttled), client, server, what="it is throttled")
        shown = client.stats()
        assert plain(shown) == shown
        (held,) = shown["throttled"]
        assert (held["session"], held["lane"]) == ("player:42", "normal")
        assert held["events"] > 0
        assert shown["in_flight"] >= held["events"]
        client.close(0.0)


def test_the_turns_of_one_that_a_loop_drives_are_the_loops() -> None:
    loop, client = Loop(), ClientAdapter("42")
    loop.add(client)
    loop.turns.begin(100.0)
    loop.turns.end(100.0)
    loop.turns.begin(109.0)
    assert client.stats()["turns"] == {"longest_gap_s": 9.0, "stalls": 1}
    loop.remove(client)
    assert client.stats()["turns"] == {"longest_gap_s": 0.0, "stalls": 0}
    loop.close()
    client.close(0.0)
