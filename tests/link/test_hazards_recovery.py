"""Traces in which a broker's end disorders, doubles or loses events. Each test is named after its hazard."""

import pytest
from tests.link.link import Net, Reaches
from tests.link.process import Peer, payloads, settle

from lanebus.adapters.actions import State
from lanebus.adapters.errors import Closed
from lanebus.conf.model import Config, EgressConfig, SessionsConfig
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason


@pytest.fixture
def net() -> Net:
    return Net(
        Config(sessions=SessionsConfig(grace_s=10.0, recovery_s=10.0, ping_interval_s=0.5, lease_s=2.0))
    )


def test_a_group_is_complete_before_a_replay_reaches_it(net: Net) -> None:
    keeper, sender = Peer(net, "keeper").up(), Peer(net, "sender").up()
    members = [Peer(net, str(number), Role.CLIENT).up() for number in range(4)]
    for member in members:
        keeper.join("room", member.name)
    net.run(0.1)
    sender.send("group:room", "one")
    settle(sender)
    for member in members:
        member.events_per_turn = 0
    two = sender.send("group:room", "two")
    net.run(0.5)
    # The members' inboxes die with them: only what is sent again can reach their successors.
    for member in members:
        member.kill()
    keeper.reaches = Reaches.REFUSAL
    net.restart_broker()
    successors = [Peer(net, str(number), Role.CLIENT).up() for number in range(4)]
    net.run_until(lambda: sender.core.state is State.UP, 10.0, "the sender is back")
    net.run(1.0)
    assert [list(payloads(member)) for member in successors] == [[]] * 4
    keeper.reaches = Reaches.BROKER
    settle(sender)
    assert [list(payloads(member)) for member in successors] == [["two"]] * 4
    assert two.receipt is not None
    assert two.receipt.state == "delivered"


def test_what_waits_for_a_group_whose_keeper_never_comes_ends_when_the_time_is_over(net: Net) -> None:
    keeper, sender = Peer(net, "keeper").up(), Peer(net, "sender").up()
    member = Peer(net, "1", Role.CLIENT).up()
    keeper.join("room", member.name)
    net.run(0.1)
    sender.send("group:room", "one")
    settle(sender)
    keeper.reaches = Reaches.REFUSAL
    net.restart_broker()
    two = sender.send("group:room", "two")
    behind = sender.send("player:1", "behind it")
    net.run(8.0)
    assert sender.session().outbox.in_flight == 2
    settle(sender)
    assert two.receipt is not None
    assert two.receipt.outcome is Outcome.REFUSED
    assert behind.receipt is not None
    assert behind.receipt.state == "delivered"


@pytest.mark.parametrize("joined_by", ["the sender", "another server"])
def test_a_late_joiner_does_not_get_the_replay_of_what_was_accepted_before(net: Net, joined_by: str) -> None:
    sender, other = Peer(net, "sender").up(), Peer(net, "other").up()
    early, late = (Peer(net, number, Role.CLIENT).up() for number in "12")
    sender.join("room", early.name)
    net.run(0.1)
    early.events_per_turn = 0
    before = sender.send("group:room", "before")
    net.run(0.5)
    (sender if joined_by == "the sender" else other).join("room", late.name)
    net.run(0.1)
    if joined_by == "another server":
        # Nothing but what it has been given tells this member that it came late.
        sender.send("group:room", "after")
        net.run(0.5)
        assert list(payloads(late)) == ["after"]
    net.restart_broker()
    net.run(1.0)
    assert before.receipt is not None
    assert before.receipt.state == "in_flight"
    early.events_per_turn = None
    settle(sender)
    assert "before" not in payloads(late)
    assert next(payloads(early)) == "before"


def test_a_successor_is_not_given_again_what_came_before_what_it_has(net: Net) -> None:
    sender = Peer(net, "sender").up()
    slow, first = (Peer(net, number, Role.CLIENT).up() for number in "12")
    for member in (slow, first):
        sender.join("room", member.name)
    net.run(0.1)
    slow.events_per_turn = 0
    one = sender.send("group:room", "one")
    net.run(0.5)
    assert list(payloads(first)) == ["one"]
    first.kill()
    second = Peer(net, "2", Role.CLIENT).up()
    sender.send("group:room", "two")
    net.run(0.5)
    assert list(payloads(second)) == ["two"]
    # The sender does not know that the first process has settled its part of the first event.
    net.restart_broker()
    net.run(1.0)
    slow.events_per_turn = None
    settle(sender)
    assert list(payloads(second)) == ["two"]
    assert list(payloads(slow)) == ["one", "two"]
    assert one.receipt is not None
    assert one.receipt.state == "delivered"


def test_a_successor_that_has_nothing_yet_gets_a_replay_marked_as_redelivered(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "1", Role.CLIENT).up()
    receiver.events_per_turn = 0
    sender.send("player:1", "one")
    net.run(0.5)
    net.kill_broker()
    receiver.kill()
    sender.send("player:1", "two")
    net.start_broker()
    successor = Peer(net, "1", Role.CLIENT).up()
    settle(sender)
    assert list(payloads(successor)) == ["one", "two"]
    # The second event has never been given to a broker before.
    assert [each.redelivered for each in successor.handled[successor.name]] == [True, False]


def test_a_replay_of_what_a_gap_has_swallowed_ends_as_dropped() -> None:
    net = Net(
        Config(
            sessions=SessionsConfig(grace_s=20.0, recovery_s=10.0, ping_interval_s=0.5, lease_s=2.0),
            egress=EgressConfig(credit_bytes=200, queue_bytes=2048, age_s=3.0),
        )
    )
    sender = Peer(net, "sender").up()
    pinned, slow = (Peer(net, number, Role.CLIENT).up() for number in "12")
    for member in (pinned, slow):
        sender.join("room", member.name)
    net.run(0.1)
    pinned.events_per_turn = slow.events_per_turn = 0
    events = [sender.send("group:room", number, flush=True) for number in range(60)]
    # Too slow for all of them: the oldest that waited are dropped, and it hears of a gap.
    net.run(5.0)
    slow.events_per_turn = None
    net.run(5.0)
    sender.send("group:room", "newest", flush=True)
    net.run(1.0)
    got = list(payloads(slow))
    assert "newest" in got
    missing = [number for number in range(60) if number not in got]
    assert missing
    net.restart_broker()
    pinned.events_per_turn = None
    settle(sender)
    assert list(payloads(slow)) == got
    receipts = [events[number].receipt for number in missing]
    assert all(receipt is not None and receipt.outcome is Outcome.DROPPED for receipt in receipts)


def test_a_player_in_a_list_does_not_get_later_events_before_the_list_is_complete(net: Net) -> None:
    server, sender = Peer(net, "combat").up(), Peer(net, "sender").up()
    player = Peer(net, "1", Role.CLIENT).up()
    server.register("combat", ["t"])
    net.run(0.1)
    server.reaches = Reaches.REFUSAL
    net.kill_broker()
    sender.send(["service:combat", "player:1"], "one")
    sender.send("player:1", "two")
    net.start_broker()
    net.run_until(lambda: sender.core.state is State.UP, 10.0, "the sender is back")
    net.run(2.0)
    assert list(payloads(player)) == []
    server.reaches = Reaches.BROKER
    settle(sender)
    assert list(payloads(player)) == ["one", "two"]


def test_an_instance_gets_again_what_it_had_and_no_other_does(net: Net) -> None:
    first, second = Peer(net, "first").up(), Peer(net, "second").up()
    for instance in (first, second):
        instance.register("match", ["t"])
    player = Peer(net, "1", Role.CLIENT).up()
    second.assign("player:1", "match", "server:first")
    net.run(0.1)
    first.events_per_turn = 0
    player.send(None, "one", lane=Lane.LOW)
    net.run(0.5)
    second.assign("player:1", "match", "server:second")
    net.run(0.1)
    player.send(None, "two", lane=Lane.LOW)
    net.run(0.5)
    net.restart_broker()
    net.run(1.0)
    first.events_per_turn = None
    settle(player)
    assert list(payloads(first)) == ["one"]
    assert list(payloads(second)) == ["two"]


@pytest.mark.parametrize("first_back", ["the one that has them", "the other one"])
def test_events_in_the_inbox_of_an_instance_are_replayed_to_it_and_to_no_other(
    net: Net, first_back: str
) -> None:
    instances = [Peer(net, name).up() for name in ("first", "second")]
    for instance in instances:
        instance.register("match", ["t"])
    net.run(0.1)
    player = Peer(net, "1", Role.CLIENT).up()
    for instance in instances:
        instance.events_per_turn = 0
    for number in range(10):
        player.send(None, number)
    net.run(0.5)
    instances.sort(key=lambda peer: not any(peer.core.incoming.arrivals))
    has, other = instances
    late = other if first_back == "the one that has them" else has
    late.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run(2.0)
    late.reaches = Reaches.BROKER
    net.run(2.0)
    for instance in instances:
        instance.events_per_turn = None
    settle(player)
    assert list(payloads(has)) == list(range(10))
    assert list(payloads(other)) == []


def test_a_process_that_never_heard_of_its_successor_is_fenced_by_a_new_broker_too(net: Net) -> None:
    receiver = Peer(net, "receiver").up()
    old = Peer(net, "s").up()
    # A path that swallows everything: the old process neither hears that it is fenced, nor that its links are gone.
    old.reaches = Reaches.NOTHING
    old.cut(peer_after_s=None)
    new = Peer(net, "s").up()
    net.run(0.5)
    net.restart_broker()
    net.run_until(lambda: new.core.state is State.UP, 10.0, "the successor is back")
    # The old one's hello comes last.
    old.reaches = Reaches.BROKER
    old.cut()
    net.run(30.0)
    assert old.core.state is State.CLOSED
    assert isinstance(old.core.failure, Closed)
    assert new.core.state is State.UP
    new.send("server:receiver", "from the successor")
    settle(new)
    assert list(payloads(receiver)) == ["from the successor"]


def test_a_topic_of_two_services_waits_for_both(net: Net) -> None:
    combat, log = Peer(net, "combat").up(), Peer(net, "log").up()
    combat.register("combat", ["t"])
    log.register("log", ["**"])
    player = Peer(net, "1", Role.CLIENT).up()
    player.send(None, "one")
    settle(player)
    log.reaches = Reaches.REFUSAL
    net.restart_broker()
    player.send(None, "two")
    net.run(3.0)
    log.reaches = Reaches.BROKER
    settle(player)
    assert list(payloads(combat)) == ["one", "two"]
    assert list(payloads(log)) == ["one", "two"]


def test_requests_made_without_a_broker_are_as_many_as_what_they_change(net: Net) -> None:
    server, gateway = Peer(net, "server").up(), Peer(net, "gate", Role.GATEWAY).up()
    member = Peer(net, "1", Role.CLIENT).up()
    net.kill_broker()
    net.run(0.1)
    for _ in range(200):
        server.join("room", member.name)
        server.leave("room", member.name)
        gateway.close_session(gateway.open("7"))
    server.join("room", member.name)
    one = server.send("group:room", "one")
    assert len(server.core.requests) == 1
    assert len(gateway.core.requests) == 0
    net.start_broker()
    settle(server)
    assert list(payloads(member)) == ["one"]
    assert one.receipt is not None
    assert one.receipt.state == "delivered"
    assert server.failed == gateway.failed == []


def test_a_server_that_closes_on_a_young_broker_leaves_nothing_behind_for_those_who_have_left(
    net: Net,
) -> None:
    net.loss = 0.0  # of goodbyes with their links
    server, player = Peer(net, "server").up(), Peer(net, "1", Role.CLIENT).up()
    keeper = Peer(net, "keeper").up()
    keeper.join("room", "player:1")
    server.join("room", "server:server")
    server.send("group:room", "hello")
    settle(server)
    player.close()
    keeper.close()
    net.restart_broker()
    newer = Peer(net, "1", Role.CLIENT).up()
    Peer(net, "keeper").up().close()
    newer.close()
    net.run_until(lambda: server.core.state is State.UP, 10.0, "the server is back")
    server.send("player:1", "goodbye")
    server.send("group:room", "goodbye")
    settle(server, within_s=1.0)
    assert [each.reason for _, each in server.told] == [Reason.UNKNOWN_DESTINATION]
    assert list(payloads(server)) == ["hello", "goodbye"]
