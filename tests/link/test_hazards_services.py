"""Traces in which instances start late, are not well, or miss what they need. Each test is named after its hazard."""

from typing import Any

import pytest
from tests.link.link import Net, Reaches
from tests.link.process import Peer, payloads

from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome
from lanebus.wire.services import Health

SETTLED_S = 40.0


@pytest.fixture
def net() -> Net:
    return Net(
        Config(
            sessions=SessionsConfig(
                grace_s=30.0, recovery_s=10.0, ping_interval_s=0.5, lease_s=2.0, failover_s=2.0
            )
        )
    )


def an_instance(net: Net, name: str, service: str = "match", **facts: Any) -> Peer:
    peer = Peer(net, name).up()
    peer.register(service, ["t"] if service == "match" else [], **facts)
    net.run(0.1)
    return peer


def a_player(net: Net, name: str = "1") -> Peer:
    return Peer(net, name, Role.CLIENT).up()


def settle(net: Net, peer: Peer) -> None:
    net.run_until(lambda: not peer.session().outbox.in_flight, SETTLED_S, "everything is settled")


def delivered(events: list[Any]) -> bool:
    return all(event.receipt.outcome is Outcome.DELIVERED for event in events)


def test_players_stay_with_an_instance_that_lost_what_it_needs_over_a_restart_of_the_broker(net: Net) -> None:
    world = an_instance(net, "world", "world")
    match = an_instance(net, "match", depends_on=["world"])
    player = a_player(net)
    events = [player.send(None, 0)]
    settle(net, player)
    match.events_per_turn = 0
    events.append(player.send(None, 1))
    net.run(0.5)
    world.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run(2.0)
    events.append(player.send(None, 2))
    match.events_per_turn = None
    settle(net, player)
    assert list(payloads(match)) == [0, 1, 2]
    assert delivered(events)


def test_a_newcomer_after_the_brokers_start_waits_for_what_its_instance_needs(net: Net) -> None:
    world = an_instance(net, "world", "world")
    match = an_instance(net, "match", depends_on=["world"])
    player = a_player(net)
    world.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run(2.0)
    events = [player.send(to, number) for number, to in enumerate((None, "service:match", None))]
    net.run(2.0)
    assert list(payloads(match)) == []
    world.reaches = Reaches.BROKER
    settle(net, player)
    assert list(payloads(match)) == [0, 1, 2]
    assert delivered(events)


def test_a_newcomer_after_the_brokers_start_waits_for_an_instance_that_is_starting(net: Net) -> None:
    match = an_instance(net, "match")
    player = a_player(net)
    match.register("match", ["t"], health=Health.STARTING)
    net.restart_broker()
    net.run(2.0)
    events = [player.send(None, 0)]
    net.run(1.0)
    assert list(payloads(match)) == []
    match.register("match", ["t"])
    settle(net, player)
    assert delivered(events)


def test_an_instance_that_is_not_well_keeps_its_players_and_gets_no_new_ones(net: Net) -> None:
    first = an_instance(net, "first")
    old = a_player(net, "old")
    old.send(None, "old 1")
    settle(net, old)
    second = an_instance(net, "second")
    first.register("match", ["t"], health=Health.DEGRADED, reason="slow")
    net.run(0.1)
    newcomers = [a_player(net, str(number)) for number in range(5)]
    for peer in (old, *newcomers):
        peer.send(None, f"{peer.name} 2")
        settle(net, peer)
    assert list(payloads(first)) == ["old 1", "player:old 2"]
    assert len(list(payloads(second))) == 5


def test_what_an_instance_had_goes_to_one_that_is_starting_before_it_is_lost(net: Net) -> None:
    first = an_instance(net, "first")
    player = a_player(net)
    player.send(None, 0)
    settle(net, player)
    second = an_instance(net, "second", health=Health.STARTING)
    first.events_per_turn = 0
    events = [player.send(None, number) for number in (1, 2)]
    net.run(0.5)
    first.kill()
    events.append(player.send(None, 3))
    settle(net, player)
    assert list(payloads(second)) == [1, 2, 3]
    assert delivered(events)
