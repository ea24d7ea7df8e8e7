"""Traces in which a service's instance goes away, and comes back. Each test is named after its hazard."""

import pytest
from tests.link.link import Net
from tests.link.process import Peer, payloads

from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role

FAILOVER_S = 2.0
SETTLED_S = 40.0


def make_net(recovery_s: float = 0.0) -> Net:
    return Net(
        Config(
            sessions=SessionsConfig(
                grace_s=30.0, recovery_s=recovery_s, ping_interval_s=0.5, lease_s=2.0, failover_s=FAILOVER_S
            )
        )
    )


@pytest.fixture
def net() -> Net:
    return make_net()


class Match:
    """A service with two instances, and a player that one of them serves."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.first, self.second = Peer(net, "first").up(), Peer(net, "second").up()
        for instance in (self.first, self.second):
            instance.register("match", ["t"])
        self.player = Peer(net, "1", Role.CLIENT).up()
        self.second.assign("player:1", "match", "server:first")
        net.run(0.1)

    def settle(self) -> None:
        """Wait until all of the player's events are settled."""
        self.net.run_until(
            lambda: not self.player.session().outbox.in_flight, SETTLED_S, "everything is settled"
        )

    def balanced(self) -> bool:
        """Whether both books of the player's events agree, and nothing is held."""
        session = self.net.core.directory.peers["player:1"]
        ours, theirs = session.sending[Lane.NORMAL], self.player.session().outbox.books[Lane.NORMAL]
        return ours.book == theirs and not ours.parts.in_flight


@pytest.fixture
def match(net: Net) -> Match:
    return Match(net)


def test_what_an_instance_had_goes_to_another_in_order_before_anything_newer(match: Match, net: Net) -> None:
    match.first.events_per_turn = 0
    for number in range(3):
        match.player.send(None, number, flush=True)
    net.run(0.3)
    match.first.kill()
    net.run(0.5)
    # With this one the broker learns of it; the next has never left.
    match.player.send("service:match", 3, flush=True)
    net.run(0.5)
    match.player.send(None, 4)
    net.run(0.5)
    assert list(payloads(match.second)) == []
    match.settle()
    match.player.send("service:match", 5)
    match.settle()
    assert list(payloads(match.second)) == [0, 1, 2, 3, 4, 5]
    shown = [each.redelivered for each in match.second.handled["server:second"]]
    assert shown == [True, True, True, True, False, False]
    assert match.balanced()


def test_an_instance_that_comes_back_in_time_keeps_what_it_had(match: Match, net: Net) -> None:
    match.first.events_per_turn = 0
    match.player.send(None, 0)
    net.run(0.3)
    match.first.cut()
    net.run(FAILOVER_S / 2)
    match.first.events_per_turn = None
    match.settle()
    assert list(payloads(match.first)) == [0]
    assert list(payloads(match.second)) == []


def test_a_frozen_instance_runs_nothing_that_has_moved_when_it_thaws(match: Match, net: Net) -> None:
    match.first.events_per_turn = 0
    for number in range(3):
        match.player.send(None, number, flush=True)
    net.run_until(lambda: len(match.first.core.incoming.arrivals[Lane.NORMAL]) == 3, 5.0, "all have arrived")
    match.first.stall()
    match.first.events_per_turn = None
    # The broker hears nothing for a lease, and waits for the failover time.
    match.settle()
    assert list(payloads(match.second)) == [0, 1, 2]
    match.first.go_on()
    net.run(5.0)
    assert list(payloads(match.first)) == []
    assert match.balanced()
    # The player is bound to it, and goes on with it.
    match.player.send(None, 3)
    match.settle()
    assert list(payloads(match.first)) == [3]


def test_a_frozen_instance_asks_before_it_handles_what_came_while_it_slept(match: Match, net: Net) -> None:
    match.first.stall()
    match.player.send(None, 0)
    net.run(1.5)
    asked: list[float] = []
    net.watch = lambda peer, frame: asked.append(net.now) if frame[3] == Kind.PING else None
    match.first.go_on()
    net.run_until(lambda: bool(match.first.handled["server:first"]), 1.0, "it is handled")
    assert asked
    match.settle()
    assert list(payloads(match.second)) == []


def test_what_moved_and_returns_is_handled_where_it_ends_up(match: Match, net: Net) -> None:
    match.first.events_per_turn = match.second.events_per_turn = 0
    for number in range(3):
        match.player.send(None, number, flush=True)
    net.run(0.3)
    match.first.stall()
    net.run(5.0)
    held = net.core.directory.peers["server:second"].receiving[Lane.NORMAL]
    assert held.suspects or held.unsettled
    match.first.go_on()
    net.run(2.0)
    # The second one dies with it, and nobody but the first is left.
    match.second.kill()
    match.first.events_per_turn = None
    match.settle()
    assert list(payloads(match.first)) == [0, 1, 2]
    assert all(each.redelivered for each in match.first.handled["server:first"])
    assert match.balanced()


def test_an_instance_that_says_goodbye_hands_back_what_it_has_not_handled(match: Match, net: Net) -> None:
    match.first.events_per_turn = 0
    net.loss = 0.0
    match.player.send(None, 0)
    net.run(0.3)
    match.first.close()
    net.run(0.3)
    assert list(payloads(match.second)) == [0]
    match.settle()
    assert match.balanced()


def test_without_another_instance_events_wait_until_there_is_one(match: Match, net: Net) -> None:
    match.second.kill()
    net.run(FAILOVER_S + 1.0)
    match.first.events_per_turn = 0
    match.player.send(None, 0)
    net.run(0.3)
    match.first.kill()
    net.run(FAILOVER_S + 1.0)
    assert match.player.session().outbox.in_flight == 1
    third = Peer(net, "third").up()
    third.register("match", ["t"])
    match.settle()
    assert list(payloads(third)) == [0]


def test_events_for_the_server_itself_stay_with_it(match: Match, net: Net) -> None:
    match.first.events_per_turn = 0
    match.player.send("server:first", "for you")
    match.player.send(None, "for any")
    net.run(0.3)
    match.first.cut()
    match.first.stall()
    net.run(FAILOVER_S + 3.0)
    assert list(payloads(match.second)) == ["for any"]
    match.first.events_per_turn = None
    match.first.go_on()
    match.settle()
    assert list(payloads(match.first)) == ["for you"]
    assert match.balanced()


def test_a_broker_that_dies_after_a_move_is_told_who_has_what() -> None:
    net = make_net(recovery_s=10.0)
    match = Match(net)
    match.first.events_per_turn = match.second.events_per_turn = 0
    match.player.send(None, 0, flush=True)
    match.player.send(None, 1, flush=True)
    net.run(0.3)
    match.first.stall()
    net.run(5.0)
    match.second.events_per_turn = 1
    net.run_until(lambda: bool(match.second.handled["server:second"]), 5.0, "one is handled")
    match.second.events_per_turn = 0
    net.restart_broker()
    match.second.events_per_turn = None
    match.settle()
    match.first.go_on()
    net.run(5.0)
    assert list(payloads(match.second)) == [0, 1]


def test_what_was_about_to_move_when_the_broker_died_is_handled_by_the_instance_it_moved_to() -> None:
    net = make_net(recovery_s=10.0)
    match = Match(net)
    first, second, player = match.first, match.second, match.player
    first.events_per_turn = 0
    for number in range(2):
        player.send(None, number, flush=True)
    net.run(0.3)
    player.send("server:second", "later", flush=True)
    net.run(0.3)
    assert list(payloads(second)) == ["later"]
    # What an instance had goes to another one part at a time: the second part has not left when the broker dies.
    second.events_per_turn = 0
    first.stall()
    net.run(6.0)
    assert any(second.core.incoming.arrivals)
    net.restart_broker()
    net.run(1.0)
    second.events_per_turn = None
    match.settle()
    assert list(payloads(second)) == ["later", 0, 1]
