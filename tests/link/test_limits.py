"""Promises that are not kept yet. Each test says what ought to hold, and fails: one that passes is good news."""

import pytest
from tests.link.link import Net, Reaches
from tests.link.process import Peer, payloads, settle

from lanebus.adapters.actions import State
from lanebus.adapters.event import Gap
from lanebus.conf.model import Config, EgressConfig, SessionsConfig
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role

SESSIONS = SessionsConfig(grace_s=10.0, recovery_s=10.0, ping_interval_s=0.5, lease_s=2.0)


@pytest.fixture
def net() -> Net:
    return Net(Config(sessions=SESSIONS))


@pytest.mark.xfail(
    strict=True,
    reason="the notice of a gap travels with the receiver's next event; one that has not left dies with its broker",
)
def test_a_gap_is_told_though_its_broker_died_after_the_events_had_ended() -> None:
    net = Net(
        Config(
            sessions=SessionsConfig(grace_s=20.0, recovery_s=10.0, ping_interval_s=0.5, lease_s=2.0),
            egress=EgressConfig(credit_bytes=200, queue_bytes=2048, age_s=3.0),
        )
    )
    sender, slow = Peer(net, "sender").up(), Peer(net, "1", Role.CLIENT).up()
    told: list[Gap] = []
    slow.session().on_gap.append(told.append)
    sender.join("room", slow.name)
    net.run(0.1)
    slow.events_per_turn = 0
    for number in range(60):
        sender.send("group:room", number, flush=True)
    # What waited for too long has ended as dropped, and its sender forgets it.
    net.run_until(lambda: len(sender.told) > 40, 10.0, "most of them are dropped")
    net.restart_broker()
    slow.events_per_turn = None
    sender.send("group:room", "later")
    settle(sender)
    assert list(payloads(slow))[-1] == "later"
    assert [gap.sender for gap in told] == ["server:sender"]


@pytest.mark.xfail(
    strict=True,
    reason="an event to all is replayed to those players that are back when it comes to the new broker",
)
def test_an_event_to_all_is_replayed_to_everybody_who_had_not_settled_it(net: Net) -> None:
    sender = Peer(net, "sender").up()
    players = [Peer(net, number, Role.CLIENT).up() for number in "12"]
    for player in players:
        player.events_per_turn = 0
    sender.send("all", "news")
    net.run(0.5)
    for player in players:
        player.kill()
    net.restart_broker()
    first = Peer(net, "1", Role.CLIENT).up()
    net.run(3.0)
    second = Peer(net, "2", Role.CLIENT).up()
    settle(sender)
    assert list(payloads(first)) == list(payloads(second)) == ["news"]


@pytest.mark.xfail(
    strict=True,
    reason="the joins of another server have no order with the event: a member that has nothing later gets the replay",
)
def test_a_member_whom_another_server_added_later_does_not_get_a_replay(net: Net) -> None:
    sender, other = Peer(net, "sender").up(), Peer(net, "other").up()
    early, late = (Peer(net, number, Role.CLIENT).up() for number in "12")
    sender.join("room", early.name)
    net.run(0.1)
    early.events_per_turn = 0
    sender.send("group:room", "before")
    net.run(0.5)
    other.join("room", late.name)
    net.run(0.1)
    sender.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run_until(
        lambda: all(each.core.state is State.UP for each in (other, early, late)), 10.0, "the others are back"
    )
    sender.reaches = Reaches.BROKER
    net.run(3.0)
    early.events_per_turn = None
    settle(sender)
    assert list(payloads(early)) == ["before"]
    assert list(payloads(late)) == []


@pytest.mark.xfail(
    strict=True,
    reason="a pause holds back what is for the paused destination alone, not what is for its groups",
)
def test_an_event_for_a_group_does_not_pass_one_for_its_member_that_is_paused() -> None:
    net = Net(Config(sessions=SESSIONS, egress=EgressConfig(credit_bytes=200, queue_bytes=2048, age_s=30.0)))
    sender, slow = Peer(net, "sender").up(), Peer(net, "1", Role.CLIENT).up()
    sender.join("room", slow.name)
    net.run(0.1)
    slow.events_per_turn = 0
    for number in range(200):
        sender.send(slow.name, number)
        net.run(0.01)
    assert sender.core.outgoing._paused
    sender.send("group:room", "last")
    net.run(0.5)
    slow.events_per_turn = None
    settle(sender)
    assert list(payloads(slow)) == [*range(200), "last"]


@pytest.mark.xfail(
    strict=True, reason="sessions behind gateways have no generation: the last one to be opened wins"
)
def test_a_player_that_moved_to_another_gateway_stays_there_when_the_broker_restarts(net: Net) -> None:
    server = Peer(net, "server").up()
    first, second = Peer(net, "g1", Role.GATEWAY).up(), Peer(net, "g2", Role.GATEWAY).up()
    first.open("moved")
    net.run(0.1)
    first.reaches = Reaches.NOTHING
    first.cut(peer_after_s=None)
    second.open("moved")
    net.run(0.5)
    net.restart_broker()
    net.run_until(lambda: second.core.state is State.UP, 10.0, "the second gateway is back")
    net.run(1.0)
    first.reaches = Reaches.BROKER
    first.cut()
    net.run_until(lambda: first.core.state is State.UP, 30.0, "the first one too")
    net.run(1.0)
    server.send("player:moved", "hello")
    settle(server)
    assert list(payloads(second, "player:moved")) == ["hello"]


@pytest.mark.xfail(
    strict=True, reason="an event for a list of destinations stays with the instance that it went to"
)
def test_an_event_for_a_list_moves_to_another_instance_of_the_service_in_it(net: Net) -> None:
    instances = [Peer(net, name).up() for name in ("first", "second")]
    for instance in instances:
        instance.register("match", ["t"])
    net.run(0.1)
    sender = Peer(net, "sender").up()
    for instance in instances:
        instance.events_per_turn = 0
    event = sender.send(["service:match", "server:sender"], "x", lane=Lane.NORMAL)
    net.run(0.5)
    has = next(each for each in instances if any(each.core.incoming.arrivals))
    other = next(each for each in instances if each is not has)
    has.kill()
    other.events_per_turn = None
    settle(sender)
    assert event.receipt is not None
    assert event.receipt.state == "delivered"
    assert list(payloads(other)) == ["x"]
