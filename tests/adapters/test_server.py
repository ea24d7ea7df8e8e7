"""The server adapter: services, groups and bindings."""

import logging
import time

import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import Closed, OutboxFull
from lanebus.adapters.event import Event
from lanebus.adapters.players import PlayerChange
from lanebus.adapters.server import ServerAdapter
from lanebus.adapters.services import ServiceChange
from lanebus.broker.alerts import AlertKind
from lanebus.conf.model import AlertsConfig, Config, SessionsConfig
from lanebus.wire.lanes import Lane
from lanebus.wire.services import ServiceState


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


# Services


def test_an_instance_is_of_one_service() -> None:
    server = ServerAdapter("a", service="combat")
    server.register("combat", weight=3)
    with pytest.raises(ValueError, match="is an instance of combat, and cannot be one of chat"):
        server.register("chat")
    server.close(0.0)


def test_what_an_instance_is_reaches_the_broker_and_changes_there(broker: RunningBroker) -> None:
    healthy: list[str | bool] = [True]
    with (
        ServerAdapter("w", broker=broker.address) as world,
        ServerAdapter(
            "a",
            service="combat",
            version="1.4",
            priority=10,
            weight=2,
            tags=["eu"],
            depends_on=["world"],
            health=lambda: healthy[0],
            health_interval_s=0.01,
            starting=True,
            broker=broker.address,
        ) as server,
    ):
        instance = broker.broker.core.directory.services["combat"].instances["server:a"]
        until(lambda: not server.requests_pending, server, what="it is registered")
        assert instance.facts[:5] == ("1.4", 10, 2, ("eu",), ("world",))
        server.ready()
        until(lambda: instance.reason == "needs world", server, what="it has begun")
        assert not instance.serves
        world.register("world")
        until(lambda: instance.state is ServiceState.READY, server, world, what="all is there")
        healthy[0] = "the disk is full"
        until(lambda: instance.reason == "the disk is full", server, what="it is not well")
        server.register("combat", version="1.5")
        until(lambda: instance.facts.version == "1.5", server, what="it is another version")
        assert instance.state is ServiceState.READY
        server.ready()
        assert server.requests_pending == 0


def test_a_watcher_knows_all_instances_and_asks_a_new_broker_again(broker: RunningBroker) -> None:
    with ServerAdapter("w", broker=broker.address) as watcher:
        heard: list[tuple[str, str]] = []

        @watcher.on_service
        def changed(change: ServiceChange) -> None:
            heard.append((change.instance.name, change.instance.state.value))

        watcher.watch_services()
        until(lambda: "bus" in watcher.services, watcher, what="it is told of the broker")
        with ServerAdapter("a", service="combat", version="1.4", broker=broker.address):
            until(lambda: "combat" in watcher.services, watcher, what="it is told of the server")
            assert watcher.services["combat"]["server:a"].version == "1.4"
        until(lambda: "combat" not in watcher.services, watcher, what="the server is gone")
        assert heard == [("lanebus", "ready"), ("server:a", "ready"), ("server:a", "gone")]
        broker.stop()
        broker.come_back()
        until(lambda: watcher.core.connects == 2 and watcher.state == "up", watcher, what="it is back")
        with ServerAdapter("b", service="chat", broker=broker.address):
            until(lambda: "chat" in watcher.services, watcher, what="it watches again")
        watcher.watch_services(False)
        assert watcher.services == {}
        until(lambda: not watcher.requests_pending, watcher, what="it watches no longer")
        assert watcher.core.requests.assertions == {}


def test_a_circle_of_services_is_refused_and_logged(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        ServerAdapter("a", service="combat", depends_on=["world"], broker=broker.address) as first,
        ServerAdapter("b", service="world", depends_on=["combat"], broker=broker.address) as second,
    ):
        with caplog.at_level(logging.ERROR):
            until(lambda: "was refused" in caplog.text, first, second, what="the refusal is logged")
        assert "world -> combat -> world (error 311)" in caplog.text


def test_a_server_that_watches_is_told_of_players(broker: RunningBroker) -> None:
    server = ServerAdapter("a", broker=broker.address)
    told: list[tuple[str, str]] = []

    def note(change: PlayerChange) -> None:
        told.append((change.player.name, change.what.value))

    for decorate in (
        server.on_player_joined,
        server.on_player_left,
        server.on_player_away,
        server.on_player_resumed,
        server.on_player_quality,
    ):
        assert decorate(note) is note
    assert server.requests_pending == 1
    with ClientAdapter("1", broker=broker.address) as early:
        server.connect()
        until(lambda: "player:1" in server.players, server, early, what="the server knows who is there")
        late = ClientAdapter("2", broker=broker.address)
        late.start()
        until(lambda: len(server.players) == 2, server, early, late, what="it knows who has come")
        late.close()
        until(lambda: len(server.players) == 1, server, early, what="it knows who has left")
        assert told == [("player:1", "joined"), ("player:2", "joined"), ("player:2", "left")]
        assert server.players["player:1"].state == "up"
        server.unwatch_players()
        server.unwatch_players()
        assert len(server.players) == 0
        server.watch_players()
        until(lambda: len(server.players) == 1, server, early, what="it is told anew")
    server.close()


def test_a_player_comes_before_its_events_and_leaves_after_them(broker: RunningBroker) -> None:
    server = ServerAdapter("a", service="a", broker=broker.address)
    seen: list[object] = []
    server.on_player_joined(lambda change: seen.append("joined"))
    server.on_player_left(lambda change: seen.append("left"))
    server.on("t")(lambda event: seen.append((event.lane.label, event.payload)))
    server.connect()
    lanes = [lane.label for lane in Lane]
    client = ClientAdapter("1", broker=broker.address)
    client.connect()
    for number in (1, 2):
        for lane in lanes:
            client.send("t", number, lane=lane)
    client.flush()
    session = broker.broker.core.directory.peers["player:1"]
    # The server has no turn before all is on its way to it, the goodbye too.
    until(
        lambda: sum(sending.book.accepted for sending in session.sending) == 6, client, what="all is accepted"
    )
    client.close(0.0)
    until(lambda: seen[-1:] == ["left"], server, what="the server knows that the player has left")
    server.close()
    assert seen == ["joined", *((lane, number) for lane in lanes for number in (1, 2)), "left"]


def test_a_new_broker_is_asked_to_tell_again(broker: RunningBroker) -> None:
    server, client = ServerAdapter("a", broker=broker.address), ClientAdapter("1", broker=broker.address)
    server.watch_players()
    both = (server, client)
    for adapter in both:
        adapter.start()
    until(lambda: "player:1" in server.players, *both, what="the server knows the player")
    since = server.players["player:1"].since
    broker.stop()
    until(lambda: "up" not in (server.state, client.state), *both, what="both know that it is gone")
    broker.come_back()
    until(
        lambda: "player:1" in server.players and server.players["player:1"].since > since,
        *both,
        what="the new broker tells",
    )
    for adapter in both:
        adapter.close()


def test_a_server_that_watches_is_told_of_alerts_and_a_new_broker_is_asked_again() -> None:
    settings = AlertsConfig(slow_receiver_age_s=0.1, min_interval_s=0.0)
    config = Config(sessions=SessionsConfig(recovery_s=0.0), alerts=settings)
    with RunningBroker(config) as broker, ServerAdapter("watcher", broker=broker.address) as watcher:
        heard: list[tuple[str, str, str, bool]] = []

        @watcher.on("bus.alert")
        def alert(event: Event) -> None:
            told = event.payload
            heard.append((event.sender, told["kind"], told["peer"], told["is_over"]))

        def slow(is_over: bool) -> tuple[str, str, str, bool]:
            return ("service:bus", "slow_receiver", "player:1", is_over)

        watcher.watch_alerts()
        watcher.watch_alerts()
        assert watcher.requests_pending == 1
        with ClientAdapter("1", broker=broker.address) as player:
            watcher.send("t", to="player:1", flush=True)
            until(lambda: bool(heard), watcher, what="the server is told")
            player.on("**")(lambda event: None)
            until(lambda: len(heard) == 2, watcher, player, what="the server is told of the end")
            assert heard == [slow(False), slow(True)]
            broker.stop()
            broker.come_back()
            until(
                lambda: watcher.core.connects == player.core.connects == 2 and watcher.state == "up",
                watcher,
                player,
                what="both are back",
            )
            watcher.send("t", to="player:1", flush=True)
            until(lambda: len(heard) == 3, watcher, what="the new broker tells")
            until(lambda: len(heard) == 4, watcher, player, what="the new broker tells of the end")
            assert heard[2:] == [slow(False), slow(True)]
        watcher.watch_alerts(False)
        watcher.watch_alerts(False)
        until(lambda: not watcher.requests_pending, watcher, what="it watches no longer")
        assert watcher.core.requests.assertions == {}


def test_what_a_peer_sends_is_no_alert(pair: tuple[ServerAdapter, ServerAdapter]) -> None:
    one, other = pair
    got: list[Event] = []
    other.on("bus.alert")(got.append)
    other.on("a.topic")(got.append)
    one.send("a.topic", to="server:b")
    # As a peer that does not keep to it would.
    event = one._session.outbox.accept(
        0, Lane.NORMAL, "bus.alert", "server:b", [], b"\x01", time.monotonic(), 0, False
    )
    one.core.outgoing.put(event)
    one.send("a.topic", to="server:b", flush=True)
    until(lambda: len(got) == 2, one, other, what="what is sent arrives")
    assert {event.topic for event in got} == {"a.topic"}


def test_a_full_outbox_is_told_to_the_broker(broker: RunningBroker) -> None:
    with (
        ServerAdapter("a", broker=broker.address, outbox_bytes=1_000) as sender,
        ClientAdapter("1", broker=broker.address) as receiver,
    ):
        for _ in range(5):
            try:
                sender.send("t", b"x" * 200, to="player:1")
            except OutboxFull:
                break
        alerts = broker.broker.core.alerts
        full = AlertKind.OUTBOX_FULL
        until(lambda: alerts.lasting(full, "server:a") is not None, sender, what="the broker knows")
        alert = alerts.lasting(full, "server:a")
        assert alert is not None
        assert (alert.figures["used_share"], alert.figures["turned_away"]) == (1.0, 1)
        receiver.on("**")(lambda event: None)
        until(lambda: alerts.lasting(full, "server:a") is None, sender, receiver, what="there is room again")
