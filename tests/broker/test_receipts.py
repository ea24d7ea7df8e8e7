"""What peers say of what they were sent: batches received, parts settled."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer
from tests.broker.traffic import DELIVERED

from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Ack, Settle, Settlement
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.pings import Ping

INTERVAL_S = 0.2
NO_HANDLER = (Outcome.REFUSED, Reason.NO_HANDLER)
PASSED_OVER = (Outcome.UNKNOWN, Reason.PASSED_OVER)


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def players(bench: Bench) -> list[Peer]:
    return [Peer(bench, f"player:{number}").attach() for number in (1, 2, 3)]


def control_messages(peer: Peer) -> list[Kind]:
    return [kind for kind in peer.kinds() if kind in (Kind.ACK, Kind.SETTLE)]


# Merging


def test_the_first_settlement_counts_and_later_ones_are_counted(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "player:1")
    bench.advance(0.1)
    (got,) = players[0].got
    for end in (DELIVERED, NO_HANDLER, NO_HANDLER):
        runs = [got.number, got.number]
        players[0].say(Kind.SETTLE, Settle([0, 0, 0], [Settlement(0, got.origin, got.lane, *end, runs)]))
    bench.advance(1.0)
    assert server.end_of(1) == DELIVERED
    assert bench.core.counters.ignored_settlements == 2
    assert bench.problems() == []


def test_a_settlement_of_what_is_not_held_is_ignored_and_counted(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "player:1")
    bench.advance(0.1)
    (got,) = players[0].got
    of_another = Settlement(0, got.origin, Lane.LOW, *DELIVERED, [1, 1])
    of_nobody = Settlement(0, got.origin + 99, got.lane, *DELIVERED, [1, 1])
    for_nobody = Settlement(5, got.origin, got.lane, *DELIVERED, [1, 1])
    too_many = Settlement(0, got.origin, got.lane, *DELIVERED, [2, 4])
    players[0].say(Kind.SETTLE, Settle([0, 0, 0], [of_another, of_nobody, for_nobody, too_many]))
    players[1].say(Kind.SETTLE, Settle([0, 0, 0], [Settlement(0, got.origin, got.lane, *DELIVERED, [1, 1])]))
    bench.advance(1.0)
    assert server.end_of(1) is None
    assert bench.core.counters.ignored_settlements == 7
    assert bench.problems() == []


def test_a_reason_that_is_not_the_receivers_to_give_ends_its_link_and_settles_nothing(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "player:1")
    bench.advance(0.1)
    (got,) = players[0].got
    good = Settlement(0, got.origin, got.lane, *DELIVERED, [1, 1])
    bad = Settlement(0, got.origin, got.lane, Outcome.DROPPED, Reason.BROKER_FULL, [1, 1])
    players[0].say(Kind.SETTLE, Settle([0, 0, 0], [good, bad]))
    bench.advance(1.0)
    assert players[0].errors == [ErrorNumber.BAD_BODY]
    assert server.end_of(1) is None


# Resuming


def test_an_acknowledgement_of_what_was_never_sent_ends_the_link(bench: Bench) -> None:
    in_header, in_message = Peer(bench, "server:a").attach(), Peer(bench, "server:b").attach()
    in_header.say(Kind.PING, Ping(clock_us=1, rtt_us=0, books=[]), ack=1)
    in_message.say(Kind.ACK, Ack([0, 1, 0]))
    bench.turn()
    assert in_header.errors == in_message.errors == [ErrorNumber.BAD_ACK]
