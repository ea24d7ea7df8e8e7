"""Services: states with their reasons, what depends on what, and shares that follow weights."""

from collections import Counter
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanebus.broker.attachment import Attachment
from lanebus.broker.quality import Quality
from lanebus.broker.services import AWAY, CycleError, Facts, Instance, Service, Services
from lanebus.broker.sessions import Session
from lanebus.conf.model import QualityConfig
from lanebus.wire.names import Role
from lanebus.wire.services import MAX_REASON_CHARACTERS, Health, ServiceState

_origins = count(1)

STARTING, READY, DEGRADED, GONE = (
    ServiceState.STARTING,
    ServiceState.READY,
    ServiceState.DEGRADED,
    ServiceState.GONE,
)


def a_session(name: str) -> Session:
    attachment = Attachment(name, Role.SERVER, b"p" * 16, b"t" * 16, 0.0)
    return Session(attachment, 0, name, Role.SERVER, b"p" * 16, next(_origins), Quality(QualityConfig()), 0.0)


class Town:
    """Services of servers that are made as they are named."""

    def __init__(self) -> None:
        self.services = Services("bus-1")
        self.sessions: dict[str, Session] = {}

    def session(self, server: str) -> Session:
        return self.sessions.setdefault(server, a_session(f"server:{server}"))

    def register(self, server: str, service: str, *needs: str, **facts: object) -> Instance:
        self.services.register(
            self.session(server),
            service,
            Facts(depends_on=needs, **facts),  # type: ignore[arg-type]
        )
        return self.services.by_name[service].instances[f"server:{server}"]

    def report(self, server: str, service: str, health: Health, reason: str = "") -> bool:
        return self.services.report(self.session(server), service, health, reason)

    def choice(self, service: str, sender: str = "player:1", wanted: str | None = None) -> str | None:
        chosen = self.services.by_name[service].choose(sender, wanted)
        return None if chosen is None else chosen.name


@pytest.fixture
def town() -> Town:
    return Town()


# States


def test_an_instance_is_ready_at_once_unless_it_says_otherwise(town: Town) -> None:
    assert town.register("a", "combat").state is READY
    starting = town.register("b", "combat", health=Health.STARTING, reason="loading")
    assert (starting.state, starting.reason) == (STARTING, "loading")
    assert town.report("b", "combat", Health.OK)
    assert (starting.state, starting.reason) == (READY, "")
    town.report("b", "combat", Health.DEGRADED, "slow disk")
    assert (starting.state, starting.reason) == (DEGRADED, "slow disk")


def test_a_report_of_what_is_no_instance_is_not_taken(town: Town) -> None:
    town.register("a", "combat")
    assert not town.report("b", "combat", Health.OK)
    assert not town.report("a", "chat", Health.OK)


def test_an_instance_starts_until_all_that_it_needs_is_there(town: Town) -> None:
    combat = town.register("a", "combat", "world", "chat")
    assert (combat.state, combat.reason) == (STARTING, "needs world, chat")
    town.register("b", "world")
    assert (combat.state, combat.reason) == (STARTING, "needs chat")
    town.register("c", "chat", health=Health.DEGRADED)
    assert (combat.state, combat.reason) == (READY, "")


def test_an_instance_that_loses_what_it_needs_is_degraded(town: Town) -> None:
    combat = town.register("a", "combat", "world")
    town.register("b", "world")
    town.register("c", "world")
    town.services.remove(town.session("b"))
    assert combat.state is READY
    town.services.set_away(town.session("c"), away=True)
    assert (combat.state, combat.reason) == (DEGRADED, "needs world")
    town.services.set_away(town.session("c"), away=False)
    assert combat.state is READY
    town.report("c", "world", Health.STARTING)
    assert combat.state is DEGRADED


def test_what_is_starting_keeps_a_chain_of_services_waiting(town: Town) -> None:
    services = [
        town.register(f"s{number}", f"service-{number}", f"service-{number + 1}") for number in range(3000)
    ]
    assert {each.state for each in services} == {STARTING}
    town.register("last", "service-3000")
    assert {each.state for each in services} == {READY}
    # One that is degraded still serves: what needs it is not worse off.
    town.services.remove(town.session("last"))
    assert [each.state for each in services[-2:]] == [READY, DEGRADED]


def test_the_broker_itself_is_always_there(town: Town) -> None:
    assert town.register("a", "combat", "bus").state is READY
    town.services.say_bus(Health.DEGRADED, "late")
    assert (town.services.bus.name, town.services.bus.state, town.services.bus.reason) == (
        "bus-1",
        DEGRADED,
        "late",
    )


def test_who_is_away_is_gone_until_it_is_back(town: Town) -> None:
    combat = town.register("a", "combat")
    town.services.set_away(town.session("a"), away=True)
    assert (combat.state, combat.reason) == (GONE, AWAY)
    town.services.set_away(town.session("a"), away=False)
    assert combat.state is READY


def test_a_new_process_stands_in_place_of_the_old_one_and_begins_anew(town: Town) -> None:
    combat = town.register("a", "combat", "world")
    town.register("b", "world")
    town.services.remove(town.session("b"))
    assert combat.state is DEGRADED
    old, new = town.session("a"), a_session("server:a")
    town.services.succeed(old, new)
    assert (combat.session, combat.state) == (new, STARTING)
    town.services.remove(old)
    assert list(town.services.by_name["combat"].instances) == ["server:a"]
    assert not town.services.report(old, "combat", Health.DEGRADED, "")


def test_a_long_reason_is_cut(town: Town) -> None:
    needs = [f"{'x' * 60}{number}" for number in range(9)]
    assert len(town.register("a", "combat", *needs).reason) == MAX_REASON_CHARACTERS


# Cycles


@pytest.mark.parametrize(
    ("links", "service", "needs", "cycle"),
    [
        ([], "a", ["a"], "a -> a"),
        ([("a", "b")], "b", ["c", "a"], "b -> a -> b"),
        ([("a", "b"), ("b", "c"), ("b", "d")], "c", ["a"], "c -> a -> b -> c"),
    ],
)
def test_a_circle_is_refused_and_changes_nothing(
    town: Town, links: list[tuple[str, str]], service: str, needs: list[str], cycle: str
) -> None:
    for number, (name, needed) in enumerate(links):
        town.services.register(town.session(f"{name}{number}"), name, Facts(depends_on=(needed,)))
    before = [(each.service, each.facts) for each in town.services.all()]
    with pytest.raises(CycleError) as caught:
        town.register("z", service, *needs)
    assert str(caught.value) == cycle
    assert [(each.service, each.facts) for each in town.services.all()] == before


@given(st.lists(st.tuples(st.integers(0, 6), st.lists(st.integers(0, 6), max_size=3)), max_size=20))
def test_states_are_what_the_services_there_are_make_of_them(steps: list[tuple[int, list[int]]]) -> None:
    town = Town()
    for number, (service, needs) in enumerate(steps):
        try:
            town.register(f"s{number % 5}", f"service-{service}", *(f"service-{each}" for each in needs))
        except CycleError:
            continue
        if number % 4 == 3:
            town.services.remove(town.session(f"s{(number + 2) % 5}"))
    for each_service in town.services.by_name.values():
        for instance in each_service.instances.values():
            served = {name for name, each in town.services.by_name.items() if each.serves}
            missing = set(instance.facts.depends_on) - served
            assert (instance.state is READY) is not bool(missing)
            assert instance.state is not GONE


# Who gets whom


def test_newcomers_go_to_who_is_ready_then_to_who_is_degraded_and_to_nobody_who_starts(town: Town) -> None:
    for name in "abc":
        town.register(name, "combat")
    town.report("a", "combat", Health.DEGRADED)
    town.report("b", "combat", Health.STARTING)
    players = [f"player:{number}" for number in range(50)]
    assert {town.choice("combat", player) for player in players} == {"server:c"}
    town.services.set_away(town.session("c"), away=True)
    assert {town.choice("combat", player) for player in players} == {"server:a"}
    town.services.remove(town.session("a"))
    assert town.choice("combat") is None
    # One whose instance is gone is better off with one that is starting than with none.
    assert town.choice("combat", wanted="server:a") == "server:b"


@pytest.mark.parametrize("health", Health)
def test_a_sender_stays_with_its_instance_whatever_its_state(town: Town, health: Health) -> None:
    town.register("a", "combat")
    town.register("b", "combat")
    for instance in "ab":
        town.report(instance, "combat", health)
        assert town.choice("combat", wanted=f"server:{instance}") == f"server:{instance}"
        town.report(instance, "combat", Health.OK)


def test_where_all_are_gone_the_last_ones_are_waited_for(town: Town) -> None:
    for name in "ab":
        town.register(name, "combat")
        town.services.set_away(town.session(name), away=True)
    assert town.choice("combat", wanted="server:b") == "server:b"
    assert town.choice("combat") in ("server:a", "server:b")


def test_a_service_without_instances_chooses_nobody() -> None:
    assert Service("combat").choose("player:1", "server:a") is None


WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=6)
PLAYERS = [f"player:{number}" for number in range(2_000)]


def choices(town: Town) -> dict[str, str | None]:
    return {player: town.choice("combat", player) for player in PLAYERS}


@settings(max_examples=20, deadline=None)
@given(WEIGHTS)
def test_shares_follow_weights(weights: list[int]) -> None:
    town = Town()
    for number, weight in enumerate(weights):
        town.register(f"s{number}", "combat", weight=weight)
    found = Counter(choices(town).values())
    for number, weight in enumerate(weights):
        share = weight / sum(weights)
        # Five standard deviations of so many independent choices.
        tolerance = 5 * (share * (1 - share) / len(PLAYERS)) ** 0.5
        assert abs(found[f"server:s{number}"] / len(PLAYERS) - share) <= tolerance + 1e-9


@settings(max_examples=20, deadline=None)
@given(WEIGHTS, st.integers(1, 20), st.integers(1, 20))
def test_a_change_of_one_instance_moves_only_its_own(weights: list[int], weight: int, later: int) -> None:
    town = Town()
    for number, each in enumerate(weights):
        town.register(f"s{number}", "combat", weight=each)
    without = choices(town)
    town.register("new", "combat", weight=weight)
    having = choices(town)
    assert all(having[player] in (name, "server:new") for player, name in without.items())
    town.register("new", "combat", weight=later)
    changed = choices(town)
    for player, name in having.items():
        came, left = changed[player] == "server:new" != name, name == "server:new" != changed[player]
        assert changed[player] == name or (came if later > weight else left)
    town.services.remove(town.session("new"))
    assert choices(town) == without


# What is told of it


def test_instances_are_listed_in_the_order_of_their_start(town: Town) -> None:
    town.register("low", "chat", priority=-5)
    town.register("b", "world", priority=10)
    town.register("a", "world", priority=10)
    town.register("mid", "combat")
    names = [each.name for each in town.services.all()]
    assert names == ["bus-1", "server:a", "server:b", "server:mid", "server:low"]


def test_changes_are_given_once_with_the_time_since_when(town: Town) -> None:
    combat = town.register("a", "combat", "world")
    assert town.services.take_changed(1.0) == [town.services.bus, combat]
    assert town.services.take_changed(2.0) == []
    world = town.register("b", "world")
    assert town.services.take_changed(3.0) == [world, combat]
    assert (combat.since, combat.entry().state) == (3.0, READY)
    # Another weight is a change, and no other state.
    town.register("a", "combat", "world", weight=7)
    assert town.services.take_changed(4.0) == [combat]
    assert (combat.since, combat.entry().weight) == (3.0, 7)
    town.services.remove(town.session("b"))
    assert set(town.services.take_changed(5.0)) == {world, combat}
    assert (world.entry().state, combat.since) == (GONE, 5.0)


def test_only_a_change_of_state_makes_routes_be_looked_for_anew(town: Town) -> None:
    changes: list[int] = []
    town.services.on_change = lambda: changes.append(1)
    town.register("a", "combat")
    town.report("a", "combat", Health.OK)
    assert len(changes) == 1
    for reason in ("slow", "slower"):
        town.report("a", "combat", Health.DEGRADED, reason)
    assert len(changes) == 2
    assert town.services.by_name["combat"].instances["server:a"].reason == "slower"
