"""Lateness: what the broker ends itself, wherever it waits, and what it only asks for."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer
from tests.broker.test_latest import away, full

from lanebus.wire.batches import EVENT_QUESTION, EVENT_REDELIVERED, EVENT_VOLATILE, TICKS_PER_S
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

EXPIRED = (Outcome.EXPIRED, Reason.TOO_LATE)
DELIVERED = (Outcome.DELIVERED, Reason.NONE)


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


def timed(sender: Peer, to: str | list[str], ttl_s: float) -> int:
    return sender.send("t", to, ttl=int(ttl_s * TICKS_PER_S))


def test_what_waits_for_a_link_ends_within_a_second_after_its_time(bench: Bench, server: Peer) -> None:
    away(bench, "player:1")
    short, long = timed(server, "player:1", 0.5), timed(server, "player:1", 60.0)
    bench.advance(0.4)
    assert server.end_of(short) is None
    bench.advance(1.5)
    assert (server.end_of(short), server.end_of(long)) == (EXPIRED, None)
    assert bench.receiving("player:1").expired == 1
    assert bench.receiving("player:1").committed_bytes > 0
    assert bench.problems() == []


def test_what_waits_for_credit_ends_within_a_second_after_its_time(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    full(bench, server, player)
    before = bench.receiving("player:1").waiting_bytes
    short, long = timed(server, "player:1", 0.5), timed(server, "player:1", 60.0)
    bench.advance(1.9)
    assert (server.end_of(short), server.end_of(long)) == (EXPIRED, None)
    assert 0 < bench.receiving("player:1").waiting_bytes - before < 100
    assert bench.problems() == []


def test_what_is_late_on_arrival_is_not_sent_and_what_comes_next_is(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    events = [server.event("t", "player:1", ttl=2000), server.event("t", "player:1")]
    bench.advance(0.3)
    server.send_batch(events)
    bench.advance(0.3)
    assert player.numbers() == [2]
    player.settle_all()
    bench.advance(0.3)
    assert [server.end_of(number) for number in (1, 2)] == [EXPIRED, DELIVERED]
    assert bench.problems() == []


def test_credit_that_late_parts_had_goes_to_those_that_waited(bench: Bench, server: Peer) -> None:
    player = away(bench, "player:1")
    for _ in range(6):
        server.send("t", "player:1", payload=bytes(400), ttl=2000)
    behind = server.send("t", "player:1")
    assert bench.receiving("player:1").gated
    bench.advance(0.3)
    player.attach()
    bench.advance(0.3)
    assert player.numbers() == [behind]
    player.settle_all()
    assert bench.receiving("player:1").committed_bytes == 0
    assert bench.problems() == []


def test_what_was_sent_is_asked_for_when_its_time_is_over(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    number = timed(server, "player:1", 0.5)
    bench.turn()
    player.cut()
    bench.advance(1.0)
    assert server.end_of(number) is None
    player.attach()
    bench.advance(0.3)
    first, question = player.got
    assert (first.number, first.flags) == (number, 0)
    assert (question.number, question.flags, question.payload) == (number, EVENT_QUESTION, b"")
    player.settle_all(*EXPIRED)
    bench.advance(0.3)
    # The peer had the event itself; its settlement of that came first.
    assert server.end_of(number) in (DELIVERED, EXPIRED)
    assert bench.problems() == []


def test_a_volatile_part_that_was_sent_is_asked_for_and_what_is_flagged_says_so_too(
    bench: Bench, server: Peer
) -> None:
    player = Peer(bench, "player:1").attach()
    number = server.send("t", "player:1", payload=b"x", flags=EVENT_VOLATILE)
    bench.turn()
    player.cut()
    player.attach()
    bench.advance(0.3)
    assert [(got.payload, got.flags) for got in player.got] == [
        (b"x", EVENT_VOLATILE),
        (b"", EVENT_QUESTION | EVENT_VOLATILE),
    ]
    player.settle_all()
    bench.advance(0.3)
    assert server.end_of(number) == DELIVERED


def test_a_successor_gets_what_has_a_time_to_live_with_it(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    number = timed(server, "player:1", 60.0)
    bench.turn()
    player.cut()
    successor = Peer(bench, "player:1").attach()
    bench.advance(0.3)
    (got,) = successor.got
    assert (got.number, got.flags) == (number, EVENT_REDELIVERED)


def test_a_volatile_part_finds_credit_or_is_dropped(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    full(bench, server, player)
    number = server.send("t", ["player:1", "server:a"], flags=EVENT_VOLATILE)
    server.settle_all()
    bench.advance(0.3)
    server.settle_all()
    bench.advance(0.3)
    assert server.end_of(number) == (Outcome.DROPPED, Reason.SLOW_RECEIVER)
    assert number in server.numbers(Lane.CRITICAL)
    assert bench.receiving("player:1").dropped == 1
    assert bench.problems() == []
