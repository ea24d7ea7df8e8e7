"""Traces that break careless delivery modes. Each test is named after its hazard."""

import pytest
from tests.link.ends import (
    CONFIG,
    DELIVERED,
    LARGE,
    LATE,
    LOST,
    NO_ROOM,
    SLOW,
    SUPERSEDED,
    end,
    fill_outbox,
    is_cut,
    post,
    rest,
    stalled,
    up_events,
)
from tests.link.link import Net, Reaches
from tests.link.process import Peer, payloads, settle
from tests.named import numbers_in

from lanebus.wire.batches import EVENT_QUESTION
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason


@pytest.fixture
def net() -> Net:
    return Net(CONFIG)


# Latest


def test_keys_refreshed_at_every_tick_all_leave_though_one_part_leaves_at_a_time(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    stalled(net, sender, receiver, "server:receiver")
    receiver.events_per_turn = 1
    keys = 30
    for tick in range(40):
        for key in range(keys):
            post(sender, "server:receiver", (key, tick, LARGE), mode="latest", key=key)
        net.run(0.033)
    receiver.events_per_turn = None
    settle(sender)
    got = [payload for payload in payloads(receiver) if payload[0] != "fill"]
    early = got[: 2 * keys]
    assert {key for key, _, _ in early} == set(range(keys)), "each key has its turn before any comes often"
    for key in range(keys):
        ticks = [tick for each, tick, _ in got if each == key]
        assert ticks == sorted(set(ticks))
        assert ticks[-1] == 39
    assert {(each.outcome, each.reason) for _, each in sender.told} == {SUPERSEDED}
    rest(net)


@pytest.mark.parametrize("place", ["outbox", "paused", "egress", "link"])
def test_a_newer_value_takes_the_place_of_an_older_one_that_was_not_sent(net: Net, place: str) -> None:
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
    old = post(sender, "server:receiver", "old", mode="latest", key="unit")
    net.run(0.1)
    other = post(sender, "server:receiver", "other")
    net.run(0.1)
    new = post(sender, "server:receiver", "new, and longer", mode="latest", key="unit")
    net.run(0.1)
    elsewhere = post(sender, "server:receiver", "elsewhere", mode="latest", key="another unit")
    net.run(0.5)
    assert end(old) == SUPERSEDED
    sender.reaches = receiver.reaches = Reaches.BROKER
    sender.core.outgoing.unpause(0, Lane.NORMAL, "server:receiver")
    receiver.events_per_turn = None
    sender.wake()
    receiver.wake()
    settle(sender)
    got = [payload for payload in payloads(receiver) if payload[0] != "fill"]
    # Behind a lost link all goes again in the order of the numbers.
    assert got == (
        ["other", "new, and longer", "elsewhere"]
        if place == "outbox"
        else ["new, and longer", "other", "elsewhere"]
    )
    assert [end(event) for event in (other, new, elsewhere)] == [DELIVERED] * 3
    assert new.number == 3 + old.number - 1
    rest(net)


def test_a_key_of_another_destination_topic_or_lane_is_another_key(net: Net) -> None:
    sender = Peer(net, "sender").up()
    for name in ("one", "two"):
        Peer(net, name).up().on("u", lambda event: None)
    sender.reaches = Reaches.REFUSAL
    sender.cut()
    net.run(0.1)
    for to in ("server:one", "server:two", ["server:one", "server:two"]):
        for topic in ("t", "u"):
            for lane in (Lane.NORMAL, Lane.LOW):
                post(sender, to, "x", topic=topic, lane=lane, mode="latest", key="k")
    post(sender, ["server:one", "server:two"], "x", mode="latest", key="k", exclude=("server:one",))
    sender.reaches = Reaches.BROKER
    settle(sender)
    assert sender.told == []


def test_values_of_a_group_behind_a_gateway_are_replaced_for_all_that_wait_for_them(net: Net) -> None:
    sender, gateway = Peer(net, "sender").up(), Peer(net, "g", Role.GATEWAY).up()
    for number in range(3):
        gateway.open(str(number))
    net.run(0.1)
    for number in range(3):
        sender.join("room", f"player:{number}")
    net.run(0.2)
    gateway.read(3, False)
    for number in range(12):
        post(sender, "group:room", ("fill", number, LARGE))
        net.run(0.06)
    gateway.reaches = Reaches.REFUSAL
    gateway.cut()
    post(sender, "player:0", ("fill", 12, LARGE))
    net.run(0.1)
    for value in range(5):
        post(sender, "group:room", ("value", value), mode="latest", key="k")
        net.run(0.1)
    queues = [net.core.directory.peers[f"player:{number}"].receiving[Lane.NORMAL] for number in range(3)]
    assert [queue.superseded for queue in queues] == [4, 4, 4]
    gateway.reaches = Reaches.BROKER
    net.run(5.0)
    gateway.read(3, True)
    settle(sender)
    for number in range(3):
        values = [value for kind, value, *_ in payloads(gateway, f"player:{number}") if kind == "value"]
        assert values == [4]
    rest(net)


def test_what_had_been_sent_is_not_superseded_by_its_holder(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    old = post(sender, "server:receiver", "old", mode="latest", key="unit")
    net.run_until(lambda: any(receiver.core.incoming.arrivals), 1.0, "the receiver has it")
    new = post(sender, "server:receiver", "new", mode="latest", key="unit")
    net.run(0.5)
    assert end(old) is None
    receiver.events_per_turn = None
    settle(sender)
    assert list(payloads(receiver)) == ["old", "new"]
    assert (end(old), end(new)) == (DELIVERED, DELIVERED)
    rest(net)


def test_an_older_value_that_a_dead_broker_had_dropped_does_not_come_after_the_newer_one(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    stalled(net, sender, receiver, "server:receiver")
    old = post(sender, "server:receiver", "old", mode="latest", key="unit")
    net.run(0.06)
    post(sender, "server:receiver", "new", mode="latest", key="unit")
    net.run(0.06)
    # The broker has both, and has ended the older one; its settlement dies with it.
    broken = net.core.directory.peers["server:sender"].sending[Lane.NORMAL]
    net.run_until(
        lambda: any(old.number in numbers_in(runs) for runs in broken.ends.values()),
        1.0,
        "the older one is superseded",
    )
    sender.stall()
    receiver.events_per_turn = None
    net.run_until(
        lambda: "new" in payloads(receiver) and not receiver.core.incoming.to_report,
        5.0,
        "the newer one is handled",
    )
    seen = up_events(net, sender)
    net.restart_broker()
    sender.go_on()
    settle(sender)
    assert [payload for payload in payloads(receiver) if payload[0] != "fill"] == ["new"]
    assert [each.payload for each in seen if each.number == old.number] in ([b""], [])
    assert end(old) == SUPERSEDED


def test_a_new_broker_does_not_supersede_what_an_older_one_may_have_delivered(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    old = post(sender, "server:receiver", "old", mode="latest", key="unit")
    net.run_until(lambda: any(receiver.core.incoming.arrivals), 1.0, "the receiver has it")
    sender.reaches = Reaches.REFUSAL
    net.restart_broker()
    net.run_until(lambda: receiver.name in net.core.directory.peers, 10.0, "the receiver is back")
    # The new broker can send it nothing, and holds what comes for it.
    is_cut(net, Peer(net, "other").up(), receiver)
    sender.reaches = Reaches.BROKER
    queue = net.core.registry.attachments[receiver.name].outbound[Lane.NORMAL].queue
    net.run_until(lambda: bool(queue), 10.0, "it holds the replayed value")
    new = post(sender, "server:receiver", "new", mode="latest", key="unit")
    newer = post(sender, "server:receiver", "newer", mode="latest", key="unit")
    net.run(0.2)
    receiver.reaches = Reaches.BROKER
    receiver.events_per_turn = None
    settle(sender)
    assert [payload for payload in payloads(receiver) if payload[0] != "fill"] == ["old", "newer"]
    assert [end(each) for each in (old, new, newer)] == [DELIVERED, SUPERSEDED, DELIVERED]


def test_a_full_outbox_has_room_for_a_newer_value_in_place_of_an_older_one(net: Net) -> None:
    sender = Peer(net, "sender", outbox_bytes=1_000)
    old = post(sender, "server:receiver", LARGE, mode="latest", key="unit")
    fill_outbox(sender)
    new = post(sender, "server:receiver", LARGE, mode="latest", key="unit")
    assert end(old) == SUPERSEDED
    assert new.number > old.number
    assert sender.session().outbox.held_bytes <= 1_000


# Volatile


@pytest.mark.parametrize("arrived", [True, False])
def test_a_volatile_event_whose_link_was_lost_is_asked_for_and_not_sent_again(
    net: Net, arrived: bool
) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    seen = up_events(net, sender)
    event = post(sender, "server:receiver", "volatile", mode="volatile")
    behind = post(sender, "server:receiver", "behind")
    sender.flush()
    if arrived:
        net.run_until(lambda: "volatile" in payloads(receiver), 1.0, "it is handled")
    sender.cut()
    settle(sender)
    assert [(each.payload, each.flags & EVENT_QUESTION) for each in seen if each.number == event.number] == [
        (b"\xa8volatile", 0),
        (b"", EVENT_QUESTION),
    ]
    assert list(payloads(receiver)) == (["volatile", "behind"] if arrived else ["behind"])
    assert (end(event), end(behind)) == (DELIVERED if arrived else LOST, DELIVERED)
    rest(net)


@pytest.mark.parametrize("handled", [True, False])
def test_a_volatile_event_is_not_replayed_to_a_new_broker(net: Net, handled: bool) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    if not handled:
        receiver.stall()
        receiver.cut()
    event = post(sender, "server:receiver", "volatile", mode="volatile")
    if handled:
        net.run_until(lambda: "volatile" in payloads(receiver), 1.0, "it is handled")
    else:
        net.run(0.2)
    sender.reaches = Reaches.REFUSAL
    net.restart_broker()
    receiver.go_on()
    net.run_until(lambda: receiver.name in net.core.directory.peers, 20.0, "the receiver is back")
    sender.reaches = Reaches.BROKER
    settle(sender)
    assert end(event) == (DELIVERED if handled else LOST)
    assert list(payloads(receiver)) == (["volatile"] if handled else [])
    rest(net)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_receiver_whose_link_was_lost_is_asked_for_a_volatile_part(net: Net, arrived: bool) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    event = post(sender, "server:receiver", "volatile", mode="volatile")
    unacked = net.core.registry.attachments["server:receiver"].outbound[Lane.NORMAL].unacked
    net.run_until(lambda: bool(unacked), 1.0, "the broker has sent it")
    if arrived:
        net.run_until(lambda: any(receiver.core.incoming.arrivals), 1.0, "the receiver has it")
    receiver.cut()
    receiver.events_per_turn = None
    settle(sender)
    assert list(payloads(receiver)) == (["volatile"] if arrived else [])
    assert end(event) == (DELIVERED if arrived else LOST)
    rest(net)


def test_a_volatile_part_given_to_a_process_that_dies_is_unknown_and_not_given_to_its_successor(
    net: Net,
) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    volatile = post(sender, "server:receiver", "volatile", mode="volatile")
    reliable = post(sender, "server:receiver", "reliable")
    net.run_until(lambda: any(receiver.core.incoming.arrivals), 1.0, "the receiver has them")
    receiver.kill()
    successor = Peer(net, "receiver").up()
    settle(sender)
    assert list(payloads(successor)) == ["reliable"]
    assert end(volatile) == (Outcome.UNKNOWN, Reason.RECEIVER_GONE)
    assert end(reliable) == DELIVERED
    rest(net)


def test_a_slow_receiver_loses_volatile_parts_first(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    filling = stalled(net, sender, receiver, "server:receiver")
    volatile = post(sender, "server:receiver", "volatile", mode="volatile")
    reliable = post(sender, "server:receiver", "reliable")
    net.run(0.5)
    assert end(volatile) == SLOW
    receiver.events_per_turn = None
    settle(sender)
    assert [payload for payload in payloads(receiver) if payload[0] != "fill"] == ["reliable"]
    assert {end(event) for event in (*filling, reliable)} == {DELIVERED}
    rest(net)


def test_a_volatile_event_without_room_is_dropped_and_told_where_another_raises(net: Net) -> None:
    sender = Peer(net, "sender", outbox_bytes=1_000).up()
    receiver = Peer(net, "receiver").up()
    sender.reaches = Reaches.REFUSAL
    sender.cut()
    net.run(0.1)
    fill_outbox(sender)
    event = post(sender, "server:receiver", LARGE, mode="volatile")
    assert end(event) == NO_ROOM
    net.run(0.1)
    assert [(each.number, each.outcome) for _, each in sender.told] == [(event.number, Outcome.DROPPED)]
    assert sender.session().outbox.held_bytes <= 1_000
    sender.reaches = Reaches.BROKER
    settle(sender)
    assert len(receiver.handled["server:receiver"]) == event.number - 1
    rest(net)


def test_a_volatile_event_that_cannot_leave_for_a_second_is_dropped_as_late(net: Net) -> None:
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    sender.reaches = Reaches.REFUSAL
    sender.cut()
    net.run(0.1)
    event = post(sender, "server:receiver", "late", mode="volatile")
    net.run(1.2)
    assert end(event) == LATE
    fresh = post(sender, "server:receiver", "fresh", mode="volatile")
    sender.reaches = Reaches.BROKER
    settle(sender)
    assert end(fresh) in (DELIVERED, LATE)
    assert "late" not in payloads(receiver)
    rest(net)
