"""A watcher is told that a peer has left behind what the peer sent to it, and of others at once."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.in_order import LOOK_S, MOST_WAITING, InOrder, News, waits_since
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.presence import Presence


@pytest.fixture
def server(bench: Bench) -> Peer:
    """A server that watches players."""
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.WATCH, what="players")
    bench.turn()
    return server


def told(peer: Peer) -> list[tuple[str, str, list[int]]]:
    """Whom a server was told of since it was last asked, what, and behind which batches."""
    found = [message for kind, message in peer.messages if isinstance(message, Presence)]
    peer.messages.clear()
    return [(each.player, each.what.value, message.after) for message in found for each in message.entries]


@pytest.mark.parametrize("lane", list(Lane))
def test_a_player_has_left_when_what_it_sent_has(bench: Bench, server: Peer, lane: Lane) -> None:
    player = Peer(bench, "player:1").attach()
    other = Peer(bench, "player:2").attach()
    player.send("first", "server:a", lane=lane)
    bench.advance(0.001)
    player.send("last", "server:a", lane=lane)
    player.bye()
    other.bye()
    told(server)
    for _ in range(50):
        bench.advance(LOOK_S)
        if server.numbers() == [1, 2]:
            break
    news = told(server)
    assert [each[:2] for each in news] == [("player:1", "left"), ("player:2", "left")]
    assert all(after[lane] >= 1 for _, _, after in news)


def test_who_sent_nothing_has_left_at_once(bench: Bench, server: Peer) -> None:
    Peer(bench, "player:1").attach().bye()
    bench.turn()
    assert [each[1] for each in told(server)] == ["joined", "left"]


def test_a_leaving_behind_a_used_up_credit_waits_for_it_and_a_coming_does_not(
    bench: Bench, server: Peer
) -> None:
    player = Peer(bench, "player:1").attach()
    told(server)
    in_order: InOrder[str] = InOrder()
    attachment = bench.session("server:a").attachment
    player.send("t", "server:a", lane=Lane.LOW)
    player.send("t", "server:a", lane=Lane.LOW)
    assert waits_since(attachment, bench.now)
    assert not waits_since(attachment, bench.now - 1.0)
    news = [
        News("player:1", "left", bench.now),
        News("player:2", "joined", None),
        News("player:1", "back", None),
    ]
    assert in_order.take(attachment, news) == ["joined"]
    assert in_order.take(attachment, [News("player:2", "left", bench.now - 1.0)]) == ["left"]
    bench.advance(1.0)
    assert in_order.take(attachment, []) == ["left", "back"]


def test_no_more_leavings_wait_than_are_bounded(bench: Bench, server: Peer) -> None:
    in_order: InOrder[int] = InOrder()
    attachment = bench.session("server:a").attachment
    player = Peer(bench, "player:1").attach()
    player.send("t", "server:a", lane=Lane.LOW)
    player.send("t", "server:a", lane=Lane.LOW)
    news = [News(f"player:{number}", number, bench.now) for number in range(MOST_WAITING + 2)]
    assert in_order.take(attachment, news) == [0, 1]
    assert len(in_order) == MOST_WAITING
    in_order.clear()
    assert len(in_order) == 0
