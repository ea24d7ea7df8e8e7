"""Egress: a link that takes nothing. What comes meanwhile waits in its session's own queue, and comes in order."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer
from tests.broker.traffic import DELIVERED

from lanebus.broker.waiting import PACK_PARTS
from lanebus.conf.model import Config, EgressConfig, WindowConfig
from lanebus.wire.batches import EVENT_VOLATILE
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

BATCH_BYTES = 1_024
CREDIT_BYTES = 16_384


def roomy() -> Config:
    """A credit that holds back nothing by itself."""
    return small_config(
        window=WindowConfig(batches=2, bytes=8_192),
        egress=EgressConfig(
            batch_bytes=BATCH_BYTES, credit_bytes=CREDIT_BYTES, queue_bytes=1_000_000, age_s=60.0
        ),
    )


@pytest.fixture
def bench() -> Bench:
    return Bench(roomy())


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def player(bench: Bench) -> Peer:
    return Peer(bench, "player:1").attach()


def stand_still(bench: Bench, server: Peer, events: int, to: str = "player:1") -> list[int]:
    """The receivers read nothing while so many events come for them."""
    sent = []
    for _ in range(events):
        sent.append(server.send("t", to, payload=bytes(100)))
        bench.advance(0.02)
        server.ack()
    return sent


def catch_up(bench: Bench, *peers: Peer) -> None:
    """They settle what they get until nothing more comes."""
    while any(peer.unsettled for peer in peers):
        for peer in peers:
            peer.settle_all()
        bench.advance(0.3)


def test_what_a_full_window_holds_back_waits_in_the_sessions_own_queue(
    bench: Bench, server: Peer, player: Peer
) -> None:
    sent = stand_still(bench, server, 30)
    out, receiving = bench.attachment("player:1").outbound[Lane.CRITICAL], bench.receiving("player:1")
    assert player.numbers() == sent[:2]
    assert BATCH_BYTES // 4 <= out.queued_bytes < BATCH_BYTES // 2
    assert len(receiving.waiting) + len(out.queue) == 28
    assert receiving.committed_bytes < CREDIT_BYTES // 4
    catch_up(bench, player)
    assert player.numbers() == sent
    assert not receiving.gated
    bench.advance(1.0)
    assert [server.end_of(number) for number in sent] == [DELIVERED] * 30
    assert bench.problems() == []


def test_an_acknowledgement_alone_lets_it_go_on(bench: Bench, server: Peer, player: Peer) -> None:
    sent = stand_still(bench, server, 12)
    for _ in range(6):
        player.ack()
        bench.turn()
    assert player.numbers() == sent
    assert bench.problems() == []


def test_what_comes_for_a_session_that_is_away_is_packed_and_comes_in_order_when_it_is_back(
    bench: Bench, server: Peer, player: Peer
) -> None:
    route = player.routes[Lane.CRITICAL]
    assert route is not None
    player.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    sent = []
    for _ in range(10 * PACK_PARTS):
        sent.append(server.send("t", "player:1", payload=bytes(100)))
        bench.advance(0.01)
        server.ack()
    assert bench.receiving("player:1").waiting.packed >= 6 * PACK_PARTS
    assert bench.problems() == []
    player.attach()
    bench.advance(0.1)
    catch_up(bench, player)
    assert player.numbers() == sent
    assert bench.receiving("player:1").waiting.packed == 0
    assert bench.problems() == []


def test_after_a_standstill_half_of_the_credit_is_under_way_at_a_time(
    bench: Bench, server: Peer, player: Peer
) -> None:
    sent = stand_still(bench, server, 150)
    receiving = bench.receiving("player:1")
    most_bytes = 0
    for _ in range(30):
        # It has received everything that was sent, and handled some of it.
        player.settle(player.unsettled[:20])
        bench.advance(0.1)
        server.ping()
        most_bytes = max(most_bytes, receiving.committed_bytes)
    assert CREDIT_BYTES // 2 <= most_bytes < CREDIT_BYTES // 2 + BATCH_BYTES
    assert player.numbers() == sent
    stand_still(bench, server, 1)
    assert not bench.attachment("player:1").outbound[Lane.CRITICAL].held_back


def test_what_several_share_is_packed_when_it_waits_for_one_alone(
    bench: Bench, server: Peer, player: Peer
) -> None:
    other = Peer(bench, "player:2").attach()
    sent = []
    for _ in range(10 * PACK_PARTS):
        sent.append(server.send("t", "all", payload=bytes(100)))
        bench.advance(0.05)
        server.ack()
        other.settle_all()
        player.ping()
    assert bench.receiving("player:1").waiting.packed >= 4 * PACK_PARTS
    assert bench.receiving("player:2").waiting.packed == 0
    catch_up(bench, player, other)
    assert player.numbers() == other.numbers() == sent
    assert bench.problems() == []


def test_sessions_behind_a_gateway_go_on_to_share_what_waits_for_its_link(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2, 3):
        gateway.open(index, f"player:{index}")
    stand_still(bench, server, 30, "all")
    assert len(bench.attachment("gateway:g").outbound[Lane.CRITICAL].queue) == 28
    assert not any(bench.receiving(f"player:{index}").waiting for index in (1, 2, 3))


def test_a_link_whose_queue_has_expired_holds_nothing_back(bench: Bench, server: Peer, player: Peer) -> None:
    route = player.routes[Lane.CRITICAL]
    assert route is not None
    player.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    out, receiving = bench.attachment("player:1").outbound[Lane.CRITICAL], bench.receiving("player:1")
    number = server.send("t", "player:1", payload=bytes(BATCH_BYTES // 2), ttl=2_000)
    bench.advance(0.1)
    assert (out.held_back, receiving.gated) == (True, True)
    bench.advance(1.5)
    assert server.end_of(number) == (Outcome.EXPIRED, Reason.TOO_LATE)
    assert (out.held_back, receiving.gated) == (False, False)


def test_a_volatile_part_finds_room_on_its_link_or_is_dropped(
    bench: Bench, server: Peer, player: Peer
) -> None:
    stand_still(bench, server, 10)
    volatile = server.send("t", "player:1", flags=EVENT_VOLATILE)
    bench.advance(0.3)
    assert server.end_of(volatile) == (Outcome.DROPPED, Reason.SLOW_RECEIVER)


def test_what_was_sent_again_is_forgotten_as_it_is_settled(bench: Bench, server: Peer, player: Peer) -> None:
    server.burst(4, "player:1", size=50)
    bench.advance(0.1)
    player.attach()
    bench.advance(0.1)
    receiving = bench.receiving("player:1")
    assert len(receiving.retried) == 4
    player.settle(player.unsettled[:2])
    assert len(receiving.retried) == 2
    player.settle_all()
    assert not receiving.retried
