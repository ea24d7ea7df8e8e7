"""Requests: numbered, answered, and without a second effect when they are sent again."""

from typing import Any

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import REQUESTS, Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome

PROCESS = b"q" * 16
FIELDS: dict[Kind, dict[str, Any]] = {
    Kind.OPEN: {"index": 1, "name": "player:9", "process": PROCESS},
    Kind.CLOSE: {"index": 1},
    Kind.REGISTER: {"service": "combat", "topics": ["player.*"]},
    Kind.ASSIGN: {"player": "player:1", "service": "combat", "instance": None},
    Kind.JOIN: {"group": "room", "member": "player:1"},
    Kind.LEAVE: {"group": "room", "member": "player:1"},
}
ALLOWED = {
    "gateway:g": {Kind.OPEN, Kind.CLOSE},
    "server:a": {Kind.REGISTER, Kind.ASSIGN, Kind.JOIN, Kind.LEAVE},
    "player:1": set(),
}


@pytest.fixture
def player(bench: Bench) -> Peer:
    return Peer(bench, "player:1").attach()


@pytest.fixture
def server(bench: Bench, player: Peer) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def gateway(bench: Bench) -> Peer:
    return Peer(bench, "gateway:g").attach()


def test_every_request_is_tried() -> None:
    assert set(FIELDS) == REQUESTS


@pytest.mark.parametrize("kind", sorted(REQUESTS))
@pytest.mark.parametrize("name", ["player:1", "server:a", "gateway:g"])
def test_a_role_may_ask_for_its_own_changes_alone(bench: Bench, name: str, kind: Kind) -> None:
    for other in {"player:1", "server:a", "gateway:g"} - {name}:
        Peer(bench, other).attach()
    peer = Peer(bench, name).attach()
    peer.request(kind, **FIELDS[kind])
    bench.turn()
    if kind in ALLOWED[name]:
        assert (peer.dones[1].error, peer.errors) == (0, [])
    else:
        assert peer.errors == [ErrorNumber.NOT_ALLOWED]
        assert peer.dones == {}


def test_a_request_that_leaves_one_out_ends_the_link(bench: Bench, server: Peer) -> None:
    server.request_number = 1
    server.request(Kind.LEAVE, **FIELDS[Kind.LEAVE])
    bench.turn()
    assert server.errors == [ErrorNumber.BATCH_GAP]


def test_a_refused_request_is_answered_and_counts_as_carried_out(bench: Bench, server: Peer) -> None:
    done = server.ask(Kind.JOIN, group="room", member="player:404")
    assert (done.error, done.detail) == (ErrorNumber.UNKNOWN_PEER, "no session of player:404")
    server.send("t", "player:1", after=1)
    assert server.ask(Kind.JOIN, group="room", member="player:1").error == 0
    assert not server.errors


def test_a_request_sent_again_has_no_second_effect(bench: Bench, server: Peer, gateway: Peer) -> None:
    gateway.open(1, "player:11")
    session = bench.session("player:11")
    for _ in range(2):
        server.request_number = 0
        server.ask(Kind.JOIN, group="room", member="player:1")
        server.ask(Kind.REGISTER, service="combat", topics=["player.*"])
        gateway.request_number = 0
        gateway.ask(Kind.OPEN, index=1, name="player:11", process=session.process)
    assert bench.session("player:11") is session
    assert list(bench.core.directory.groups["room"]) == ["player:1"]
    assert list(bench.core.directory.services["combat"].instances) == ["server:a"]
    assert bench.attachment("server:a").request == 2


def test_a_request_lost_with_the_link_is_asked_again_and_answered(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.cut()
    server.request(Kind.JOIN, group="room", member="player:1")
    server.send("t", "group:room", after=1)
    server.attach()
    bench.advance(1.0)
    assert server.dones[1].error == 0
    assert player.topics() == ["t"]


# Groups


def test_a_group_gains_and_loses_members(bench: Bench, server: Peer, player: Peer) -> None:
    assert server.ask(Kind.JOIN, group="room:7", member="player:1").error == 0
    server.send("inside", "group:room:7", after=server.request_number)
    bench.advance(0.1)
    assert server.ask(Kind.LEAVE, group="room:7", member="player:1").error == 0
    server.send("outside", "group:room:7", after=server.request_number)
    bench.advance(0.1)
    assert player.topics() == ["inside"]


@pytest.mark.parametrize(
    ("group", "member", "error"),
    [
        ("room", "player:404", ErrorNumber.UNKNOWN_PEER),
        ("two words", "player:1", ErrorNumber.BAD_NAME),
    ],
)
def test_a_join_that_makes_no_sense_is_refused(
    bench: Bench, server: Peer, group: str, member: str, error: ErrorNumber
) -> None:
    assert server.ask(Kind.JOIN, group=group, member=member).error == error
    assert bench.core.directory.groups == {}


def test_the_groups_of_a_session_are_limited(bench: Bench, server: Peer) -> None:
    errors = [server.ask(Kind.JOIN, group=f"g{n}", member="player:1").error for n in range(4)]
    assert errors == [0, 0, 0, ErrorNumber.TOO_MANY]
    assert server.ask(Kind.JOIN, group="g0", member="player:1").error == 0


def test_leaving_a_group_that_one_is_not_in_changes_nothing(bench: Bench, server: Peer) -> None:
    assert server.ask(Kind.LEAVE, group="room", member="player:1").error == 0
    assert server.ask(Kind.LEAVE, group="room", member="player:404").error == 0


# Services


@pytest.mark.parametrize(
    ("service", "topics", "error"),
    [
        ("two words", ["a"], ErrorNumber.BAD_NAME),
        ("combat", ["a", "b", "c", "d"], ErrorNumber.TOO_MANY),
        ("combat", ["a..b"], ErrorNumber.BAD_TOPIC),
    ],
)
def test_a_registration_that_makes_no_sense_is_refused(
    bench: Bench, server: Peer, service: str, topics: list[str], error: ErrorNumber
) -> None:
    assert server.ask(Kind.REGISTER, service=service, topics=topics).error == error
    assert bench.core.directory.services == {}


def test_a_player_is_bound_to_an_instance_that_there_is(bench: Bench, server: Peer, player: Peer) -> None:
    other = Peer(bench, "server:b").attach()
    for each in (server, other):
        each.ask(Kind.REGISTER, service="combat", topics=["player.*"])
    for instance in ("server:a", "server:b"):
        assert server.ask(Kind.ASSIGN, player="player:1", service="combat", instance=instance).error == 0
        player.send("player.move", None)
        bench.advance(0.1)
    assert len(server.got) == len(other.got) == 1
    assert server.ask(Kind.ASSIGN, player="player:1", service="combat", instance=None).error == 0
    assert bench.core.directory.bindings == {}


@pytest.mark.parametrize(
    ("player", "service", "instance", "error"),
    [
        ("player:1", "combat", "server:z", ErrorNumber.UNKNOWN_SERVICE),
        ("player:1", "none", "server:a", ErrorNumber.UNKNOWN_SERVICE),
        ("server:a", "combat", "server:a", ErrorNumber.BAD_NAME),
    ],
)
def test_a_binding_that_makes_no_sense_is_refused(
    bench: Bench, server: Peer, player: str, service: str, instance: str, error: ErrorNumber
) -> None:
    server.ask(Kind.REGISTER, service="combat", topics=[])
    assert server.ask(Kind.ASSIGN, player=player, service=service, instance=instance).error == error
    assert bench.core.directory.bindings == {}


# A gateway's sessions


def test_an_opened_session_speaks_and_hears_for_its_player(bench: Bench, server: Peer, gateway: Peer) -> None:
    gateway.open(5, "player:55", rtt_ms=40.0)
    session = bench.session("player:55")
    assert (session.rtt_outside_ms, session.quality.rtt_ms) == (40.0, 40.0)
    gateway.send("up", "server:a", session=5)
    server.send("down", "player:55")
    bench.advance(0.1)
    assert server.got[0].sender == "player:55"
    assert gateway.got[0].session == 5


def test_a_session_index_is_used_by_one_session_at_a_time(bench: Bench, gateway: Peer) -> None:
    gateway.open(1, "player:11")
    assert gateway.dones[gateway.open(1, "player:12")].error == ErrorNumber.NAME_IN_USE
    assert "player:12" not in bench.core.directory.peers


def test_only_players_are_behind_a_gateway(bench: Bench, gateway: Peer) -> None:
    assert gateway.dones[gateway.open(1, "server:b")].error == ErrorNumber.BAD_NAME


def test_the_sessions_of_a_gateway_are_limited(bench: Bench, gateway: Peer) -> None:
    errors = [gateway.dones[gateway.open(index, f"player:{index}")].error for index in range(1, 6)]
    assert errors == [0, 0, 0, 0, ErrorNumber.TOO_MANY]


def test_a_closed_session_is_gone_with_its_last_books(bench: Bench, server: Peer, gateway: Peer) -> None:
    gateway.open(1, "player:11")
    gateway.send("t", "server:a", session=1)
    bench.advance(0.1)
    gateway.close(1)
    bench.advance(0.1)
    assert "player:11" not in bench.core.directory.peers
    (ended,) = bench.core.registry.ended.values()
    assert ended.reported is not None
    assert ended.reported[Lane.CRITICAL].accepted == 1
    server.settle_all()
    bench.advance(2.0)
    assert bench.core.registry.ended == {}
    totals = bench.core.registry.totals
    assert totals.events[Lane.CRITICAL].ended[Outcome.DELIVERED] == 1


def test_closing_what_is_not_open_changes_nothing(bench: Bench, gateway: Peer) -> None:
    assert gateway.ask(Kind.CLOSE, index=3, books=[]).error == 0
    gateway.open(3, "player:11")
    assert gateway.ask(Kind.CLOSE, index=3, books=[[0] * 7]).error == 0
