"""Egress: receivers that fall behind. Group parts are dropped, senders to one receiver alone pause."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.conf.policy import PeerPolicy, PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

SLOW = (Outcome.DROPPED, Reason.SLOW_RECEIVER)


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def player(bench: Bench) -> Peer:
    return Peer(bench, "player:1").attach()


# Slow receivers


def test_the_oldest_group_parts_past_the_limit_in_bytes_are_dropped(
    bench: Bench, server: Peer, player: Peer
) -> None:
    for _ in range(8):
        server.burst(3, "all")
        bench.advance(0.1)
        player.ack()
    receiving = bench.receiving("player:1")
    assert receiving.waiting_bytes <= bench.core.config.egress.queue_bytes
    assert receiving.dropped == 4
    bench.advance(0.3)
    dropped = [number for number in range(1, 25) if server.end_of(number) == SLOW]
    assert dropped == [8, 9, 10, 11]
    player.settle_all()
    bench.advance(1.0)
    player.settle_all()
    bench.advance(1.0)
    player.settle_all()
    bench.advance(1.0)
    assert player.numbers() == [number for number in range(1, 25) if number not in dropped]
    assert not server.waits
    assert bench.problems() == []


def test_group_parts_past_the_limit_in_age_are_dropped(bench: Bench, server: Peer, player: Peer) -> None:
    server.burst(9, "all")
    for _ in range(5):
        bench.advance(1.0)
        player.ping()
        server.ping()
    server.burst(1, "all")
    assert [event.number for event in bench.receiving("player:1").waiting] == [8, 9, 10]
    bench.advance(1.2)
    assert [event.number for event in bench.receiving("player:1").waiting] == [10]
    assert [server.end_of(number) for number in (7, 8, 9, 10)] == [None, SLOW, SLOW, None]
    assert bench.receiving("player:1").dropped == 2


def test_a_slow_member_costs_the_others_nothing(bench: Bench, server: Peer, player: Peer) -> None:
    other = Peer(bench, "player:2").attach()
    sent: list[int] = []
    for _ in range(8):
        sent += server.burst(3, "all")
        bench.advance(0.1)
        player.ack()
        other.settle_all()
    bench.advance(0.1)
    assert other.numbers() == sent


def test_parts_for_one_receiver_alone_are_never_dropped_but_their_sender_pauses(
    bench: Bench, server: Peer, player: Peer
) -> None:
    other = Peer(bench, "server:b").attach()
    for _ in range(8):
        server.burst(3, "player:1")
        bench.advance(0.1)
        player.ack()
    assert server.paused == {(0, Lane.CRITICAL, "player:1")}
    assert server.kinds().count(Kind.PAUSE) == 1
    assert other.paused == set()
    other.burst(1, "player:1")
    bench.turn()
    assert other.paused == {(0, Lane.CRITICAL, "player:1")}
    assert bench.receiving("player:1").dropped == 0
    while server.paused:
        assert player.unsettled
        player.settle(player.unsettled[:1])
        bench.advance(0.1)
    assert other.paused == set()
    assert bench.receiving("player:1").waiting_bytes <= bench.core.config.egress.queue_bytes // 4
    for _ in range(4):
        player.settle_all()
        bench.advance(0.3)
    assert player.numbers(sender="server:a") == list(range(1, 25))
    assert bench.receiving("player:1").paused == {}
    assert not server.waits


def test_group_parts_make_room_around_those_for_one_receiver_alone(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.burst(7, "player:1")
    server.burst(3, "player:1")
    for _ in range(6):
        server.burst(3, "all")
        bench.advance(0.05)
        player.ack()
    waiting = bench.receiving("player:1").waiting
    assert [event.number for event in waiting][:3] == [8, 9, 10]
    assert bench.receiving("player:1").dropped > 0
    for _ in range(5):
        player.settle_all()
        bench.advance(0.3)
    assert player.numbers() == sorted(player.numbers())
    assert not server.waits
    assert bench.problems() == []


def test_a_paused_sender_that_comes_back_is_told_again(bench: Bench, server: Peer, player: Peer) -> None:
    server.burst(16, "player:1")
    bench.turn()
    assert server.paused
    server.attach()
    assert not server.paused
    server.burst(1, "player:1")
    bench.turn()
    assert server.paused
    assert server.kinds().count(Kind.PAUSE) == 2


def test_a_sender_that_is_away_is_not_told_to_pause(bench: Bench, server: Peer, player: Peer) -> None:
    server.burst(16, "player:1")
    bench.core.lost(Lane.CRITICAL, server.routes[Lane.CRITICAL] or b"", bench.now)
    bench.turn()
    for _ in range(4):
        player.settle_all()
        bench.advance(0.1)
    assert Kind.UNPAUSE not in server.kinds()
    assert bench.receiving("player:1").paused == {}


def test_events_that_leave_the_choice_to_the_broker_pause_under_no_name(bench: Bench, player: Peer) -> None:
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="combat", topics=["t"])
    for _ in range(6):
        player.send_batch([player.event("t", None, payload=bytes(300)) for _ in range(3)])
        bench.advance(0.1)
        server.ack()
    assert player.paused == {(0, Lane.CRITICAL, "")}


def test_the_end_of_the_receiver_ends_the_pause(bench: Bench, server: Peer, player: Peer) -> None:
    server.burst(16, "player:1")
    bench.turn()
    assert server.paused
    player.bye()
    bench.turn()
    assert server.paused == set()


def test_a_sessions_own_limit_in_bytes_comes_before_the_general_one() -> None:
    policy = PolicyConfig(peers=[PeerPolicy(match="player:1", queue_bytes=1_200)])
    bench = Bench(small_config(policy=policy))
    server = Peer(bench, "server:a").attach()
    players = [Peer(bench, f"player:{number}").attach() for number in (1, 2)]
    for _ in range(6):
        server.burst(3, "all")
        bench.advance(0.1)
        for player in players:
            player.ack()
    small, general = bench.receiving("player:1"), bench.receiving("player:2")
    assert small.waiting_bytes <= 1_200 < general.waiting_bytes
    assert small.dropped > general.dropped == 0
    for player in players:
        while player.unsettled:
            player.settle_all()
            bench.advance(0.5)
    # A pause comes at half of it as well, and ends at a quarter.
    server.burst(9, "player:1")
    bench.advance(0.1)
    assert server.paused == {(0, Lane.CRITICAL, "player:1")}
    while players[0].unsettled:
        players[0].settle_all()
        bench.advance(0.5)
        server.ping()
        players[1].ping()
    assert server.paused == set()
    assert bench.problems() == []
