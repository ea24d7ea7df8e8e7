"""Traces that would lose, double or disorder events in a careless protocol. Each test is named after its hazard."""

from random import Random

import pytest
from tests.link.link import Net, Reaches
from tests.link.process import Peer, payloads, settle

from lanebus.adapters.actions import State
from lanebus.conf.model import Config, EgressConfig, SessionsConfig
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Book, Outcome, Reason


@pytest.fixture
def net() -> Net:
    return Net(
        Config(
            sessions=SessionsConfig(
                grace_s=10.0, stalled_s=15.0, recovery_s=0.0, ping_interval_s=0.5, lease_s=2.0
            )
        )
    )


def book(peer: Peer, lane: Lane = Lane.NORMAL) -> Book:
    return peer.session().outbox.books[lane]


def test_a_number_below_the_highest_one_seen_is_new_unless_it_was_seen_itself(net: Net) -> None:
    first, second = Peer(net, "first").up(), Peer(net, "second").up()
    for instance in (first, second):
        instance.register("match", ["t"])
    player = Peer(net, "1", Role.CLIENT).up()
    second.assign("player:1", "match", "server:first")
    net.run(0.1)
    first.events_per_turn = 0
    one = player.send(None, "one")
    net.run(0.5)
    second.assign("player:1", "match", "server:second")
    net.run(0.1)
    player.send(None, "two")
    net.run(0.5)
    assert list(payloads(second)) == ["two"]
    # The first instance dies with the broker; what it had goes to the second one, which has seen a higher number.
    first.kill()
    player.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run_until(lambda: "match" in net.core.directory.services, 10.0, "the second instance is back")
    player.reaches = Reaches.BROKER
    settle(player)
    assert list(payloads(second)) == ["two", "one"]
    assert one.receipt is not None
    assert one.receipt.state == "delivered"


def test_a_member_that_joined_later_does_not_get_what_is_sent_again_after_a_cut(net: Net) -> None:
    sender, early, late = Peer(net, "sender").up(), Peer(net, "early").up(), Peer(net, "late").up()
    sender.join("room", "server:early")
    early.events_per_turn = 0
    sender.send("group:room", "before")
    net.run_until(lambda: any(early.core.incoming.arrivals), 1.0, "the event is in the member's inbox")
    late.join("room")
    net.run(0.1)
    # Its batch is not acknowledged as far as the sender knows.
    assert sender.core.outgoing.lanes[Lane.NORMAL].unsent() != []
    sender.cut()
    net.run(2.0)
    early.events_per_turn = None
    settle(sender)
    assert list(payloads(late)) == []
    assert list(payloads(early)) == ["before"]


@pytest.mark.parametrize("side", ["the receiver's", "the sender's"])
def test_a_settlement_lost_with_a_link_is_told_again(net: Net, side: str) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    sender.send("server:receiver", "x")
    if side == "the receiver's":
        net.run_until(
            lambda: bool(receiver.handled["server:receiver"]) and not receiver.core.incoming.to_report,
            1.0,
            "the receiver has sent its settlement",
        )
        receiver.cut()
    else:
        told = net.core.directory.peers["server:sender"].sending[Lane.NORMAL]
        net.run_until(
            lambda: bool(told.ends) and not told.unreported, 1.0, "the broker has sent its settlement"
        )
        sender.cut()
    assert sender.session().outbox.in_flight == 1
    settle(sender)
    net.run(1.0)
    assert book(sender).as_list() == [1, 1, 0, 0, 0, 0, 0]
    assert list(payloads(receiver)) == ["x"]


@pytest.mark.parametrize("moment_s", [0.0001, 0.0006, 0.0011, 0.0101])
def test_a_change_of_state_lost_with_a_link_is_asked_for_again(net: Net, moment_s: float) -> None:
    server, member = Peer(net, "server").up(), Peer(net, "member").up()
    net.loss = 1.0
    server.join("room", "server:member")
    server.turn()
    net.run(moment_s)
    server.cut()
    server.send("group:room", "hello", lane=Lane.LOW)
    settle(server)
    assert list(payloads(member)) == ["hello"]
    server.leave("room", "server:member")
    net.run(moment_s)
    server.cut()
    gone = server.send("group:room", "nobody hears this", lane=Lane.CRITICAL)
    settle(server)
    assert list(payloads(member)) == ["hello"]
    assert gone.receipt is not None
    assert gone.receipt.outcome is Outcome.REFUSED


@pytest.mark.parametrize("moment_s", [0.0001, 0.0006, 0.0011, 0.0101])
def test_a_players_session_whose_opening_and_closing_are_lost_with_a_link_is_opened_and_closed(
    net: Net, moment_s: float
) -> None:
    server, gateway = Peer(net, "server").up(), Peer(net, "g", Role.GATEWAY).up()
    net.loss = 1.0
    index = gateway.open("7")
    gateway.turn()
    net.run(moment_s)
    gateway.cut()
    net.run_until(lambda: not len(gateway.core.requests), 10.0, "the session is open")
    server.send("player:7", "hello")
    settle(server)
    assert list(payloads(gateway, "player:7")) == ["hello"]
    gateway.close_session(index)
    gateway.turn()
    net.run(moment_s)
    gateway.cut()
    net.run_until(lambda: not len(gateway.core.requests), 10.0, "the session is closed")
    gone = server.send("player:7", "nobody hears this")
    settle(server)
    assert gone.receipt is not None
    assert gone.receipt.outcome is Outcome.REFUSED
    assert "player:7" not in net.core.directory.peers


def test_a_session_that_the_same_broker_has_forgotten_replays_its_outbox(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    epoch = net.core.epoch
    for number in range(3):
        sender.send("server:receiver", number)
    sender.reaches = Reaches.NOTHING
    sender.cut(peer_after_s=None)
    net.run(20.0)
    assert "server:sender" not in net.core.directory.peers
    sender.reaches = Reaches.BROKER
    settle(sender)
    assert net.core.epoch == epoch
    assert list(payloads(receiver)) == [0, 1, 2]


def test_a_forgotten_sender_leaves_nothing_behind_at_its_receiver(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    sender.send("server:receiver", "x")
    net.run_until(lambda: any(receiver.core.incoming.arrivals), 1.0, "the event is in the inbox")
    sender.stall()
    net.run(20.0)
    sender.go_on()
    net.run(5.0)
    # The broker holds the event twice: under the number of the session that it forgot, and of the one that came back.
    held = net.core.directory.peers["server:receiver"].receiving[Lane.NORMAL].unsettled
    assert len(held) == 2
    receiver.events_per_turn = None
    settle(sender)
    net.run(1.0)
    assert list(payloads(receiver)) == ["x"]
    assert not held
    assert net.core.directory.peers["server:receiver"].receiving[Lane.NORMAL].committed_bytes == 0


def test_a_duplicate_of_what_is_still_being_handled_is_not_settled(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    sender.send("server:receiver", "x")
    net.run_until(lambda: any(receiver.core.incoming.arrivals), 1.0, "the event is in the inbox")
    sender.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run_until(lambda: receiver.core.state is State.UP, 10.0, "the receiver is back")
    sender.reaches = Reaches.BROKER
    net.run_until(lambda: receiver.session().inbox.duplicates == 1, 10.0, "the event has come again")
    net.run(2.0)
    assert sender.session().outbox.in_flight == 1
    receiver.events_per_turn = None
    settle(sender)
    assert list(payloads(receiver)) == ["x"]


def test_a_duplicate_of_what_failed_is_settled_as_failed(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()

    def fail(*_: object) -> None:
        raise ValueError("a handler that fails")

    receiver.program = fail
    event = sender.send("server:receiver", "x")
    net.run_until(lambda: bool(receiver.handled["server:receiver"]), 1.0, "the handler has run")
    sender.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run_until(lambda: receiver.core.state is State.UP, 10.0, "the receiver is back")
    receiver.program = None
    sender.reaches = Reaches.BROKER
    settle(sender)
    assert event.receipt is not None
    assert (event.receipt.outcome, event.receipt.reason) == (Outcome.REFUSED, Reason.HANDLER_ERROR)
    assert list(payloads(receiver)) == ["x"]


def test_what_was_handled_under_an_old_broker_settles_nothing_of_another_sender_at_the_new_one(
    net: Net,
) -> None:
    one = Peer(net, "one").up()
    other, receiver = Peer(net, "other").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    one.send("server:receiver", "from one")
    net.run_until(lambda: any(receiver.core.incoming.arrivals), 1.0, "the event is in the inbox")
    assert net.core.directory.peers["server:one"].origin == 1
    # At the new broker the other sender has the number that the first one had; both have an event 1.
    for peer in (one, receiver):
        peer.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run_until(lambda: other.core.state is State.UP, 10.0, "the other sender is first")
    assert net.core.directory.peers["server:other"].origin == 1
    receiver.reaches = Reaches.BROKER
    net.run_until(lambda: receiver.core.state is State.UP, 10.0, "the receiver is back")
    event = other.send("server:receiver", "from the other")
    net.run_until(
        lambda: len(receiver.core.incoming.arrivals[Lane.NORMAL]) == 2, 1.0, "both are in the inbox"
    )
    receiver.events_per_turn = 1
    receiver.turn()
    receiver.events_per_turn = 0
    assert list(payloads(receiver)) == ["from one"]
    net.run(2.0)
    assert event.receipt is not None
    assert event.receipt.state == "in_flight"
    receiver.events_per_turn = None
    one.reaches = Reaches.BROKER
    settle(one, other)
    assert list(payloads(receiver)) == ["from one", "from the other"]


def test_what_was_received_and_not_handled_dies_with_its_receiver_and_is_not_called_delivered(
    net: Net,
) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    sender.send("server:receiver", "x")
    out = net.core.registry.attachments["server:receiver"].outbound[Lane.NORMAL]
    net.run_until(lambda: out.next_number == 2 and not out.unacked, 1.0, "its batch is acknowledged")
    receiver.kill()
    net.run(8.0)
    assert sender.session().outbox.in_flight == 1
    settle(sender)
    assert [(each.outcome, each.reason) for _, each in sender.told] == [
        (Outcome.UNKNOWN, Reason.RECEIVER_GONE)
    ]


def test_a_sender_that_dies_takes_along_what_no_broker_has_and_the_rest_is_delivered(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    sender.send("server:receiver", "accepted by the broker")
    net.run(0.5)
    sender.reaches = Reaches.REFUSAL
    sender.cut()
    net.run(0.1)
    sender.send("server:receiver", "in the outbox alone")
    net.run(1.0)
    sender.kill()
    receiver.events_per_turn = None
    net.run(20.0)
    assert list(payloads(receiver)) == ["accepted by the broker"]
    assert "server:sender" not in net.core.directory.peers


def test_gaps_in_the_numbers_are_legal_at_a_new_broker(net: Net) -> None:
    sender, slow, quick = Peer(net, "sender").up(), Peer(net, "slow").up(), Peer(net, "quick").up()
    slow.events_per_turn = 0
    for number, to in enumerate(["quick", "quick", "slow", "quick", "slow", "quick"]):
        sender.send(f"server:{to}", number)
        net.run(0.5)
    assert list(sender.session().outbox.unsettled[Lane.NORMAL]) == [3, 5]
    sender.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run_until(lambda: slow.core.state is quick.core.state is State.UP, 10.0, "the receivers are back")
    slow.events_per_turn = None
    sender.reaches = Reaches.BROKER
    settle(sender)
    sender.send("server:quick", "next")
    settle(sender)
    assert list(payloads(slow)) == [2, 4]
    assert list(payloads(quick)) == [0, 1, 3, 5, "next"]
    assert net.core.counters.errors == {}


def test_a_session_behind_a_gateway_that_waits_is_not_overtaken_by_what_it_shares_with_others() -> None:
    net = Net(Config(egress=EgressConfig(credit_bytes=50, batch_bytes=1024)))
    server, gateway = Peer(net, "server").up(), Peer(net, "g", Role.GATEWAY).up()
    slow, quick = gateway.open("slow"), gateway.open("quick")
    net.run(0.1)
    for name in ("slow", "quick"):
        server.join("room", f"player:{name}")
    gateway.read(slow, False)
    for number in range(8):
        server.send("player:slow", number)
    net.run(1.0)
    assert net.core.directory.peers["player:slow"].receiving[Lane.NORMAL].waiting
    server.send("group:room", "for all")
    net.run(1.0)
    assert list(payloads(gateway, "player:quick")) == ["for all"]
    gateway.read(slow, True)
    settle(server)
    assert list(payloads(gateway, "player:slow")) == [*range(8), "for all"]
    gateway.close_session(quick)


@pytest.mark.parametrize("seed", range(5))
def test_frames_of_an_old_link_do_no_harm_behind_a_new_hello(net: Net, seed: int) -> None:
    net.random = Random(seed)
    net.loss = 0.0
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    net.delay_s = 1.0
    for lane in LANES:
        sender.send("server:receiver", lane.label, lane=lane)
    sender.flush()
    net.delay_s = 0.0005
    for connection in sender.connections:
        assert connection is not None
        connection.peer_knows = True
    sender.wake()
    settle(sender)
    assert sorted(payloads(receiver)) == ["critical", "low", "normal"]
    net.run(3.0)
    assert sorted(payloads(receiver)) == ["critical", "low", "normal"]
    assert sender.core.state is State.UP
    assert sender.core.connects == 2


@pytest.mark.parametrize("lane", [Lane.NORMAL, Lane.LOW])
def test_an_event_on_another_lane_waits_for_the_join_and_the_leave_before_it(net: Net, lane: Lane) -> None:
    server, early, late = Peer(net, "server").up(), Peer(net, "early").up(), Peer(net, "late").up()
    net.slower_s[Lane.CRITICAL] = 0.3
    server.join("room", "server:early")
    server.send("group:room", "first", lane=lane, flush=True)
    server.join("room", "server:late")
    server.leave("room", "server:early")
    server.send("group:room", "second", lane=lane, flush=True)
    settle(server)
    assert list(payloads(early)) == ["first"]
    assert list(payloads(late)) == ["second"]


def test_what_the_broker_had_of_a_fenced_process_is_delivered_ahead_of_its_successor(net: Net) -> None:
    old, receiver = Peer(net, "s").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    old.send("server:receiver", "old")
    net.run(0.1)
    new = Peer(net, "s").up()
    new.send("server:receiver", "new")
    net.run(0.1)
    receiver.events_per_turn = None
    settle(new)
    assert list(payloads(receiver)) == ["old", "new"]


def test_a_process_that_was_silent_for_longer_than_its_lease_resumes_and_misses_nothing(net: Net) -> None:
    sender, sleeper = Peer(net, "sender").up(), Peer(net, "sleeper").up()
    sender.send("server:sleeper", "read before it was noticed")
    net.run_until(lambda: any(sleeper.unread), 1.0, "a frame waits to be read")
    sleeper.stall()
    sender.send("server:sleeper", "early")
    net.run(5.0)
    assert net.core.registry.attachments["server:sleeper"].away_since is not None
    sender.send("server:sleeper", "late")
    # It speaks before it has noticed: more frames than errors would be forgiven.
    for number in range(8):
        sleeper.send("server:sender", number)
        sleeper.core.flush(net.now)
    sleeper.go_on()
    settle(sender, sleeper)
    assert sleeper.core.state is State.UP
    assert sleeper.core.failure is None
    assert list(payloads(sleeper)) == ["read before it was noticed", "early", "late"]
    assert list(payloads(sender)) == list(range(8))
    assert sender.told == sleeper.told == []


def test_a_process_that_stalls_for_longer_than_the_grace_period_is_not_gone(net: Net) -> None:
    server, loading = Peer(net, "server").up(), Peer(net, "loading").up()
    server.join("room", "server:loading")
    settle(server)
    loading.stall()
    server.send("server:loading", "early")
    net.run(13.0)
    assert net.core.registry.attachments["server:loading"].stalled is not None
    server.send("group:room", "late")
    loading.go_on()
    settle(server, loading)
    assert list(payloads(loading)) == ["early", "late"]
    assert server.told == []
    assert loading.core.connects == 2
    assert net.core.registry.attachments["server:loading"].stalled is None


def test_a_process_that_dies_while_it_is_stalled_is_gone_after_the_grace_period(net: Net) -> None:
    server, loading = Peer(net, "server").up(), Peer(net, "loading").up()
    loading.stall()
    net.run(6.0)
    loading.kill()
    net.run(5.0)
    assert "server:loading" in net.core.directory.peers
    net.run(12.0)
    assert "server:loading" not in net.core.directory.peers
    assert server.core.state is State.UP


@pytest.mark.parametrize("role", [Role.CLIENT, Role.SERVER, Role.GATEWAY])
def test_who_has_nothing_to_do_finds_out_by_its_lease_that_nothing_gets_through(role: Role) -> None:
    net = Net()
    peer = Peer(net, "quiet", role).up()
    net.run(5.0)
    # No side is told of it.
    peer.cut(peer_after_s=1e6, broker_after_s=1e6)
    lease_s, ping_interval_s = net.config.sessions.lease_s, net.config.sessions.ping_interval_s
    net.run_until(
        lambda: peer.core.state is not State.UP, lease_s + 2 * ping_interval_s, "the links count as lost"
    )
    net.run_until(lambda: peer.core.state is State.UP, 5.0, "it is back")
