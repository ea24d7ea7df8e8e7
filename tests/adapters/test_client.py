"""The client adapter: a player's process."""

import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.event import Event
from lanebus.adapters.server import ServerAdapter


@pytest.mark.parametrize("name", ["42", "player:42"])
def test_a_client_is_a_player_however_it_is_written(name: str) -> None:
    client = ClientAdapter(name)
    assert client.name == "player:42"
    client.close(0.0)


@pytest.mark.parametrize("name", ["", "a b", "server:1", "x" * 65, "player:"])
def test_a_name_that_no_player_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a player"):
        ClientAdapter(name)


def test_what_a_client_sends_goes_to_the_servers_that_handle_the_topic(broker: RunningBroker) -> None:
    got: list[tuple[str, str, object]] = []
    with (
        ServerAdapter("combat-1", service="combat", broker=broker.address) as combat,
        ServerAdapter("chat-1", service="chat", broker=broker.address) as chat,
        ClientAdapter("42", broker=broker.address) as client,
    ):

        def note(event: Event) -> None:
            got.append((event.receiver, event.topic, event.payload))

        combat.on("player.*")(note)
        chat.on("chat.say")(note)
        servers = (combat, chat)
        until(
            lambda: not any(server.requests_pending for server in servers),
            *servers,
            what="all have registered",
        )
        client.send("player.attack", 1)
        client.send("chat.say", "hello", lane="low")
        client.send("chat.whisper", "psst", to="server:combat-1")
        client.send("player.attack", 2, to="service:combat")
        refused: list[tuple[str, str]] = []
        client.on_unsettled(lambda each: refused.append((each.topic, each.reason)))
        client.send("nobody.handles.this")
        client.send("t", to="player:43")
        client.send("t", to="group:room")
        combat.on("chat.whisper")(note)
        until(lambda: not client.in_flight, client, *servers, what="all is settled")
        assert sorted(got, key=repr) == [
            ("server:chat-1", "chat.say", "hello"),
            ("server:combat-1", "chat.whisper", "psst"),
            ("server:combat-1", "player.attack", 1),
            ("server:combat-1", "player.attack", 2),
        ]
        assert sorted(refused) == [
            ("nobody.handles.this", "no_service"),
            ("t", "not_allowed"),
            ("t", "not_allowed"),
        ]


def test_the_same_client_is_served_by_the_same_instance(broker: RunningBroker) -> None:
    got: set[str] = set()
    with (
        ServerAdapter("m1", service="match", broker=broker.address) as one,
        ServerAdapter("m2", service="match", broker=broker.address) as two,
        ClientAdapter("42", broker=broker.address) as client,
    ):
        servers = (one, two)
        for server in servers:
            server.on("match.find")(lambda event: got.add(event.receiver))
        until(
            lambda: not any(server.requests_pending for server in servers),
            *servers,
            what="all have registered",
        )
        for _ in range(10):
            client.send("match.find")
            client.flush()
        until(lambda: not client.in_flight, client, *servers, what="all is settled")
        assert len(got) == 1
