"""The client adapter: a player's process."""

import logging

import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import Closed
from lanebus.adapters.event import Event
from lanebus.adapters.server import ServerAdapter
from lanebus.conf.model import Config, GroupsConfig, SessionsConfig


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


def test_a_player_joins_the_groups_that_a_rule_names_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    rules = GroupsConfig(client_may_join=["room:*"])
    with (
        RunningBroker(Config(groups=rules, sessions=SessionsConfig(recovery_s=0.0))) as broker,
        ServerAdapter("a", broker=broker.address) as server,
        ClientAdapter("42", broker=broker.address) as client,
    ):
        got: list[object] = []
        client.on("news")(lambda event: got.append(event.payload))
        client.join("room:7")
        until(lambda: not client.requests_pending, client, what="the player is in")
        server.send("news", 1, to="group:room:7")
        until(lambda: not server.in_flight, client, server, what="it is settled")
        broker.stop()
        broker.come_back()
        until(lambda: client.core.connects == 2 and not client.requests_pending, client, what="it is back")
        server.send("news", 2, to="group:room:7")
        until(lambda: not server.in_flight, client, server, what="it is settled")
        client.leave("room:7")
        client.join("den")
        with caplog.at_level(logging.ERROR):
            until(lambda: not client.requests_pending, client, what="both are answered")
        assert "players may not join or leave group den by themselves (error 405)" in caplog.text
        assert broker.broker.core.directory.groups == {}
        assert got == [1, 2]
        assert client.core.requests.assertions == {}


def test_a_closed_client_and_a_group_that_cannot_be_are_refused() -> None:
    client = ClientAdapter("42")
    with pytest.raises(ValueError, match="cannot name a group"):
        client.join("two words")
    client.close(0.0)
    for change in (client.join, client.leave):
        with pytest.raises(Closed):
            change("room")


def test_a_client_knows_its_own_quality(broker: RunningBroker) -> None:
    client = ClientAdapter("1", broker=broker.address)
    assert (client.quality.label.value, client.quality.reason) == ("lost", "no link")
    client.start()
    until(lambda: client.quality.rtt_ms is not None, client, what="a ping is answered")
    found = client.quality
    assert (found.label.value, found.jitter_ms) == ("estimating", None)
    assert found.rtt_ms is not None
    assert 0.0 < found.rtt_ms < 5000.0
    client.close()
    assert client.quality.label.value == "lost"
