"""The server adapter: services, groups and bindings."""

import logging

import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import Closed
from lanebus.adapters.server import ServerAdapter


@pytest.mark.parametrize("name", ["arena-1", "server:arena-1"])
def test_a_server_is_named_however_it_is_written(name: str) -> None:
    server = ServerAdapter(name, service="combat")
    assert (server.name, server.service) == ("server:arena-1", "combat")
    server.close(0.0)


@pytest.mark.parametrize(("name", "service"), [("", None), ("player:1", None), ("a", "x y"), ("a", "")])
def test_a_name_that_no_server_or_service_can_have_is_refused(name: str, service: str | None) -> None:
    with pytest.raises(ValueError, match="cannot name a"):
        ServerAdapter(name, service=service)


@pytest.mark.parametrize("group", ["", "a b", "x" * 129])
def test_a_name_that_no_group_can_have_is_refused(group: str) -> None:
    server = ServerAdapter("a")
    for change in (server.join, server.leave):
        with pytest.raises(ValueError, match="cannot name a group"):
            change(group)
    assert server.requests_pending == 0
    server.close(0.0)


@pytest.mark.parametrize(("player", "instance"), [("a b", "arena-1"), ("1", "player:2"), ("server:a", None)])
def test_a_binding_of_what_is_no_player_or_no_server_is_refused(player: str, instance: str | None) -> None:
    server = ServerAdapter("a")
    with pytest.raises(ValueError, match="cannot name a"):
        server.assign(player, "combat", instance)
    assert server.requests_pending == 0
    server.close(0.0)


def test_a_closed_server_changes_nothing() -> None:
    server = ServerAdapter("a")
    server.close(0.0)
    with pytest.raises(Closed):
        server.join("room")


def test_requests_wait_for_the_broker(broker: RunningBroker) -> None:
    server = ServerAdapter("a", service="combat", broker=broker.address)
    server.join("room")
    assert server.requests_pending == 1
    server.connect()
    until(lambda: not server.requests_pending, server, what="all is answered")
    directory = broker.broker.core.directory
    assert list(directory.groups["room"]) == ["server:a"]
    assert list(directory.services["combat"].instances) == ["server:a"]
    server.close()


def test_a_handler_added_later_is_told_to_the_broker(broker: RunningBroker) -> None:
    with (
        ServerAdapter("a", service="combat", broker=broker.address) as server,
        ClientAdapter("1", broker=broker.address) as client,
    ):
        got: list[str] = []
        for topic in ("player.attack", "player.heal"):
            server.on(topic)(lambda event: got.append(event.topic))
            until(lambda: not server.requests_pending, server, what="the broker knows")
            client.send(topic)
            until(lambda: not client.in_flight, client, server, what="it is settled")
        assert got == ["player.attack", "player.heal"]
        # Asserted again, to a broker that has forgotten, as one registration.
        assert len(server.core.requests.assertions) == 1


def test_a_server_without_a_service_registers_nothing(broker: RunningBroker) -> None:
    with ServerAdapter("a", broker=broker.address) as server:
        server.on("t")(lambda event: None)
        assert server.requests_pending == 0


def test_members_of_a_group_get_what_is_sent_between_their_joining_and_their_leaving(
    broker: RunningBroker,
) -> None:
    with (
        ServerAdapter("a", broker=broker.address) as server,
        ClientAdapter("1", broker=broker.address) as one,
        ClientAdapter("2", broker=broker.address) as two,
    ):
        got: list[tuple[str, int]] = []
        for client in (one, two):
            client.on("news")(lambda event: got.append((event.receiver, event.payload)))
        everybody = (server, one, two)
        server.join("room:7", "player:1")
        server.send("news", 1, to="group:room:7")
        until(lambda: not server.in_flight, *everybody, what="it is settled")
        server.join("room:7", "player:2")
        server.join("room:7", "player:2")
        server.send("news", 2, to="group:room:7")
        server.send("news", 3, to="group:room:7", exclude=["player:1"])
        until(lambda: not server.in_flight, *everybody, what="all is settled")
        server.leave("room:7", "player:1")
        server.send("news", 4, to="group:room:7")
        server.send("news", 5, to=["player:1", "group:room:7"])
        server.send("news", 6, to="all")
        until(lambda: not server.in_flight, *everybody, what="all is settled")
        assert sorted(got) == [
            ("player:1", 1),
            ("player:1", 2),
            ("player:1", 5),
            ("player:1", 6),
            ("player:2", 2),
            ("player:2", 3),
            ("player:2", 4),
            ("player:2", 5),
            ("player:2", 6),
        ]
        assert list(server.core.requests.assertions) == [
            request for request in server.core.requests.assertions if "player:2" in request.what
        ]


def test_a_binding_beats_the_choice_of_the_broker(broker: RunningBroker) -> None:
    with (
        ServerAdapter("m1", service="match", broker=broker.address) as one,
        ServerAdapter("m2", service="match", broker=broker.address) as two,
        ClientAdapter("42", broker=broker.address) as client,
    ):
        got: list[str] = []
        servers = (one, two)
        for server in servers:
            server.on("move")(lambda event: got.append(event.receiver))
        for instance in ("m1", "server:m2", "m1"):
            one.assign("42", "match", instance)
            until(
                lambda: not any(server.requests_pending for server in servers), *servers, what="it is bound"
            )
            client.send("move")
            until(lambda: not client.in_flight, client, *servers, what="it is settled")
        assert got == ["server:m1", "server:m2", "server:m1"]
        one.assign("player:42", "match", None)
        until(lambda: not one.requests_pending, one, what="the binding is gone")
        assert not any("binding" in request.what for request in one.core.requests.assertions)


def test_a_binding_to_what_is_no_instance_is_refused_and_logged(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with ServerAdapter("m1", service="match", broker=broker.address) as server:
        server.assign("42", "match", "m2")
        with caplog.at_level(logging.ERROR):
            until(lambda: "was refused" in caplog.text, server, what="the refusal is logged")
        assert "binding player:42 to server:m2 for match was refused" in caplog.text
