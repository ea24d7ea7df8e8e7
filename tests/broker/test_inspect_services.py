"""What an operator is told of services and groups."""

from typing import Any

import msgspec
import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.inspect import Inspector
from lanebus.wire.kinds import Kind
from lanebus.wire.services import Health


class Desk:
    """An inspector, and what it answers."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.inspector = Inspector(bench.core, {})

    def reply(self, **request: Any) -> Any:
        reply = self.inspector.answer([msgspec.msgpack.encode(request)], self.bench.now)
        assert reply is not None
        return msgspec.msgpack.decode(reply)

    def ask(self, command: str, **arguments: Any) -> Any:
        reply = self.reply(command=command, **arguments)
        assert reply["ok"], reply
        return reply["result"]


@pytest.fixture
def desk(bench: Bench) -> Desk:
    return Desk(bench)


def test_services_are_listed_with_their_states_and_clients_in_the_order_of_their_start(
    bench: Bench, desk: Desk
) -> None:
    server = Peer(bench, "server:a").attach()
    server.ask(
        Kind.REGISTER,
        service="combat",
        topics=["t"],
        version="1.4",
        priority=-1,
        weight=2,
        tags=["eu"],
        depends_on=["world"],
    )
    other = Peer(bench, "server:b").attach()
    other.ask(Kind.REGISTER, service="world", topics=[])
    player = Peer(bench, "player:1").attach()
    player.send("t", None)
    bench.advance(2.0)
    other.ask(Kind.HEALTH, service="world", health=Health.DEGRADED, reason="slow disk")
    bench.advance(1.0)
    bus, world, combat = desk.ask("services")
    assert (bus["service"], bus["instance"], bus["state"], bus["priority"]) == (
        "bus",
        "lanebus",
        "ready",
        1000,
    )
    assert bus["version"] == desk.ask("status")["version"]
    assert (world["instance"], world["state"], world["reason"]) == ("server:b", "degraded", "slow disk")
    assert world["since_s"] == pytest.approx(1.0)
    assert combat == {
        "service": "combat",
        "instance": "server:a",
        "state": "ready",
        "reason": "",
        "since_s": pytest.approx(3.0),
        "version": "1.4",
        "priority": -1,
        "weight": 2,
        "tags": ["eu"],
        "depends_on": ["world"],
        "clients": 1,
        "service_health": {"health": "ok", "reasons": []},
    }
    degraded = {
        "health": "degraded",
        "reasons": ["1 of 1 instance not well: server:b is degraded (slow disk)"],
    }
    assert world["service_health"] == degraded
    assert desk.ask("status")["service_health"] == {
        "bus": {"health": "ok", "reasons": []},
        "combat": {"health": "ok", "reasons": []},
        "world": degraded,
    }


def test_groups_are_listed_with_those_who_keep_them(bench: Bench, desk: Desk) -> None:
    assert desk.ask("groups") == []
    servers = [Peer(bench, f"server:{name}").attach() for name in "ab"]
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    gone = Peer(bench, "player:2").attach()
    for server, member in zip(servers, ("player:1", "player:2"), strict=True):
        server.ask(Kind.JOIN, group="room:7", member=member)
    servers[0].ask(Kind.JOIN, group="den", member="server:a")
    gone.cut()
    servers[0].send("t", "player:2")
    bench.advance(0.1)
    assert desk.ask("groups") == [
        {"group": "den", "members": 1, "keepers": ["server:a"]},
        {"group": "room:7", "members": 2, "keepers": ["server:a", "server:b"]},
    ]
    assert [tuple(each.values()) for each in desk.ask("members", group="room:7")] == [
        ("player:1", "client", "gateway:g", "up", "server:a"),
        ("player:2", "client", None, "away", "server:b"),
    ]


@pytest.mark.parametrize("group", ["room", None, ["room"]])
def test_a_group_that_is_not_there_has_no_members(desk: Desk, group: object) -> None:
    reply = desk.reply(command="members", group=group)
    assert not reply["ok"]
    assert "it has no member, or never had one" in reply["error"]
