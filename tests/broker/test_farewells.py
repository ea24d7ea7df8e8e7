"""Farewells: what servers are told of those who are gone. `tests/link/test_gone.py` has the adapters' side."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.farewells import INTERVAL_S, UNCLAIMED_S
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Gone


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


def told(peer: Peer) -> list[Gone]:
    """What it was told since the last look."""
    gone = [message for kind, message in peer.messages if kind is Kind.GONE]
    peer.messages = [each for each in peer.messages if each[0] is not Kind.GONE]
    return gone


def test_a_server_is_told_of_those_that_it_put_somewhere_and_of_no_others(bench: Bench, server: Peer) -> None:
    other = Peer(bench, "server:b").attach()
    players = [Peer(bench, f"player:{number}").attach() for number in range(3)]
    server.ask(Kind.REGISTER, service="combat", topics=[])
    server.ask(Kind.JOIN, group="room", member="player:0")
    server.ask(Kind.JOIN, group="hall", member="player:0")
    other.ask(Kind.ASSIGN, player="player:1", service="combat", instance="server:a")
    for player in players:
        player.bye()
    bench.advance(0.1)
    assert told(server) == [Gone(names=["player:0"])]
    assert told(other) == [Gone(names=["player:1"])]
    assert bench.core.directory.concerned == {}


def test_a_name_that_has_been_taken_over_is_not_gone(bench: Bench, server: Peer) -> None:
    Peer(bench, "player:1").attach()
    server.ask(Kind.JOIN, group="room", member="player:1")
    newer = Peer(bench, "player:1").attach()
    bench.advance(0.1)
    assert told(server) == []
    newer.bye()
    bench.advance(0.1)
    assert told(server) == [Gone(names=["player:1"])]


def test_it_is_told_again_after_a_resume_unless_it_has_asked_again(bench: Bench, server: Peer) -> None:
    for name in ("player:1", "player:2"):
        player = Peer(bench, name).attach()
        server.ask(Kind.JOIN, group="room", member=name)
        player.bye()
    bench.advance(0.1)
    assert [message.names for message in told(server)] == [["player:1"], ["player:2"]]
    Peer(bench, "player:2").attach()
    server.ask(Kind.JOIN, group="room", member="player:2")
    server.attach()
    bench.advance(0.1)
    assert told(server) == [Gone(names=["player:1"])]


def test_what_was_told_long_ago_is_not_told_again(bench: Bench, server: Peer) -> None:
    for name in ("player:1", "player:2"):
        player = Peer(bench, name).attach()
        server.ask(Kind.JOIN, group="room", member=name)
        player.bye()
        for _ in range(10):
            server.ping()
            bench.advance(1.0)
    assert list(bench.attachment("server:a").farewells) == ["player:2"]


def test_a_server_is_told_of_senders_that_are_finished_and_settled(bench: Bench, server: Peer) -> None:
    other = Peer(bench, "server:b").attach()
    player, killed = Peer(bench, "player:1").attach(), Peer(bench, "player:2").attach()
    origins = [bench.session(each.name).origin for each in (player, killed)]
    for sender in (player, killed):
        sender.send("t", "server:a")
    bench.advance(0.1)
    player.bye()
    killed.cut()
    bench.advance(2.0)
    assert told(server) == []
    server.settle_all()
    for _ in range(16):
        server.ping()
        other.ping()
        bench.advance(1.0)
    assert "player:2" not in bench.core.directory.peers
    # Who has not said goodbye may come back with a replay: what was seen of it is still needed.
    assert told(server) == [Gone(origins=origins[:1])]
    assert told(other) == []


def test_an_unclaimed_binding_is_over_after_a_while(bench: Bench, server: Peer) -> None:
    server.ask(Kind.REGISTER, service="combat", topics=[])
    server.ask(Kind.ASSIGN, player="player:1", service="combat", instance="server:a")
    for _ in range(int(UNCLAIMED_S + INTERVAL_S) + 2):
        server.ping()
        bench.advance(1.0)
    assert bench.core.directory.bindings == {}
    assert told(server) == [Gone(names=["player:1"])]
