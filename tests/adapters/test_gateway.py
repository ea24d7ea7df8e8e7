"""The gateway adapter: many players over three sockets."""

from collections.abc import Iterator

import msgspec
import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.errors import Closed, OutboxFull
from lanebus.adapters.event import Event
from lanebus.adapters.gateway import GatewayAdapter
from lanebus.adapters.server import ServerAdapter
from lanebus.conf.model import Config, GroupsConfig, SessionsConfig
from lanebus.wire.outcomes import Reason


@pytest.fixture
def pair(broker: RunningBroker) -> Iterator[tuple[ServerAdapter, GatewayAdapter]]:
    """A server that handles everything, and a gateway."""
    server = ServerAdapter("a", service="game", broker=broker.address)
    gateway = GatewayAdapter("gw-1", broker=broker.address, session_outbox_bytes=10_000)
    server.connect()
    gateway.connect()
    yield server, gateway
    gateway.close(0.0)
    server.close(0.0)


def test_players_send_and_handle_as_if_they_had_links_of_their_own(
    pair: tuple[ServerAdapter, GatewayAdapter],
) -> None:
    server, gateway = pair
    got: list[tuple[str, object]] = []

    @server.on("player.*")
    def answer(event: Event) -> None:
        server.send("answer", event.payload, to=event.sender)

    players = [gateway.open(name, rtt_ms=20.0) for name in ("1", "player:2")]
    assert [player.name for player in players] == ["player:1", "player:2"]
    for player in players:
        player.on("answer")(lambda event: got.append((event.receiver, event.payload)))
        player.send("player.move", player.name)
    until(lambda: len(got) == 2, server, gateway, what="both have their answers")
    assert sorted(got) == [("player:1", "player:1"), ("player:2", "player:2")]
    until(lambda: not any(player.in_flight for player in players), server, gateway, what="all is settled")
    assert players[0].book("normal").as_list() == [1, 1, 0, 0, 0, 0, 0]
    assert len(gateway.open_sockets()) == 3


def test_payloads_pass_as_bytes(pair: tuple[ServerAdapter, GatewayAdapter]) -> None:
    server, gateway = pair
    got: list[bytes] = []
    server.on("raw")(lambda event: got.append(event.raw))
    encoded = msgspec.msgpack.encode({"x": [1, 2, 3]})
    gateway.open("1").send("raw", msgspec.Raw(encoded))
    until(lambda: bool(got), server, gateway, what="it is there")
    assert got == [encoded]


def test_what_a_player_sends_waits_until_its_session_is_open(broker: RunningBroker) -> None:
    gateway = GatewayAdapter("gw-1", broker=broker.address)
    player = gateway.open("1")
    player.send("player.move", 1)
    assert gateway.requests_pending == 1
    with ServerAdapter("a", service="game", broker=broker.address) as server:
        got: list[int] = []
        server.on("player.move")(lambda event: got.append(event.payload))
        until(lambda: not server.requests_pending, server, what="the service is there")
        gateway.connect()
        until(lambda: not player.in_flight, server, gateway, what="it is settled")
        assert got == [1]
        gateway.close()


def test_a_closed_session_books_the_rest_as_unknown_and_its_name_is_free(
    pair: tuple[ServerAdapter, GatewayAdapter],
) -> None:
    server, gateway = pair
    player = gateway.open("1")
    until(lambda: not gateway.requests_pending, gateway, what="the session is open")
    ends: list[Reason] = []
    player.on_unsettled(lambda each: ends.append(each.reason))
    player.send("player.move", 1, to="server:a")
    assert player.close() == 1
    assert player.close() == 0
    until(lambda: bool(ends), gateway, server, what="it is told")
    assert ends == [Reason.CLOSED]
    with pytest.raises(Closed, match="player:1 is closed"):
        player.send("player.move", 2)
    again = gateway.open("1")
    got: list[int] = []
    again.on("news")(lambda event: got.append(event.payload))
    until(lambda: not gateway.requests_pending, gateway, what="the session is open again")
    server.send("news", 7, to="player:1")
    until(lambda: got == [7], server, gateway, what="the new session gets it")


def test_a_session_that_does_not_read_has_its_events_later_and_in_order(
    pair: tuple[ServerAdapter, GatewayAdapter],
) -> None:
    server, gateway = pair
    busy, idle = gateway.open("busy"), gateway.open("idle")
    got: list[tuple[str, int]] = []
    for player in (busy, idle):
        player.on("news")(lambda event: got.append((event.receiver, event.payload)))
    until(lambda: not gateway.requests_pending, gateway, what="the sessions are open")
    assert idle.reading
    idle.reading = False
    for number in range(5):
        server.send("news", number, to=["player:busy", "player:idle"])
    until(lambda: len(got) == 5, server, gateway, what="the busy one has them")
    assert {name for name, _ in got} == {"player:busy"}
    assert server.in_flight == 5
    idle.reading = True
    until(lambda: not server.in_flight, server, gateway, what="all is settled")
    assert got[5:] == [("player:idle", number) for number in range(5)]


def test_a_player_has_an_outbox_of_its_own(pair: tuple[ServerAdapter, GatewayAdapter]) -> None:
    _, gateway = pair
    one, other = gateway.open("1"), gateway.open("2")
    one.send("t", b"x" * 9_000, to="server:a")
    with pytest.raises(OutboxFull, match="the outbox of player:1"):
        one.send("t", b"x" * 2_000, to="server:a")
    other.send("t", b"x" * 9_000, to="server:a")


def test_a_name_that_no_player_can_have_is_refused_and_opens_nothing(
    pair: tuple[ServerAdapter, GatewayAdapter],
) -> None:
    _, gateway = pair
    with pytest.raises(ValueError, match="cannot name a player"):
        gateway.open("a b")
    assert gateway.core.sessions == {}
    assert gateway.requests_pending == 0


def test_a_closed_gateway_opens_nothing() -> None:
    gateway = GatewayAdapter("gw-1")
    gateway.close(0.0)
    with pytest.raises(Closed, match="gateway:gw-1 is closed"):
        gateway.open("1")
    assert gateway.core.sessions == {}


def test_closing_the_gateway_closes_its_sessions(broker: RunningBroker) -> None:
    with ServerAdapter("a", broker=broker.address):
        gateway = GatewayAdapter("gw-1", broker=broker.address)
        gateway.connect()
        player = gateway.open("1")
        player.send("t", to="server:a")
        assert gateway.close(timeout_s=0.1) == 1
        with pytest.raises(Closed):
            player.send("t", to="server:a")
        assert player.close() == 0


def test_players_send_values_that_replace_each_other(pair: tuple[ServerAdapter, GatewayAdapter]) -> None:
    server, gateway = pair
    got: list[tuple[str, object]] = []
    server.on("aim")(lambda event: got.append((event.sender, event.payload)))
    players = [gateway.open(name) for name in ("1", "2")]
    for value in range(3):
        for player in players:
            player.send("aim", value, mode="latest", key="aim")
    until(
        lambda: not any(player.in_flight for player in players), server, gateway, what="everything is settled"
    )
    assert got == [("player:1", 2), ("player:2", 2)]
    assert [player.book("normal").as_dict()["superseded"] for player in players] == [2, 2]


def test_players_join_groups_behind_a_gateway() -> None:
    rules = GroupsConfig(client_may_join=["room:*"])
    with (
        RunningBroker(Config(groups=rules, sessions=SessionsConfig(recovery_s=0.0))) as broker,
        GatewayAdapter("gw-1", broker=broker.address) as gateway,
    ):
        groups = broker.broker.core.directory.groups
        players = [gateway.open(name) for name in ("1", "2")]
        for player in players:
            player.join("room:7")
        until(lambda: not gateway.requests_pending, gateway, what="both are in")
        assert list(groups["room:7"]) == ["player:1", "player:2"]
        players[0].leave("room:7")
        players[1].close()
        until(lambda: not gateway.requests_pending, gateway, what="nobody is in")
        assert groups == {}
        assert [request.what for request in gateway.core.requests.assertions] == ["opening player:1"]
        for change in (players[1].join, players[1].leave):
            with pytest.raises(Closed, match="player:2 is closed"):
                change("room:7")
