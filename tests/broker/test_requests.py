"""Requests: numbered, answered, and without a second effect when they are sent again."""

from typing import Any

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.conf.model import GroupsConfig
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import REQUESTS, Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.services import Health, ServiceState

PROCESS = b"q" * 16
FIELDS: dict[Kind, dict[str, Any]] = {
    Kind.OPEN: {"index": 1, "name": "player:9", "process": PROCESS},
    Kind.CLOSE: {"index": 1},
    Kind.REGISTER: {"service": "combat", "topics": ["player.*"]},
    Kind.ASSIGN: {"player": "player:1", "service": "combat", "instance": None},
    Kind.JOIN: {"group": "room", "member": "player:1"},
    Kind.LEAVE: {"group": "room", "member": "player:1"},
    Kind.HEALTH: {"service": "combat", "health": "ok"},
    Kind.WATCH: {"what": "services"},
}
ALLOWED = {
    "gateway:g": {Kind.OPEN, Kind.CLOSE},
    "server:a": {Kind.REGISTER, Kind.ASSIGN, Kind.JOIN, Kind.LEAVE, Kind.WATCH},
    "player:1": set(),
}
REFUSED: dict[str, dict[Kind, ErrorNumber]] = {
    "gateway:g": {Kind.JOIN: ErrorNumber.NOT_ALLOWED, Kind.LEAVE: ErrorNumber.NOT_ALLOWED},
    "server:a": {Kind.HEALTH: ErrorNumber.UNKNOWN_SERVICE},
    "player:1": {Kind.JOIN: ErrorNumber.NOT_ALLOWED, Kind.LEAVE: ErrorNumber.NOT_ALLOWED},
}
"""What a role may ask for, and is not given here."""


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
    elif kind in REFUSED[name]:
        assert (peer.dones[1].error, peer.errors) == (REFUSED[name][kind], [])
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


# Groups that players join by themselves


@pytest.fixture
def open_bench() -> Bench:
    return Bench(small_config(groups=GroupsConfig(client_may_join=["room:*"])))


@pytest.mark.parametrize("name", ["player:1", "gateway:g"])
def test_a_player_joins_and_leaves_the_groups_that_a_rule_names(open_bench: Bench, name: str) -> None:
    server = Peer(open_bench, "server:a").attach()
    peer = Peer(open_bench, name).attach()
    index = 0
    if name == "gateway:g":
        index = 1
        peer.open(index, "player:1")
    assert peer.ask(Kind.JOIN, group="room:7", member="player:1").error == 0
    server.send("inside", "group:room:7")
    open_bench.advance(0.1)
    assert peer.ask(Kind.LEAVE, group="room:7", member="player:1").error == 0
    server.send("outside", "group:room:7")
    open_bench.advance(0.1)
    assert peer.topics(index) == ["inside"]


@pytest.mark.parametrize("kind", [Kind.JOIN, Kind.LEAVE])
@pytest.mark.parametrize("name", ["player:1", "gateway:g"])
@pytest.mark.parametrize(
    ("group", "member"), [("den", "player:1"), ("room:7", "player:2"), ("room:7", "player:404")]
)
def test_a_player_changes_no_other_groups_and_no_other_players(
    open_bench: Bench, kind: Kind, name: str, group: str, member: str
) -> None:
    server = Peer(open_bench, "server:a").attach()
    Peer(open_bench, "player:2").attach()
    peer = Peer(open_bench, name).attach()
    if name == "gateway:g":
        peer.open(1, "player:1")
    for each in ("player:1", "player:2"):
        for joined in ("den", "room:7"):
            server.ask(Kind.JOIN, group=joined, member=each)
    before = {name: list(members) for name, members in open_bench.core.directory.groups.items()}
    assert peer.ask(kind, group=group, member=member).error == ErrorNumber.NOT_ALLOWED
    assert {name: list(members) for name, members in open_bench.core.directory.groups.items()} == before
    assert peer.errors == []
    # A gateway may not have heard that a player has gone, and who is not there cannot be spoken for.
    is_mistake = member == "player:404" or (member == "player:2" and name == "gateway:g")
    culprit = "player:1" if member == "player:1" else name
    assert open_bench.core.violations.counts(culprit) == ({} if is_mistake else {"not_allowed": 1})


def test_nobody_is_told_to_wait_for_a_player_who_joined_by_itself(open_bench: Bench) -> None:
    server = Peer(open_bench, "server:a").attach()
    player = Peer(open_bench, "player:1").attach()
    player.ask(Kind.JOIN, group="room:7", member="player:1")
    server.send("t", "group:room:7")
    open_bench.advance(0.1)
    assert Kind.KEPT not in server.kinds()
    assert player.topics() == ["t"]


# Services


def test_services_that_would_need_each_other_are_refused_and_named(bench: Bench, server: Peer) -> None:
    for name, needed in (("combat", "world"), ("world", "chat")):
        assert server.ask(Kind.REGISTER, service=name, topics=[], depends_on=[needed]).error == 0
    done = server.ask(Kind.REGISTER, service="chat", topics=["say"], depends_on=["combat"])
    assert done.error == ErrorNumber.DEPENDENCY_CYCLE
    assert done.detail == "services would need each other: chat -> combat -> world -> chat"
    assert "chat" not in bench.core.directory.services


def test_the_brokers_own_service_is_nobody_elses(bench: Bench, server: Peer) -> None:
    assert server.ask(Kind.REGISTER, service="bus", topics=["**"]).error == ErrorNumber.NAME_IN_USE
    needs = server.ask(Kind.REGISTER, service="combat", topics=[], depends_on=["two words"])
    assert needs.error == ErrorNumber.BAD_NAME


def test_the_services_of_a_server_are_limited(bench: Bench, server: Peer) -> None:
    errors = [server.ask(Kind.REGISTER, service=f"s{n}", topics=[]).error for n in range(17)]
    assert errors == [*[0] * 16, ErrorNumber.TOO_MANY]
    assert server.ask(Kind.REGISTER, service="s0", topics=[], weight=2).error == 0


def test_a_report_changes_the_state_of_an_instance(bench: Bench, server: Peer) -> None:
    server.ask(Kind.REGISTER, service="combat", topics=["t"], health=Health.STARTING, reason="loading")
    instance = bench.core.directory.services["combat"].instances["server:a"]
    assert (instance.state, instance.reason) == (ServiceState.STARTING, "loading")
    server.ask(Kind.HEALTH, service="combat", health=Health.OK)
    assert (instance.state, instance.reason) == (ServiceState.READY, "")
    assert server.ask(Kind.HEALTH, service="chat", health=Health.OK).error == ErrorNumber.UNKNOWN_SERVICE


def test_events_of_newcomers_are_refused_until_an_instance_is_ready(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.ask(Kind.REGISTER, service="combat", topics=["t"], health=Health.STARTING)
    player.send("t", None)
    bench.advance(0.5)
    assert player.end_of(1) == (Outcome.REFUSED, Reason.NO_SERVICE)
    server.ask(Kind.HEALTH, service="combat", health=Health.OK)
    player.send("t", None)
    bench.advance(0.1)
    assert server.topics() == ["t"]


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
    assert session.quality.outside_ms == 40.0
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
