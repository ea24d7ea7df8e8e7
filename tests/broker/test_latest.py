"""Latest values in the queues to receivers: whose place a newer one takes, and whose it must not."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.wire.batches import EVENT_AGAIN, EVENT_LATEST
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

SUPERSEDED = (Outcome.SUPERSEDED, Reason.NEWER_VALUE)


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


def value(sender: Peer, to: str | list[str], key: str, size: int = 10, *, flags: int = 0) -> int:
    return sender.send("unit", to, payload=bytes(size), flags=EVENT_LATEST | flags, key=key)


def away(bench: Bench, name: str) -> Peer:
    """A peer whose links are cut, and the broker knows."""
    peer = Peer(bench, name).attach()
    route = peer.routes[Lane.CRITICAL]
    assert route is not None
    peer.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    return peer


def full(bench: Bench, server: Peer, player: Peer) -> None:
    """The player has what its credit allows."""
    for _ in range(10):
        server.burst(1, player.name)
    bench.advance(0.2)
    assert bench.receiving(player.name).gated


def test_a_newer_value_stands_where_the_older_one_waited_for_credit(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    full(bench, server, player)
    before = bench.receiving("player:1").waiting_bytes
    old = value(server, "player:1", "k")
    other = server.send("other", "player:1")
    new = value(server, "player:1", "k", 500)
    bench.advance(0.3)
    waiting = bench.receiving("player:1").waiting
    assert [event.number for event in waiting][-2:] == [new, other]
    assert 500 < bench.receiving("player:1").waiting_bytes - before < 600
    assert server.end_of(old) == SUPERSEDED
    for _ in range(20):
        player.settle_all()
        bench.advance(0.3)
    assert player.numbers()[-2:] == [new, other]
    assert bench.receiving("player:1").superseded == 1
    assert bench.problems() == []


def test_a_newer_value_stands_where_the_older_one_waited_for_a_link(bench: Bench, server: Peer) -> None:
    player = away(bench, "player:1")
    values = [value(server, "player:1", "k", size) for size in (10, 400, 20)]
    other = server.send("other", "player:1")
    last = value(server, "player:1", "k", 30)
    bench.advance(0.3)
    assert [server.end_of(number) for number in values] == [SUPERSEDED] * 3
    player.attach()
    bench.advance(0.3)
    assert player.numbers() == [last, other]
    player.settle_all()
    assert bench.receiving("player:1").committed_bytes == 0
    assert bench.problems() == []


def test_each_key_topic_destination_and_sender_has_a_place_of_its_own(bench: Bench, server: Peer) -> None:
    player = away(bench, "player:1")
    another = Peer(bench, "server:b").attach()
    for sender in (server, another):
        value(sender, "player:1", "k")
        value(sender, "player:1", "l")
        value(sender, ["player:1"], "k")
        sender.send("another", "player:1", flags=EVENT_LATEST, key="k")
    bench.advance(0.3)
    assert bench.receiving("player:1").superseded == 0
    player.attach()
    bench.advance(0.3)
    assert len(player.got) == 8


def test_a_copy_that_several_share_is_replaced_as_a_whole(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2):
        gateway.open(index, f"player:{index}")
        server.ask(Kind.JOIN, group="room", member=f"player:{index}")
    route = gateway.routes[Lane.CRITICAL]
    assert route is not None
    gateway.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    old, new = value(server, "group:room", "k"), value(server, "group:room", "k", 50)
    queue = bench.attachment("gateway:g").outbound[Lane.CRITICAL].queue
    assert [(event.number, len(sessions)) for event, sessions in queue] == [(new, 2)]
    bench.advance(0.3)
    assert server.end_of(old) == SUPERSEDED
    assert [bench.receiving(f"player:{index}").superseded for index in (1, 2)] == [1, 1]
    assert bench.problems() == []


def test_for_other_members_the_older_copy_stays_and_the_order_too(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2):
        gateway.open(index, f"player:{index}")
        server.ask(Kind.JOIN, group="room", member=f"player:{index}")
    route = gateway.routes[Lane.CRITICAL]
    assert route is not None
    gateway.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    first = value(server, "group:room", "k")
    server.ask(Kind.LEAVE, group="room", member="player:2")
    second = value(server, "group:room", "k")
    third = value(server, "group:room", "k")
    gateway.attach()
    bench.advance(0.3)
    assert gateway.numbers(session=1) == [first, third]
    assert gateway.numbers(session=2) == [first]
    assert server.end_of(second) == SUPERSEDED
    assert bench.problems() == []


def test_a_value_that_may_have_been_passed_on_before_keeps_its_place(bench: Bench, server: Peer) -> None:
    player = away(bench, "player:1")
    old = value(server, "player:1", "k", flags=EVENT_AGAIN)
    new = value(server, "player:1", "k")
    player.attach()
    bench.advance(0.3)
    assert player.numbers() == [old, new]


def test_a_value_that_was_sent_is_sent_again_in_front_of_the_newer_one(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    old = value(server, "player:1", "k")
    bench.turn()
    player.got.clear()
    route = player.routes[Lane.CRITICAL]
    assert route is not None
    player.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    value(server, "player:1", "k")
    new = value(server, "player:1", "k")
    player.attach()
    bench.advance(0.3)
    assert player.numbers() == [old, new]
    player.settle_all()
    bench.advance(0.3)
    assert server.end_of(old) == (Outcome.DELIVERED, Reason.NONE)
    assert bench.problems() == []


def test_a_fresh_value_in_an_old_place_neither_ages_nor_hides_what_is_old(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    server.ask(Kind.JOIN, group="room", member="player:1")
    full(bench, server, player)
    receiving = bench.receiving("player:1")
    for _ in range(20):
        player.settle_all()
        server.ping()
        bench.advance(0.3)
    # Without unicasts in front of them.
    server.burst(8, "group:room")
    bench.advance(0.1)
    value(server, "group:room", "k")
    old = server.send("chat", "group:room")
    for _ in range(8):
        bench.advance(1.0)
        player.ping()
        server.ping()
        last = value(server, "group:room", "k")
    bench.advance(0.5)
    assert server.end_of(old) == (Outcome.DROPPED, Reason.SLOW_RECEIVER)
    assert last in [event.number for event in receiving.waiting]
    assert bench.problems() == []


def test_a_larger_value_in_an_older_ones_place_is_kept_within_the_limit_of_the_queue(
    bench: Bench, server: Peer
) -> None:
    player = Peer(bench, "player:1").attach()
    full(bench, server, player)
    for size in (10, 900):
        for key in range(12):
            value(server, "all", f"k{key}", size)
        bench.turn()
    receiving = bench.receiving("player:1")
    assert receiving.waiting_bytes <= bench.core.config.egress.queue_bytes
    assert receiving.dropped > 0
    assert bench.problems() == []
