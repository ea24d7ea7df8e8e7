"""Traces that unbalance a careless ledger. Each test is named after its hazard."""

import pytest
from tests.link.link import Net, Reaches
from tests.link.process import Peer, payloads

from lanebus.adapters.actions import State
from lanebus.adapters.errors import Closed
from lanebus.broker.audit import audit
from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.lanes import Lane
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


def book(peer: Peer) -> Book:
    return peer.session().outbox.books[Lane.NORMAL]


def at_rest(net: Net) -> bool:
    report = audit(net.core)
    assert report.problems == []
    return report.at_rest


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("group:nobody", Reason.UNKNOWN_DESTINATION),
        ("group:left", Reason.UNKNOWN_DESTINATION),
        ("all", Reason.NOBODY),
        ("server:unknown", Reason.UNKNOWN_DESTINATION),
        ("service:unknown", Reason.UNKNOWN_DESTINATION),
    ],
)
def test_an_event_for_nobody_ends_once_in_both_books(net: Net, to: str, reason: Reason) -> None:
    server = Peer(net, "server").up()
    server.join("left")
    server.leave("left")
    server.send(to, "x")
    net.run(2.0)
    assert [(each.outcome, each.reason) for _, each in server.told] == [(Outcome.REFUSED, reason)]
    session = net.core.directory.peers["server:server"].sending[Lane.NORMAL]
    assert session.book == book(server)
    assert session.parts == Book(1, [0, 0, 0, 0, 1, 0])
    assert at_rest(net)


def test_an_event_to_many_is_one_event_and_many_parts_and_ends_as_its_worst(net: Net) -> None:
    server, good, bad = Peer(net, "server").up(), Peer(net, "good").up(), Peer(net, "bad").up()

    def fail(*_: object) -> None:
        raise ValueError("a handler that fails")

    bad.program = fail
    server.send(["server:good", "server:bad"], "x")
    net.run(2.0)
    assert [(each.outcome, each.reason) for _, each in server.told] == [
        (Outcome.REFUSED, Reason.HANDLER_ERROR)
    ]
    session = net.core.directory.peers["server:server"].sending[Lane.NORMAL]
    assert session.book.as_dict()["accepted"] == 1
    assert session.parts == Book(2, [1, 0, 0, 0, 1, 0])
    assert list(payloads(good)) == ["x"]
    assert at_rest(net)


def test_the_first_settlement_counts_and_later_ones_are_counted_and_ignored(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    for number in range(5):
        sender.send("server:receiver", number)
    net.run(2.0)
    assert at_rest(net)
    # A receiver that comes back says everything again that its sender may not have heard.
    receiver.cut()
    net.run(5.0)
    assert net.core.counters.ignored_settlements > 0
    assert book(sender).as_list() == [5, 5, 0, 0, 0, 0, 0]
    sender.cut()
    net.run(5.0)
    assert sender.session().outbox.ignored == 5
    assert book(sender).as_list() == [5, 5, 0, 0, 0, 0, 0]
    assert at_rest(net)


def test_what_a_receiver_says_after_its_session_has_ended_changes_nothing(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    event = sender.send("server:receiver", "x")
    net.run_until(lambda: any(receiver.core.incoming.arrivals), 1.0, "the event is in the inbox")
    receiver.stall()
    net.run(20.0)
    receiver.events_per_turn = None
    receiver.go_on()
    net.run(5.0)
    assert list(payloads(receiver)) == ["x"]
    assert event.receipt is not None
    assert (event.receipt.outcome, event.receipt.reason) == (Outcome.UNKNOWN, Reason.RECEIVER_GONE)
    assert book(sender).as_list() == [1, 0, 0, 0, 0, 0, 1]
    assert at_rest(net)


def test_a_book_whose_report_was_lost_with_a_link_is_reported_again(net: Net) -> None:
    sender = Peer(net, "sender").up()
    Peer(net, "receiver").up()
    sender.send("server:receiver", "x")
    session = sender.session()
    net.run_until(
        lambda: (
            book(sender).ended[Outcome.DELIVERED] == 1 and session.books_reported == session.book_figures()
        ),
        5.0,
        "the ping with the book is on its way",
    )
    sender.cut()
    net.run(5.0)
    assert at_rest(net)


def test_a_new_broker_begins_its_books_with_what_is_replayed_and_the_senders_book_goes_on(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    for number in range(3):
        sender.send("server:receiver", number)
    net.run(2.0)
    assert at_rest(net)
    receiver.events_per_turn = 0
    for number in range(3, 5):
        sender.send("server:receiver", number)
    net.run(0.5)
    sender.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run_until(lambda: receiver.core.state is State.UP, 10.0, "the receiver is back")
    sender.send("server:receiver", 5)
    sender.reaches = Reaches.BROKER
    receiver.events_per_turn = None
    net.run(10.0)
    assert list(payloads(receiver)) == list(range(6))
    assert book(sender).as_list() == [6, 6, 0, 0, 0, 0, 0]
    session = net.core.directory.peers["server:sender"]
    assert session.sending[Lane.NORMAL].book.as_list() == [3, 3, 0, 0, 0, 0, 0]
    assert session.reported is not None
    assert session.reported[Lane.NORMAL] == session.sending[Lane.NORMAL].book
    assert at_rest(net)


def test_a_fenced_process_books_its_remainder_as_unknown(net: Net) -> None:
    old, receiver = Peer(net, "s").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    old.send("server:receiver", "x")
    net.run(0.1)
    new = Peer(net, "s").up()
    net.run(1.0)
    assert old.core.state is State.CLOSED
    assert isinstance(old.core.failure, Closed)
    assert [(each.outcome, each.reason) for _, each in old.told] == [(Outcome.UNKNOWN, Reason.FENCED)]
    assert book(old).as_list() == [1, 0, 0, 0, 0, 0, 1]
    # It does not come back by itself, and its successor is not touched.
    net.run(30.0)
    assert old.core.connects == new.core.connects == 1


def test_a_player_that_moves_to_another_gateway_ends_its_events_at_the_first_one(net: Net) -> None:
    server = Peer(net, "server").up()
    first, second = Peer(net, "g1", Role.GATEWAY).up(), Peer(net, "g2", Role.GATEWAY).up()
    moved, other = first.open("moved"), first.open("other")
    net.run(0.1)
    server.events_per_turn = 0
    first.send("server:server", "old", session=moved)
    net.run(0.1)
    second.open("moved")
    net.run(0.1)
    first.send("server:server", "late", session=moved)
    first.send("server:server", "other", session=other)
    server.events_per_turn = None
    net.run(3.0)
    assert [(name, each.number, each.reason) for name, each in first.told] == [
        ("player:moved", 1, Reason.FENCED),
        ("player:moved", 2, Reason.SENDER_GONE),
    ]
    assert list(payloads(server)) == ["old", "other"]
    assert first.core.connects == 1


def test_what_a_closed_session_had_under_way_costs_its_neighbours_nothing(net: Net) -> None:
    server, gateway = Peer(net, "server").up(), Peer(net, "g", Role.GATEWAY).up()
    closing, staying = gateway.open("closing"), gateway.open("staying")
    net.run(0.1)
    net.slower_s[Lane.LOW] = 0.2
    gateway.send("server:server", "overtaken by the closing", lane=Lane.LOW, session=closing)
    gateway.send("server:server", "from the other", lane=Lane.LOW, session=staying)
    gateway.flush()
    gateway.close_session(closing)
    gateway.cut()
    net.run(5.0)
    assert [(name, each.reason) for name, each in gateway.told] == [("player:closing", Reason.CLOSED)]
    assert list(payloads(server)) == ["from the other"]
    assert gateway.core.state is State.UP
    assert net.core.counters.errors == {}


def test_a_session_reopened_under_its_name_while_the_broker_is_away_is_the_one_that_lives(net: Net) -> None:
    gateway = Peer(net, "g", Role.GATEWAY).up()
    net.kill_broker()
    net.run(0.1)
    gateway.close_session(gateway.open("1"))
    again = gateway.open("1")
    net.start_broker()
    net.run_until(lambda: not len(gateway.core.requests), 20.0, "everything is asked for again")
    assert net.core.directory.peers["player:1"].index == again
