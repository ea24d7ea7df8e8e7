"""The directory: whom a destination means, and why it sometimes means nobody."""

from itertools import count

import pytest
from tests.cost import cost_of

from lanebus.broker.attachment import Attachment
from lanebus.broker.directory import MAX_UNCLAIMED, Directory, Plan
from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Replayed, Session
from lanebus.conf.model import QualityConfig
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Reason

_origins = count(1)


def a_session(name: str, attachment: Attachment | None = None, index: int = 0) -> Session:
    role = Role.SERVER if name.startswith("server:") else Role.CLIENT
    process = b"p" * 16
    held_by = attachment or Attachment(name, role, process, b"t" * 16, 0.0)
    return Session(held_by, index, name, role, process, next(_origins), Quality(QualityConfig()), 0.0)


class Town:
    """A directory with some players and servers in it."""

    def __init__(self, *names: str) -> None:
        self.directory = Directory()
        self.sessions = {name: a_session(name) for name in names}
        for session in self.sessions.values():
            self.directory.add(session)

    def __getitem__(self, name: str) -> Session:
        return self.sessions[name]

    def join(self, group: str, member: Session, by: str = "server:a", request: int = 1) -> None:
        self.directory.join(group, member, self[by].attachment, request)

    def find(
        self,
        sender: str,
        to: str | list[str] | None,
        topic: str = "t",
        exclude: list[str] | None = None,
        after: int | None = None,
    ) -> list[str] | Reason:
        """The names of the receivers, or the reason."""
        before = None if after is None else Replayed(after, Lane.NORMAL, 1)
        found = self.directory.resolve(self[sender], topic, to, exclude or [], before)
        if not isinstance(found, Plan):
            return found
        names = [session.name for _, sessions in found.groups for session in sessions]
        assert found.parts == len(names)
        return sorted(names)

    def plan(self, sender: str, to: str | list[str] | None) -> Plan:
        found = self.directory.resolve(self[sender], "t", to, [])
        assert isinstance(found, Plan)
        return found


@pytest.fixture
def town() -> Town:
    town = Town("player:1", "player:2", "player:3", "server:a", "server:b")
    town.join("room", town["player:1"])
    town.join("room", town["player:2"])
    return town


def test_a_peer_is_found_by_its_name(town: Town) -> None:
    assert town.find("server:a", "player:3") == ["player:3"]
    assert town.find("server:a", "server:b") == ["server:b"]


def test_all_is_every_player_and_no_server(town: Town) -> None:
    assert town.find("server:a", "all") == ["player:1", "player:2", "player:3"]


def test_a_group_is_its_members(town: Town) -> None:
    assert town.find("server:a", "group:room") == ["player:1", "player:2"]
    town.directory.leave("room", town["player:1"])
    assert town.find("server:a", "group:room") == ["player:2"]


def test_a_list_reaches_everybody_once(town: Town) -> None:
    to = ["player:1", "group:room", "player:3", "player:1"]
    assert town.find("server:a", to) == ["player:1", "player:2", "player:3"]


def test_the_excluded_are_left_out(town: Town) -> None:
    assert town.find("server:a", "all", exclude=["player:2", "player:9"]) == ["player:1", "player:3"]
    assert town.find("server:a", "group:room", exclude=["player:1", "player:2"]) is Reason.NOBODY


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("player:9", Reason.UNKNOWN_DESTINATION),
        ("server:z", Reason.UNKNOWN_DESTINATION),
        ("service:none", Reason.UNKNOWN_DESTINATION),
        ("group:none", Reason.UNKNOWN_DESTINATION),
        (["player:9"], Reason.UNKNOWN_DESTINATION),
        (["group:none", "group:neither"], Reason.UNKNOWN_DESTINATION),
        (["player:8", "player:9"], Reason.NOBODY),
    ],
)
def test_an_unknown_destination_is_refused(town: Town, to: str | list[str], reason: Reason) -> None:
    assert town.find("server:a", to) is reason


def test_all_of_no_players_is_nobody() -> None:
    assert Town("server:a").find("server:a", "all") is Reason.NOBODY


@pytest.mark.parametrize(
    "to", ["nonsense", "player:", "player:a b", "planet:x", ["player:1", "nonsense"], []]
)
def test_a_malformed_destination_breaks_the_protocol(town: Town, to: str | list[str]) -> None:
    with pytest.raises(ProtocolError) as caught:
        town.find("server:a", to)
    assert caught.value.number is ErrorNumber.BAD_DESTINATION


@pytest.mark.parametrize("to", ["player:2", "player:1", "group:room", "all", ["server:a", "player:2"]])
def test_a_client_may_not_address_players(town: Town, to: str | list[str]) -> None:
    assert town.find("player:1", to) is Reason.NOT_ALLOWED


def test_a_client_may_address_what_a_rule_names() -> None:
    town = Town("server:a", "player:1", "player:2", "player:3")
    town.directory = Directory(client_may_address=["player:2", "group:party:*"])
    for session in town.sessions.values():
        town.directory.add(session)
    town.join("party:7", town["player:3"])
    town.join("room", town["player:3"])
    assert town.find("player:1", "player:2") == ["player:2"]
    assert town.find("player:1", "group:party:7") == ["player:3"]
    assert town.find("player:1", ["player:2", "server:a"]) == ["player:2", "server:a"]
    for other in ("player:3", "group:room", "all", ["player:2", "player:3"]):
        assert town.find("player:1", other) is Reason.NOT_ALLOWED


def a_town_with_rooms_for_members() -> Town:
    town = Town("server:a", "player:1", "player:2")
    town.directory = Directory(client_may_address=["member:room:*"])
    for session in town.sessions.values():
        town.directory.add(session)
    town.join("room:7", town["player:2"])
    return town


def test_where_members_alone_may_speak_a_client_may_as_long_as_it_is_one() -> None:
    town = a_town_with_rooms_for_members()
    assert town.find("player:1", "group:room:7") is Reason.NOT_ALLOWED
    town.join("room:7", town["player:1"])
    assert town.find("player:1", "group:room:7") == ["player:1", "player:2"]
    assert town.find("player:1", ["server:a", "group:room:7"]) == ["player:1", "player:2", "server:a"]
    town.directory.leave("room:7", town["player:1"])
    assert town.find("player:1", "group:room:7") is Reason.NOT_ALLOWED
    assert town.find("player:1", ["server:a", "group:room:7"]) is Reason.NOT_ALLOWED


def test_a_rule_for_members_is_of_groups_alone_and_of_clients_alone() -> None:
    town = a_town_with_rooms_for_members()
    assert town.find("player:2", "player:1") is Reason.NOT_ALLOWED
    assert town.find("player:2", "group:other") is Reason.NOT_ALLOWED
    assert town.find("player:2", "group:room:none") is Reason.NOT_ALLOWED
    assert town.find("server:a", "group:room:7") == ["player:2"]


def test_after_a_start_it_is_not_said_that_a_client_may_not_speak_where_it_may_be_a_member() -> None:
    town = a_town_with_rooms_for_members()
    town.directory.expect = lambda name: None
    assert town.find("player:1", "group:room:7") is Reason.UNKNOWN_DESTINATION
    assert town.directory.may_become_member(town["player:1"], ["server:a", "group:room:7"])
    assert not town.directory.may_become_member(town["player:2"], "group:room:7")
    assert not town.directory.may_become_member(town["server:a"], "group:room:7")
    assert town.find("player:1", "group:other") is Reason.NOT_ALLOWED


def test_a_client_may_address_servers_and_services(town: Town) -> None:
    town.directory.register(town["server:b"], "chat", [])
    assert town.find("player:1", "server:a") == ["server:a"]
    assert town.find("player:1", "service:chat") == ["server:b"]
    assert town.find("player:1", ["server:a", "service:chat"]) == ["server:a", "server:b"]


def test_groups_all_and_lists_are_shared_and_names_are_not(town: Town) -> None:
    town.directory.register(town["server:b"], "chat", [])
    assert not town.plan("server:a", "player:1").shared
    assert not town.plan("server:a", "service:chat").shared
    assert town.plan("server:a", "group:room").shared
    assert town.plan("server:a", "all").shared
    assert town.plan("server:a", ["player:1", "player:2"]).shared
    # Its sender could not be told to pause a list.
    assert town.plan("server:a", ["player:1"]).shared


def test_sessions_of_one_attachment_share_a_copy() -> None:
    town = Town("server:a", "player:9")
    gateway = Attachment("gateway:g", Role.GATEWAY, b"g" * 16, b"t" * 16, 0.0)
    for index in (1, 2):
        town.directory.add(a_session(f"player:{index}", gateway, index))
    groups = {attachment.name: sessions for attachment, sessions in town.plan("server:a", "all").groups}
    assert [session.name for session in groups["gateway:g"]] == ["player:1", "player:2"]
    assert [session.name for session in groups["player:9"]] == ["player:9"]


# Services


def test_a_topic_goes_to_one_instance_of_every_service_that_handles_it(town: Town) -> None:
    town.directory.register(town["server:a"], "combat", ["player.*"])
    town.directory.register(town["server:b"], "audit", ["player.attack", "**"])
    assert town.find("player:1", None, "player.attack") == ["server:a", "server:b"]
    assert town.find("player:1", None, "player.move.fast") == ["server:b"]


def test_a_topic_that_no_service_handles_has_no_service(town: Town) -> None:
    town.directory.register(town["server:a"], "combat", ["player.*"])
    assert town.find("player:1", None, "chat") is Reason.NO_SERVICE


def test_only_clients_leave_the_choice_to_the_broker(town: Town) -> None:
    town.directory.register(town["server:a"], "combat", ["**"])
    assert town.find("server:b", None) is Reason.UNKNOWN_DESTINATION


def test_a_binding_beats_stickiness_while_its_instance_is_there(town: Town) -> None:
    for name in ("server:a", "server:b"):
        town.directory.register(town[name], "combat", ["attack"])
    sticky = town.find("player:1", None, "attack")
    (other,) = {"server:a", "server:b"} - set(sticky)
    town.directory.assign("player:1", "combat", other, town["server:a"].attachment, 0.0)
    assert town.find("player:1", None, "attack") == [other]
    assert town.find("player:1", "service:combat") == [other]
    town.directory.remove(town[other])
    assert town.find("player:1", None, "attack") == sticky
    town.directory.add(town[other])
    town.directory.register(town[other], "combat", ["attack"])
    assert town.find("player:1", None, "attack") == [other]
    town.directory.assign("player:1", "combat", None, town["server:a"].attachment, 0.0)
    # Without a binding a player stays with the instance that served it last.
    assert town.find("player:1", None, "attack") == [other]


def test_the_last_instance_takes_its_service_and_its_topics_along(town: Town) -> None:
    town.directory.register(town["server:a"], "combat", ["attack"])
    town.directory.register(town["server:a"], "combat", ["attack", "defend"])
    assert town.find("player:1", None, "defend") == ["server:a"]
    town.directory.remove(town["server:a"])
    assert town.directory.services == {}
    assert town.find("player:1", None, "attack") is Reason.NO_SERVICE
    assert town.find("player:1", "service:combat") is Reason.UNKNOWN_DESTINATION


def test_a_change_of_a_group_makes_no_route_but_those_to_it_invalid(town: Town) -> None:
    server = town["server:a"]

    def plan(to: str) -> object:
        return town.directory.resolve(server, "t", to, [])

    plans = {to: plan(to) for to in ("player:1", "all", "group:room", "group:hall")}
    town.join("hall", town["player:2"])
    assert plan("group:hall") is not plans["group:hall"]
    assert all(plan(to) is plans[to] for to in ("player:1", "all", "group:room"))
    hall = plan("group:hall")
    town.directory.leave("room", town["player:1"])
    assert plan("group:hall") is hall
    assert plan("group:room") is not plans["group:room"]
    town.directory.leave("hall", town["player:2"])
    assert plan("group:hall") is Reason.UNKNOWN_DESTINATION
    town.join("hall", town["player:2"])
    assert plan("group:hall") is not Reason.UNKNOWN_DESTINATION


def test_a_binding_makes_the_routes_of_its_player_invalid_and_no_others(town: Town) -> None:
    for name in ("server:a", "server:b"):
        town.directory.register(town[name], "combat", ["attack"])
    before = {name: town.find(name, None, "attack") for name in ("player:1", "player:2")}
    (other,) = {"server:a", "server:b"} - set(before["player:1"])
    version = town.directory.version
    town.directory.assign("player:1", "combat", other, town["server:a"].attachment, 0.0)
    assert town.directory.version == version
    assert town.find("player:1", None, "attack") == [other]
    assert town.find("player:2", None, "attack") == before["player:2"]


def test_bindings_of_players_that_are_not_there_are_bounded(town: Town) -> None:
    town.directory.register(town["server:a"], "combat", [])
    gone: list[str] = []
    town.directory.on_gone = lambda name, servers: gone.append(name)
    for number in range(MAX_UNCLAIMED + 5):
        name = f"player:n{number}"
        town.directory.assign(name, "combat", "server:a", town["server:b"].attachment, float(number))
    assert len(town.directory.bindings) == MAX_UNCLAIMED
    assert not town.directory.concerned.keys() & gone
    assert gone == [f"player:n{number}" for number in range(5)]


# Sessions that come and go


def test_an_ended_session_leaves_its_groups_and_bindings(town: Town) -> None:
    town.directory.register(town["server:a"], "combat", [])
    town.directory.assign("player:1", "combat", "server:a", town["server:a"].attachment, 0.0)
    town.directory.remove(town["player:1"])
    assert town.find("server:a", "group:room") == ["player:2"]
    assert town.directory.bindings == {}
    assert "player:1" not in town.directory.peers
    town.directory.remove(town["player:2"])
    assert town.directory.groups == {}


def test_an_older_session_of_a_name_takes_nothing_from_the_newer(town: Town) -> None:
    newer = a_session("player:3")
    town.directory.add(newer)
    town.join("den", newer)
    town.directory.leave("den", town["player:3"])
    town.directory.remove(town["player:3"])
    assert town.directory.peers["player:3"] is newer
    assert town.find("server:a", "group:den") == ["player:3"]


# What is remembered


def test_a_route_is_remembered_until_the_directory_changes(town: Town) -> None:
    first = town.plan("server:a", "group:room")
    assert town.plan("server:a", "group:room") is first
    town.join("room", town["player:3"])
    assert town.plan("server:a", "group:room").parts == 3


def test_a_topic_and_a_destination_of_one_name_are_not_mixed_up(town: Town) -> None:
    town.directory.register(town["server:a"], "s", ["all"])
    assert town.find("player:1", None, "all") == ["server:a"]
    assert town.find("player:1", "all", "all") is Reason.NOT_ALLOWED


def test_an_event_with_exclusions_is_not_remembered(town: Town) -> None:
    assert town.find("server:a", "all", exclude=["player:1"]) == ["player:2", "player:3"]
    assert town.find("server:a", "all") == ["player:1", "player:2", "player:3"]


def test_remembered_routes_are_bounded(town: Town) -> None:
    for number in range(3000):
        town.find("server:a", f"player:{number}")
    assert len(town["server:a"].routes) <= 1024


def test_unknown_names_in_a_list_are_parts_that_nobody_gets(town: Town) -> None:
    plan = town.directory.resolve(town["server:a"], "t", ["player:1", "player:nobody", "server:nobody"], [])
    assert isinstance(plan, Plan)
    assert (plan.parts, plan.unknown) == (3, 2)


def test_a_replayed_event_goes_to_nobody_who_was_put_into_the_group_after_it_was_sent(town: Town) -> None:
    town.join("room", town["player:3"], request=5)
    assert town.find("server:a", "group:room", after=4) == ["player:1", "player:2"]
    assert town.find("server:a", "group:room", after=5) == ["player:1", "player:2", "player:3"]
    # Another server's requests and events have no order between them.
    assert town.find("server:b", "group:room", after=0) == ["player:1", "player:2", "player:3"]


def test_a_member_that_is_put_into_a_group_again_was_in_it_from_the_first_time(town: Town) -> None:
    town.join("room", town["player:3"], request=2)
    town.join("room", town["player:3"], request=9)
    assert town.find("server:a", "group:room", after=3) == ["player:1", "player:2", "player:3"]
    town.directory.leave("room", town["player:3"])
    town.join("room", town["player:3"], request=12)
    assert town.find("server:a", "group:room", after=9) == ["player:1", "player:2"]


def test_a_server_that_was_forgotten_numbers_its_joins_anew(town: Town) -> None:
    town.join("room", town["player:3"], request=70)
    again = a_session("server:a")
    town.directory.succeed(town["server:a"], again)
    town.sessions["server:a"] = again
    town.join("room", town["player:3"], request=2)
    assert town.find("server:a", "group:room", after=1) == ["player:1", "player:2"]
    assert town.find("server:a", "group:room", after=2) == ["player:1", "player:2", "player:3"]


def test_what_a_list_names_again_and_again_counts_and_costs_as_named_once() -> None:
    town = Town("server:a", *(f"player:{number}" for number in range(500)))
    for name, session in town.sessions.items():
        if name != "server:a":
            town.join("room", session)
    named = ["group:room", "player:gone", "all"]
    found: list[Plan] = []
    cost = cost_of(lambda: found.append(town.plan("server:a", named * 85)))
    assert cost.lines < 30 * (500 + 3 * 85)
    assert (found[0].parts, found[0].unknown, found[0].shared) == (501, 1, True)
    assert town.plan("server:a", ["player:1", "player:1"]).shared
