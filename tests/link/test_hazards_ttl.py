"""Traces that break a careless time to live. Each test is named after its hazard."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.link.ends import (
    CONFIG,
    DELIVERED,
    EXPIRED,
    end,
    is_cut,
    post,
    rest,
    stalled,
    up_events,
)
from tests.link.link import Net, Reaches
from tests.link.process import Peer, payloads, settle

from lanebus.adapters.actions import State
from lanebus.wire.batches import EVENT_QUESTION
from lanebus.wire.lanes import Lane


@pytest.fixture
def net() -> Net:
    return Net(CONFIG)


@pytest.mark.parametrize("place", ["outbox", "paused", "egress", "link"])
def test_who_holds_an_event_that_was_never_sent_ends_it_when_its_time_is_over(net: Net, place: str) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    if place == "outbox":
        sender.reaches = Reaches.REFUSAL
        sender.cut()
        net.run(0.1)
    elif place == "paused":
        sender.core.outgoing.pause(0, Lane.NORMAL, "server:receiver")
    elif place == "egress":
        stalled(net, sender, receiver, "server:receiver")
    else:
        is_cut(net, sender, receiver)
    short = post(sender, "server:receiver", "short", ttl_ms=700)
    long = post(sender, "server:receiver", "long", ttl_ms=60_000)
    net.run(0.5)
    assert (end(short), end(long)) == (None, None)
    net.run(1.5)
    assert (end(short), end(long)) == (EXPIRED, None)
    sender.reaches = receiver.reaches = Reaches.BROKER
    sender.core.outgoing.unpause(0, Lane.NORMAL, "server:receiver")
    receiver.events_per_turn = None
    sender.wake()
    receiver.wake()
    settle(sender)
    assert [payload for payload in payloads(receiver) if payload[0] != "fill"] == ["long"]
    rest(net)


def test_time_in_a_frozen_link_counts(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    net.slower_s[Lane.NORMAL] = 1.0
    transit = post(sender, "server:receiver", "on its way for 2 s", ttl_ms=1_500)
    quick = post(sender, "server:receiver", "has the time", ttl_ms=2_500)
    settle(sender)
    assert list(payloads(receiver)) == ["has the time"]
    assert (end(transit), end(quick)) == (EXPIRED, DELIVERED)
    rest(net)


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_what_froze_with_its_link_is_late_when_it_is_sent_again(net: Net, side: str) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    frozen = sender if side == "sender" else receiver
    seen = up_events(net, sender)
    connection = frozen.connections[Lane.NORMAL]
    assert connection is not None
    net.cut(connection, peer_after_s=None, broker_after_s=None)
    event = post(sender, "server:receiver", "frozen", ttl_ms=1_000)
    plain = post(sender, "server:receiver", "plain")
    settle(sender)
    assert list(payloads(receiver)) == ["plain"]
    assert (end(event), end(plain)) == (EXPIRED, DELIVERED)
    again = [each for each in seen if each.number == event.number][1:]
    assert all(each.flags & EVENT_QUESTION and not each.payload for each in again)
    assert bool(again) is (side == "sender")
    rest(net)


def test_an_event_that_was_handled_is_delivered_whatever_its_senders_clock_says(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    event = post(sender, "server:receiver", "handled", ttl_ms=500)
    net.run_until(lambda: bool(receiver.handled["server:receiver"]), 1.0, "it is handled")
    # Its settlement dies with the broker, and its time is over before anybody is back.
    sender.reaches = Reaches.REFUSAL
    net.restart_broker(down_s=2.0)
    net.run_until(lambda: receiver.core.state is State.UP, 10.0, "the receiver is back")
    assert end(event) is None
    seen = up_events(net, sender)
    sender.reaches = Reaches.BROKER
    settle(sender)
    assert [(each.payload, each.flags) for each in seen] == [(b"", EVENT_QUESTION)]
    assert end(event) == DELIVERED
    assert list(payloads(receiver)) == ["handled"]
    rest(net)


def test_an_event_that_a_new_broker_asks_for_and_nobody_has_seen_is_expired(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.reaches = Reaches.REFUSAL
    receiver.cut()
    event = post(sender, "server:receiver", "never seen", ttl_ms=500)
    net.run(0.2)
    sender.reaches = Reaches.REFUSAL
    net.restart_broker(down_s=1.0)
    receiver.reaches = Reaches.BROKER
    net.run_until(lambda: receiver.core.state is State.UP, 10.0, "the receiver is back")
    sender.reaches = Reaches.BROKER
    settle(sender)
    assert end(event) == EXPIRED
    assert list(payloads(receiver)) == []
    rest(net)


def _no_time(receiver: Peer) -> None:
    receiver.events_per_turn = 0


def _no_handler(receiver: Peer) -> None:
    receiver.program = None


@pytest.mark.parametrize(("hold", "topic"), [(_no_time, "t"), (_no_handler, "later")])
def test_the_receiver_judges_what_has_waited_in_its_inbox(
    net: Net, hold: Callable[[Peer], Any], topic: str
) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    hold(receiver)
    event = post(sender, "server:receiver", "waits", topic=topic, ttl_ms=500)
    behind = post(sender, "server:receiver", "behind", topic=topic)
    net.run(1.0)
    receiver.events_per_turn = None
    got: list[Any] = []
    if topic == "later":
        receiver.on("later", lambda handled: got.append(handled.payload))
    settle(sender)
    assert [*payloads(receiver), *got] == ["behind"]
    assert (end(event), end(behind)) == (EXPIRED, DELIVERED)
    rest(net)


def test_a_new_brokers_clock_does_not_change_what_waits_in_an_inbox(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    net.run(100.0)
    receiver.events_per_turn = 0
    event = post(sender, "server:receiver", "waits", ttl_ms=20_000)
    net.run_until(lambda: any(receiver.core.incoming.arrivals), 1.0, "the receiver has it")
    sender.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run_until(lambda: receiver.name in net.core.directory.peers, 10.0, "the receiver is back")
    sender.reaches = Reaches.BROKER
    net.run(1.0)
    receiver.events_per_turn = None
    settle(sender)
    assert list(payloads(receiver)) == ["waits"]
    assert end(event) == DELIVERED


def test_an_event_to_many_ends_as_the_worst_of_its_parts(net: Net) -> None:
    sender = Peer(net, "sender").up()
    quick, slow = Peer(net, "quick").up(), Peer(net, "slow").up()
    slow.events_per_turn = 0
    event = post(sender, ["server:quick", "server:slow"], "x", ttl_ms=500)
    net.run(1.0)
    slow.events_per_turn = None
    settle(sender)
    assert (list(payloads(quick)), list(payloads(slow))) == (["x"], [])
    assert end(event) == EXPIRED
    rest(net)


def test_what_a_sender_withheld_is_in_the_brokers_book_too(net: Net) -> None:
    sender = Peer(net, "sender").up()
    Peer(net, "receiver").up()
    sender.core.outgoing.pause(0, Lane.NORMAL, "server:receiver")
    for number in range(5):
        post(sender, "server:receiver", number, mode="latest", key="k")
        post(sender, "server:receiver", number, ttl_ms=100)
        post(sender, "server:receiver", number, mode="volatile")
    net.run(3.0)
    sender.core.outgoing.unpause(0, Lane.NORMAL, "server:receiver")
    settle(sender)
    net.run(1.0)
    book = net.core.directory.peers["server:sender"].sending[Lane.NORMAL].book
    assert book.as_dict() == {
        "accepted": 15,
        "delivered": 1,
        "superseded": 4,
        "expired": 5,
        "dropped": 5,
        "refused": 0,
        "unknown": 0,
        "in_flight": 0,
    }
    assert book == sender.session().outbox.books[Lane.NORMAL]
    rest(net)
    sender.cut()
    settle(sender)
    rest(net)
