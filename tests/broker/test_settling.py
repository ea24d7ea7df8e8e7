"""Settling: ends are booked once, told in few messages, and told again to a sender that comes back."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer
from tests.broker.traffic import DELIVERED, End

from lanebus.broker import settling
from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.runs import Lookup

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


def test_acknowledgements_of_all_lanes_leave_as_one_message_after_the_interval(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    for lane in LANES:
        server.send("t", "player:1", lane)
        server.send("t", "player:1", lane)
    bench.advance(INTERVAL_S - 0.01)
    assert control_messages(server) == []
    bench.advance(0.02)
    assert control_messages(server) == [Kind.ACK]
    assert server.last(Kind.ACK).acks == [2, 2, 2]
    bench.advance(1.0)
    assert control_messages(server) == [Kind.ACK]


def test_half_a_window_is_acknowledged_at_once(bench: Bench, server: Peer, players: list[Peer]) -> None:
    half = bench.core.config.window.batches // 2
    for _ in range(half - 1):
        server.send("t", "player:1")
    bench.turn()
    assert control_messages(server) == []
    server.send("t", "player:1")
    bench.turn()
    assert control_messages(server) == [Kind.ACK]
    bench.advance(1.0)
    assert control_messages(server) == [Kind.ACK]


def test_a_batch_in_the_other_direction_saves_the_acknowledgement(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("ping", "player:1")
    players[0].send("pong", "server:a")
    bench.advance(1.0)
    assert server.topics() == ["pong"]
    assert control_messages(server) == []
    assert not server.unacked[Lane.CRITICAL]


def test_a_dense_stream_costs_one_control_message_an_interval(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    player = players[0]
    for _ in range(20):
        server.send("t", "player:1", Lane.NORMAL)
        bench.advance(0.05)
        player.settle_all()
    bench.advance(0.5)
    assert 4 <= len(control_messages(server)) <= 7
    assert not server.waits


def test_ends_of_all_lanes_and_sessions_share_a_message(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:11")
    gateway.open(2, "player:12")
    for session in (1, 2):
        for lane in LANES:
            gateway.send("t", "server:a", lane, session=session)
    bench.advance(INTERVAL_S + 0.1)
    server.settle_all()
    bench.advance(INTERVAL_S + 0.1)
    assert control_messages(gateway).count(Kind.SETTLE) == 1
    assert len(gateway.last(Kind.SETTLE).settlements) == 6
    assert not gateway.waits


def test_more_settlements_than_one_message_holds_follow_in_the_next(
    bench: Bench, server: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "MAX_SETTLEMENTS", 2)
    for lane in LANES:
        server.send("t", "player:9", lane)
    bench.advance(INTERVAL_S + 0.1)
    assert len(server.last(Kind.SETTLE).settlements) == 2
    assert server.waits
    bench.advance(INTERVAL_S)
    assert len(server.last(Kind.SETTLE).settlements) == 1
    assert not server.waits


# The end of parts and events


def test_an_event_ends_with_its_last_part_and_as_its_worst(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "all")
    bench.advance(0.1)
    players[0].settle_all()
    players[1].settle_all(*NO_HANDLER)
    bench.advance(1.0)
    assert server.end_of(1) is None
    players[2].settle_all()
    bench.advance(1.0)
    assert server.end_of(1) == NO_HANDLER
    sending = bench.session("server:a").sending[Lane.CRITICAL]
    assert sending.book.as_dict()["refused"] == 1
    assert sending.parts.as_dict() == sending.parts.as_dict() | {"accepted": 3, "delivered": 2, "refused": 1}


def test_a_settlement_lost_with_the_link_is_told_again(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "player:1")
    bench.advance(0.1)
    server.cut()
    players[0].settle_all()
    bench.advance(1.0)
    assert server.end_of(1) is None
    server.attach()
    bench.advance(1.0)
    assert server.end_of(1) == DELIVERED


def test_nothing_is_told_while_the_sender_is_away(bench: Bench, server: Peer, players: list[Peer]) -> None:
    server.send("t", "player:9")
    bench.core.lost(Lane.CRITICAL, server.routes[Lane.CRITICAL] or b"", bench.now)
    before = len(server.messages)
    bench.advance(1.0)
    assert len(server.messages) == before


def test_an_end_that_the_sender_knows_is_not_told_again(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "player:9")
    bench.advance(1.0)
    server.send("t", "player:1")  # its base says that 1 is settled
    bench.advance(0.1)
    server.attach()
    bench.advance(1.0)
    assert control_messages(server).count(Kind.SETTLE) == 1


# Sessions that have ended


def test_an_end_of_a_closed_session_is_not_told_to_the_next_of_its_index(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:11")
    gateway.send("of_the_first", "server:a", session=1)
    bench.advance(1.0)
    gateway.close(1)
    gateway.open(1, "player:11")
    gateway.send("of_the_second", "server:a", session=1)
    bench.advance(1.0)
    first, second = server.got
    assert first.number == second.number == 1
    server.settle([first], *NO_HANDLER)
    bench.advance(1.0)
    assert gateway.end_of(1, session=1) is None
    server.settle([second])
    bench.advance(1.0)
    assert gateway.end_of(1, session=1) == DELIVERED
    assert bench.problems() == []


def test_a_gateway_is_told_when_another_process_takes_one_of_its_players(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:11")
    gateway.open(2, "player:12")
    gateway.send("settled", "server:a", session=1)
    bench.advance(0.1)
    server.settle_all()
    gateway.send("under_way", "server:a", session=1)
    gateway.send("of_another", "server:a", session=2)
    newer = Peer(bench, "player:11").attach()
    gateway.send("too_late", "server:a", session=1)
    newer.send("newer", "server:a")
    bench.advance(1.0)
    assert gateway.end_of(1, session=1) == DELIVERED
    assert gateway.end_of(2, session=1) == (Outcome.UNKNOWN, Reason.FENCED)
    assert gateway.end_of(3, session=1) == (Outcome.UNKNOWN, Reason.SENDER_GONE)
    assert not gateway.errors
    assert server.topics() == ["settled", "under_way", "of_another", "newer"]
    server.settle_all()
    bench.advance(1.0)
    assert gateway.end_of(1, session=2) == DELIVERED
    assert newer.end_of(1) == DELIVERED
    assert bench.problems() == []


@pytest.mark.parametrize(
    ("ends", "event_ends"),
    [
        ([PASSED_OVER, DELIVERED], DELIVERED),
        ([DELIVERED, PASSED_OVER], DELIVERED),
        ([PASSED_OVER, NO_HANDLER], NO_HANDLER),
        ([PASSED_OVER, PASSED_OVER], PASSED_OVER),
    ],
)
def test_a_receiver_that_was_passed_over_says_nothing_of_the_others(
    bench: Bench, server: Peer, players: list[Peer], ends: list[End], event_ends: End
) -> None:
    server.send("t", ["player:1", "player:2"])
    bench.advance(0.1)
    for player, (outcome, reason) in zip(players, ends, strict=False):
        player.settle_all(outcome, reason)
        bench.advance(0.3)
    assert server.end_of(1) == event_ends
    assert bench.problems() == []


# Many at once


def test_parts_of_events_with_several_receivers_end_with_the_last_of_them(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send_batch([server.event("t", to) for to in ("player:1", "all", "player:1", "player:1")])
    bench.turn()
    players[0].settle_all()
    bench.advance(0.5)
    assert [server.end_of(number) for number in range(1, 5)] == [DELIVERED, None, DELIVERED, DELIVERED]
    for each in players[1:]:
        each.settle_all()
    bench.advance(0.5)
    assert server.end_of(2) == DELIVERED
    assert bench.core.budget.held_bytes == 0
    assert bench.problems() == []


def test_one_settlement_may_name_what_is_not_there_between_what_is(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    server.send_batch([server.event("t", "player:1") for _ in range(6)])
    bench.turn()
    origin = bench.session("server:a").origin
    numbers = bench.receiving("player:1").unsettled[origin]
    ended = bench.core.settling.parts_delivered(numbers, [2, 3, 9, 9, 5, 7], Lookup(), bench.now)
    assert ended[2] == 2
    assert sorted(numbers) == [1, 4, 6][:2]
    assert bench.session("server:a").sending[Lane.CRITICAL].unreported == {DELIVERED: [2, 3, 5, 6]}
    assert player.up


def test_many_delivered_events_are_told_without_waiting_for_the_interval() -> None:
    bench = Bench(Config(sessions=SessionsConfig(recovery_s=0.0)))
    server, receiver = Peer(bench, "server:a").attach(), Peer(bench, "server:b").attach()
    few, many = settling.MANY_ENDS // 2, settling.MANY_ENDS
    for count, told in ((few, False), (many, True)):
        server.send_batch([server.event("t", "server:b") for _ in range(count)])
        bench.advance(0.02)
        receiver.settle_all()
        bench.turn()
        assert (Kind.SETTLE in control_messages(server)) is told
    assert bench.session("server:a").sending[Lane.CRITICAL].unreported == {}


def test_ends_that_would_not_fit_into_a_frame_are_told_in_several_messages(
    bench: Bench, server: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: End = (Outcome.REFUSED, Reason.NO_HANDLER)
    ends = {
        DELIVERED: [bound for number in range(1, 90_001) for bound in (3 * number, 3 * number + 1)],
        refused: [bound for number in range(1, 20_001) for bound in (3 * number + 2,) * 2],
    }
    sending = bench.session("server:a").sending[Lane.LOW]
    sending.unreported = {end: list(runs) for end, runs in ends.items()}
    bench.core.settling.report(bench.attachment("server:a"), 0, Lane.LOW, sending, bench.now)
    monkeypatch.setattr(server, "_take_settlements", lambda settlements: None)
    bench.advance(2.0)
    told = [message.settlements for kind, message in server.messages if kind is Kind.SETTLE]
    assert [sum(len(each.runs) for each in settlements) for settlements in told] == [
        settling.MAX_BOUNDS,
        settling.MAX_BOUNDS,
        settling.MAX_BOUNDS,
        220_000 - 3 * settling.MAX_BOUNDS,
    ]
    for end, runs in ends.items():
        parts = [
            each.runs for settlements in told for each in settlements if (each.outcome, each.reason) == end
        ]
        pairs = [pair for part in parts for pair in zip(part[::2], part[1::2], strict=True)]
        assert sorted(pairs) == list(zip(runs[::2], runs[1::2], strict=True))
    assert not bench.attachment("server:a").reporting
