"""Egress: what a fresh link is sent again, and what becomes of parts when their receiver ends."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer
from tests.broker.traffic import DELIVERED, Got

from lanebus.conf.model import WindowConfig
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

GONE_SENT = (Outcome.UNKNOWN, Reason.RECEIVER_GONE)
GONE_UNSENT = (Outcome.REFUSED, Reason.RECEIVER_GONE)


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def player(bench: Bench) -> Peer:
    return Peer(bench, "player:1").attach()


# Fresh links


def test_what_was_not_acknowledged_is_sent_again_in_order_and_before_anything_newer(
    bench: Bench, server: Peer, player: Peer
) -> None:
    for _ in range(3):
        server.send("t", "player:1")
        bench.advance(0.1)
    player.cut()
    server.send("t", "player:1")
    bench.advance(0.1)
    player.attach()
    bench.advance(0.1)
    assert player.numbers() == [1, 2, 3, 1, 2, 3, 4]
    assert bench.problems() == []


def test_what_was_acknowledged_is_not_sent_again(bench: Bench, server: Peer, player: Peer) -> None:
    server.send("t", "player:1")
    bench.advance(0.1)
    player.ack()
    player.attach()
    bench.advance(0.1)
    assert player.numbers() == [1]
    player.settle_all()
    bench.advance(1.0)
    assert server.end_of(1) == DELIVERED


def test_what_is_settled_while_it_waits_to_be_sent_again_stays_away(
    bench: Bench, server: Peer, player: Peer
) -> None:
    numbers = server.burst(4, "player:1")
    bench.advance(0.1)
    player.say_hello()
    bench.turn()
    player.settle(player.unsettled[1:3])
    for lane in (Lane.NORMAL, Lane.LOW):
        player.say_lane_hello(lane)
    bench.advance(0.1)
    assert numbers == [1, 2, 3, 4]
    # The critical lane was back before it could be settled; nothing is lost, and nothing counts twice.
    assert player.numbers() == [1, 2, 3, 4, 1, 2, 3, 4]
    player.settle_all()
    bench.advance(1.0)
    assert not server.waits
    assert bench.problems() == []


def settled_before_it_is_sent_again(bench: Bench, server: Peer, player: Peer) -> list[Got]:
    """Four events on the low lane, all received; the critical link is back, and two of them are settled over it."""
    server.burst(4, "player:1", Lane.LOW)
    bench.advance(0.3)
    player.say_hello()
    bench.turn()
    player.settle(player.unsettled[1:3])
    bench.turn()
    assert bench.attachment("player:1").outbound[Lane.LOW].resent == 4
    assert bench.problems() == []
    return player.got[:]


def test_what_is_settled_before_its_lane_is_back_is_not_sent_again(
    bench: Bench, server: Peer, player: Peer
) -> None:
    settled_before_it_is_sent_again(bench, server, player)
    player.say_lane_hello(Lane.LOW)
    bench.advance(0.1)
    assert player.numbers(Lane.LOW) == [1, 2, 3, 4, 1, 4]
    assert bench.problems() == []


def test_what_is_settled_before_its_lane_is_back_does_not_end_again_with_the_session(
    bench: Bench, server: Peer, player: Peer
) -> None:
    settled_before_it_is_sent_again(bench, server, player)
    server.send("new", "player:1", Lane.LOW)
    player.bye()
    bench.advance(1.0)
    ends = [server.end_of(number, Lane.LOW) for number in range(1, 6)]
    assert ends == [GONE_SENT, DELIVERED, DELIVERED, GONE_SENT, GONE_UNSENT]
    assert bench.problems() == []


def test_a_second_cut_before_everything_was_sent_again_loses_nothing() -> None:
    bench = Bench(small_config(window=WindowConfig(batches=2, bytes=8_192)))
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    for _ in range(6):
        server.burst(1, "player:1", size=200)
        bench.advance(0.1)
    for _ in range(3):
        player.attach()
        bench.turn()
        assert bench.problems() == []
    for _ in range(8):
        bench.advance(0.1)
        player.settle_all()
    assert sorted(set(player.numbers())) == [1, 2, 3, 4, 5, 6]
    bench.advance(1.0)
    assert not server.waits


def test_a_shared_part_is_sent_again_only_to_those_who_have_not_settled_it(
    bench: Bench, server: Peer
) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2, 3):
        gateway.open(index, f"player:{index}")
    server.send("t", "all", Lane.NORMAL)
    bench.advance(0.1)
    gateway.say_hello()
    bench.turn()
    gateway.settle([got for got in gateway.unsettled if got.session == 2])
    gateway.close(3)
    gateway.say_lane_hello(Lane.NORMAL)
    bench.advance(0.1)
    assert [(got.session, got.incarnation) for got in gateway.got] == [(1, 1), (2, 1), (3, 1), (1, 2)]
    gateway.settle_all()
    bench.advance(1.0)
    assert server.end_of(1, Lane.NORMAL) == GONE_SENT
    assert bench.problems() == []


# The end of a receiver


def test_what_a_receiver_was_sent_ends_unknown_and_the_rest_refused(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.burst(7, "player:1")
    bench.advance(0.1)
    player.settle(player.unsettled[:1])
    # One that waits for company, and, past the credit, some that wait for it.
    server.burst(4, "player:1", size=900)
    player.bye()
    bench.advance(1.0)
    ends = [server.end_of(number) for number in range(1, 12)]
    assert ends == [DELIVERED, *[GONE_SENT] * 6, *[GONE_UNSENT] * 4]
    assert bench.problems() == []


def test_the_end_of_one_session_leaves_shared_entries_to_the_others(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2, 3):
        gateway.open(index, f"player:{index}")
    server.send("first", "all", Lane.LOW)
    bench.turn()
    server.send("second", "all", Lane.LOW)
    server.send("third", "player:2", Lane.LOW)
    gateway.close(2)
    bench.advance(1.0)
    assert gateway.topics(1) == gateway.topics(3) == ["first", "second"]
    assert gateway.topics(2) == ["first"]
    gateway.settle_all()
    bench.advance(1.0)
    assert [server.end_of(number, Lane.LOW) for number in (1, 2, 3)] == [GONE_SENT, GONE_UNSENT, GONE_UNSENT]
    assert bench.problems() == []


def test_nothing_leaves_for_a_lane_whose_link_is_not_there(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1")
    player.say_hello()
    bench.turn()
    server.send("t", "player:1", Lane.NORMAL)
    bench.advance(0.1)
    assert player.got == []
    player.say_lane_hello(Lane.NORMAL)
    bench.turn()
    assert player.numbers(Lane.NORMAL) == [1]
