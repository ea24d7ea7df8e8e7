"""Failover in the broker's core: which parts move, to whom, and what is said of it."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.trial import MAX_FAILURES
from lanebus.wire.batches import EVENT_REDELIVERED
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Revoked, Served
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.services import Health, ServiceState

FAILOVER_S = 2.0
DELIVERED = (Outcome.DELIVERED, Reason.NONE)


class Town:
    """Two instances of a service, and a player that the first of them serves."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.first, self.second = (Peer(bench, f"server:{name}").attach() for name in "ab")
        for instance in (self.first, self.second):
            instance.ask(Kind.REGISTER, service="combat", topics=["attack"])
        self.second.ask(Kind.ASSIGN, player="player:1", service="combat", instance="server:a")
        self.player = Peer(bench, "player:1").attach()

    def let_pass(self, seconds: float) -> None:
        """Let time pass in which those that have links show that they live."""
        for _ in range(int(seconds * 2)):
            for peer in (self.first, self.second, self.player):
                if peer.up:
                    peer.ping()
            self.bench.advance(0.5)


@pytest.fixture
def town(bench: Bench) -> Town:
    return Town(bench)


def test_parts_move_after_the_failover_time_and_not_before(town: Town) -> None:
    town.player.send("attack", None)
    town.bench.advance(0.1)
    town.first.cut()
    town.player.send("attack", None)
    town.let_pass(FAILOVER_S - 0.5)
    assert town.second.got == []
    town.let_pass(1.0)
    assert [(got.number, got.flags) for got in town.second.got] == [
        (1, EVENT_REDELIVERED),
        (2, EVENT_REDELIVERED),
    ]
    town.second.settle_all()
    town.bench.advance(0.5)
    assert [town.player.end_of(number) for number in (1, 2)] == [DELIVERED] * 2
    assert town.bench.problems() == []


def test_the_sender_is_told_who_serves_it_from_which_event_on(town: Town) -> None:
    for number in (1, 2):
        town.player.send("attack", None)
        town.bench.advance(0.1)
        if number == 1:
            town.first.settle_all()
            town.bench.advance(0.5)
    town.first.cut()
    town.player.send("attack", None)
    town.let_pass(FAILOVER_S + 0.5)
    assert town.player.last(Kind.SERVED) == Served(entries=[(0, "combat", [("server:b", [2, 1, 1], True)])])


def test_an_instance_that_comes_back_is_told_what_is_not_its_own_any_more(town: Town) -> None:
    for _ in range(3):
        town.player.send("attack", None)
        town.player.send("word", "server:a", lane=Lane.LOW)
        town.bench.advance(0.3)
    town.first.cut()
    town.player.send("attack", None)
    town.let_pass(FAILOVER_S + 1.0)
    town.first.attach()
    assert town.first.welcome is not None
    origin = town.bench.session("player:1").origin
    assert town.first.welcome.revoked == [Revoked(0, origin, Lane.CRITICAL, [1, 4])]
    # Its settlements of them come too late, and change nothing.
    town.first.settle_all()
    town.bench.advance(0.3)
    assert town.player.end_of(1) is None
    for _ in range(5):
        town.second.settle_all()
        town.let_pass(0.5)
    assert [town.player.end_of(number) for number in range(1, 5)] == [DELIVERED] * 4
    assert [town.player.end_of(number, Lane.LOW) for number in range(1, 4)] == [DELIVERED] * 3
    assert town.bench.problems() == []


def test_what_is_revoked_is_told_until_its_sender_is_past_it(town: Town) -> None:
    town.player.send("attack", None)
    town.bench.advance(0.1)
    town.first.cut()
    town.player.send("attack", None)
    town.let_pass(FAILOVER_S + 1.0)
    for _ in range(2):
        town.second.settle_all()
        town.let_pass(0.5)
    town.first.attach()
    assert town.first.welcome is not None
    assert len(town.first.welcome.revoked) == 1
    town.player.send("attack", None)
    town.let_pass(0.5)
    town.first.cut()
    town.bench.advance(0.1)
    town.first.attach()
    assert town.first.welcome.revoked == []


def test_an_instance_without_links_is_chosen_only_if_there_is_no_other(town: Town) -> None:
    instances = town.bench.core.directory.services["combat"].instances
    assert [each.state for each in instances.values()] == [ServiceState.READY] * 2
    town.first.cut()
    town.player.send("attack", None)
    town.let_pass(FAILOVER_S + 0.5)
    assert [each.state for each in instances.values()] == [ServiceState.GONE, ServiceState.READY]
    town.first.attach()
    assert [each.state for each in instances.values()] == [ServiceState.READY] * 2
    town.player.send("attack", None)
    town.bench.advance(0.1)
    assert [got.number for got in town.first.got] == [2]


def test_events_move_to_an_instance_that_is_starting_where_no_other_is_left(town: Town) -> None:
    town.second.ask(Kind.HEALTH, service="combat", health=Health.STARTING)
    town.player.send("attack", None)
    town.bench.advance(0.1)
    town.first.bye()
    town.let_pass(0.5)
    assert [got.number for got in town.second.got] == [1]


def test_a_part_that_no_instance_survives_is_poison_wherever_it_went(town: Town) -> None:
    town.player.send("attack", None)
    town.bench.advance(0.1)
    instances = [town.first, town.second]
    deliveries = 0
    while town.player.end_of(1) is None and deliveries < 10:
        holder, other = instances[deliveries % 2], instances[1 - deliveries % 2]
        assert [got.number for got in holder.unsettled] == [1]
        deliveries += 1
        if not other.up:
            other = instances[deliveries % 2] = Peer(town.bench, other.name).attach()
        holder.cut()
        for _ in range(14):  # its lease, and the failover time
            other.ping()
            town.player.ping()
            town.bench.advance(0.5)
    assert deliveries == MAX_FAILURES
    assert town.player.end_of(1) == (Outcome.REFUSED, Reason.POISON)
