"""The next batch: how much goes into it, and what its events look like to whom they are for."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.conf.model import Config, EgressConfig, LimitsConfig
from lanebus.wire.lanes import Lane


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def player(bench: Bench) -> Peer:
    return Peer(bench, "player:1").attach()


def test_a_long_queue_leaves_in_batches_of_the_limit(bench: Bench, server: Peer, player: Peer) -> None:
    server.burst(5, "player:1", Lane.LOW, 400)
    bench.turn()
    assert [got.batch for got in player.got] == [1, 1, 1, 2, 2]


def test_a_batch_holds_no_more_events_than_the_limit() -> None:
    bench = Bench(small_config(limits=LimitsConfig(batch_events=2)))
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.burst(5, "player:1", size=0)
    bench.turn()
    assert [got.batch for got in player.got] == [1, 1, 2, 2, 3]


def test_an_event_to_several_sessions_of_a_gateway_travels_once(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2, 3):
        gateway.open(index, f"player:{index}")
    server.send("t", "all", exclude=["player:2"])
    bench.turn()
    assert [(got.session, got.number) for got in gateway.got] == [(1, 1), (3, 1)]
    assert bench.core.counters.lanes_out[Lane.CRITICAL].events == 1


def test_the_limit_of_events_never_exceeds_what_the_wire_allows() -> None:
    config = Config(limits=LimitsConfig(batch_events=4_096), egress=EgressConfig(batch_bytes=1_048_576))
    bench = Bench(config)
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.burst(4_000, "player:1", size=0)
    server.burst(1_000, "player:1", size=0)
    bench.turn()
    assert [sum(got.batch == number for got in player.got) for number in (1, 2)] == [4_096, 904]


def test_what_is_sent_is_held_unsettled_by_sender_and_number(
    bench: Bench, server: Peer, player: Peer
) -> None:
    other = Peer(bench, "server:b").attach()
    for sender in (server, other, server):
        sender.send("t", "player:1")
    bench.advance(0.1)
    unsettled = bench.receiving("player:1").unsettled
    origins = [bench.session(name).origin for name in ("server:a", "server:b")]
    assert [sorted(unsettled[origin]) for origin in origins] == [[1, 2], [1]]


def test_each_session_counts_its_parts_and_the_batches_that_held_some(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2):
        gateway.open(index, f"player:{index}")
    server.send_batch([server.event("t", to) for to in ("all", "player:1", "player:1")])
    bench.turn()
    counts = [bench.session(f"player:{index}").traffic[Lane.CRITICAL] for index in (1, 2)]
    assert [(each.events_out, each.batches_out) for each in counts] == [(3, 1), (1, 1)]
