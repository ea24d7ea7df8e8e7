"""Egress: when batches leave, what a window and a credit hold back, and what becomes of what finds no room."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer
from tests.broker.traffic import DELIVERED

from lanebus.broker import egress
from lanebus.conf.model import WindowConfig
from lanebus.wire.batches import TICKS_PER_S
from lanebus.wire.lanes import LANES, TIMER_SLACK_S, Lane


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def player(bench: Bench) -> Peer:
    return Peer(bench, "player:1").attach()


# Coalescing


@pytest.mark.parametrize("lane", LANES)
def test_the_first_batch_after_quiet_leaves_at_the_end_of_the_turn(
    bench: Bench, server: Peer, player: Peer, lane: Lane
) -> None:
    server.send("t", "player:1", lane)
    assert player.got == []
    bench.turn()
    assert player.numbers(lane) == [1]
    bench.advance(bench.core.timings[lane].interval_s)
    server.send("t", "player:1", lane)
    bench.turn()
    assert player.numbers(lane) == [1, 2]


@pytest.mark.parametrize("lane", LANES)
def test_dense_traffic_leaves_as_one_batch_an_interval(
    bench: Bench, server: Peer, player: Peer, lane: Lane
) -> None:
    timing = bench.core.timings[lane]
    duration_s = 20 * timing.interval_s
    sent = 0
    while bench.now < duration_s:
        server.send("t", "player:1", lane)
        sent += 1
        bench.advance(timing.interval_s / 20)
        player.settle_all()
    bench.advance(1.0)
    assert player.numbers(lane) == list(range(1, sent + 1))
    # Between two batches lies what an event may be held, which is a little less than the interval.
    assert player.batches(lane) <= duration_s / (timing.hold_s - TIMER_SLACK_S) + 2


@given(
    held_ms=st.floats(0, 250),
    lane=st.sampled_from(LANES),
    gaps_ms=st.lists(st.floats(0, 30), min_size=1, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_no_event_is_held_longer_than_its_hold_over_both_hops(
    held_ms: float, lane: Lane, gaps_ms: list[float]
) -> None:
    bench = Bench()
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    hold_s = bench.core.timings[lane].hold_s
    arrived = []
    for gap_ms in gaps_ms:
        server.send("t", "player:1", lane, held=int(held_ms * TICKS_PER_S / 1e3))
        arrived.append(bench.now)
        bench.advance(gap_ms / 1e3)
        player.ack()
    bench.advance(1.0)
    assert len(player.got) == len(gaps_ms)
    for got, since in zip(player.got, arrived, strict=True):
        in_broker_s = got.at - since
        assert in_broker_s <= max(0.0, hold_s - held_ms / 1e3) + TIMER_SLACK_S
        # The batch tells how long its oldest event was held on both hops.
        assert got.held / TICKS_PER_S >= in_broker_s + held_ms / 1e3 - 2 / TICKS_PER_S


def test_what_its_sender_has_held_for_long_leaves_at_once(bench: Bench, server: Peer, player: Peer) -> None:
    server.send("t", "player:1", Lane.LOW)
    bench.turn()
    server.send("t", "player:1", Lane.LOW)
    bench.turn()
    assert player.batches(Lane.LOW) == 1
    server.send("t", "player:1", Lane.LOW, held=1900)
    bench.turn()
    assert player.batches(Lane.LOW) == 2
    assert player.numbers(Lane.LOW) == [1, 2, 3]


def test_a_full_batch_leaves_without_waiting(bench: Bench, server: Peer, player: Peer) -> None:
    server.send("t", "player:1", Lane.LOW)
    bench.turn()
    server.burst(3, "player:1", Lane.LOW, 250)
    bench.turn()
    assert player.batches(Lane.LOW) == 1
    server.burst(1, "player:1", Lane.LOW, 250)
    bench.turn()
    assert player.numbers(Lane.LOW) == [1, 2, 3, 4, 5]
    assert player.batches(Lane.LOW) == 2


def test_critical_batches_leave_first(bench: Bench, server: Peer, player: Peer) -> None:
    for lane in reversed(LANES):
        server.send("t", "player:1", lane)
    bench.turn()
    assert [got.lane for got in player.got] == list(LANES)


def test_batches_are_compressed_for_those_who_can_undo_it(bench: Bench, server: Peer) -> None:
    plain, packed = Peer(bench, "player:1", compressions=()).attach(), Peer(bench, "player:2").attach()
    server.send("t", "all", payload=bytes(1000))
    bench.turn()
    assert plain.got[0].payload == packed.got[0].payload == bytes(1000)
    counters = bench.core.counters.lanes_out[Lane.CRITICAL]
    assert counters.batches == 2
    assert counters.bytes < 1300 < counters.unbatched_bytes


def test_a_sender_is_named_once_for_each_link(bench: Bench, server: Peer, player: Peer) -> None:
    for _ in range(2):
        server.send("t", "player:1")
        bench.advance(0.1)
    frames: list[int] = []
    for _ in range(2):
        before = bench.core.counters.lanes_out[Lane.CRITICAL].bytes
        server.send("t", "player:1")
        bench.advance(0.1)
        frames.append(bench.core.counters.lanes_out[Lane.CRITICAL].bytes - before)
        player.ack()
        player.attach()
    assert frames[1] > frames[0]
    assert {got.sender for got in player.got} == {"server:a"}


@pytest.mark.patches
def test_senders_are_named_again_before_a_link_remembers_too_many(
    bench: Bench, player: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "ORIGINS_ANNOUNCED", 2)
    servers = [Peer(bench, f"server:{name}").attach() for name in "abc"]
    for _ in range(3):
        for server in servers:
            server.send("t", "player:1")
            bench.advance(0.02)
            player.ack()
    assert [got.sender for got in player.got] == ["server:a", "server:b", "server:c"] * 3
    assert len(bench.attachment("player:1").outbound[Lane.CRITICAL].announced) <= 2


# The window


def test_no_more_batches_leave_than_the_window_and_an_acknowledgement_frees_it() -> None:
    bench = Bench(small_config(window=WindowConfig(batches=2, bytes=8_192)))
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    for _ in range(5):
        server.send("t", "player:1")
        bench.advance(0.1)
    assert player.numbers() == [1, 2]
    player.ack()
    bench.turn()
    assert player.numbers() == [1, 2, 3, 4, 5]
    assert player.batches() == 3
    assert bench.problems() == []


def test_no_more_bytes_leave_than_the_window() -> None:
    bench = Bench(small_config(window=WindowConfig(batches=64, bytes=350)))
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    for _ in range(5):
        server.send("t", "player:1", payload=bytes(150))
        bench.advance(0.1)
    assert player.numbers() == [1, 2, 3]
    player.ack()
    bench.advance(0.1)
    assert player.numbers() == [1, 2, 3, 4, 5]


def test_a_full_window_of_one_lane_holds_up_no_other(bench: Bench, server: Peer, player: Peer) -> None:
    for _ in range(10):
        server.send("t", "player:1", Lane.LOW)
        bench.advance(0.25)
        server.ack()
    assert player.batches(Lane.LOW) == bench.core.config.window.batches
    server.send("t", "player:1", Lane.CRITICAL)
    bench.turn()
    assert player.numbers(Lane.CRITICAL) == [1]


def test_an_acknowledgement_of_what_is_acknowledged_changes_nothing(
    bench: Bench, server: Peer, player: Peer
) -> None:
    server.send("t", "player:1")
    bench.advance(0.1)
    player.ack()
    player.ack()
    bench.advance(0.1)
    out = bench.attachment("player:1").outbound[Lane.CRITICAL]
    assert (len(out.unacked), out.unacked_bytes) == (0, 0)


# Credit


def test_a_receiver_that_does_not_settle_gets_no_more_than_its_credit(
    bench: Bench, server: Peer, player: Peer
) -> None:
    for _ in range(3):
        server.burst(4, "player:1")
        bench.advance(0.1)
        player.ack()
    credit = bench.core.config.egress.credit_bytes
    receiving = bench.receiving("player:1")
    assert len(player.got) == 7
    assert credit <= receiving.committed_bytes < credit + 400
    assert [event.number for event in receiving.waiting] == [8, 9, 10, 11, 12]
    player.settle(player.unsettled[:2])
    bench.advance(0.1)
    assert len(player.got) == 9
    player.settle_all()
    bench.advance(0.1)
    assert player.numbers() == list(range(1, 13))
    assert bench.problems() == []


def test_a_gateways_session_that_never_settles_leaves_the_others_undisturbed(
    bench: Bench, server: Peer
) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2, 3):
        gateway.open(index, f"player:{index}")
    sent: list[int] = []
    for _ in range(6):
        sent += server.burst(2, "all")
        bench.advance(0.1)
        gateway.settle([got for got in gateway.unsettled if got.session != 2])
    bench.advance(1.0)
    for index in (1, 3):
        assert gateway.numbers(session=index) == sent
    stuck = gateway.numbers(session=2)
    assert stuck == sent[: len(stuck)]
    assert len(stuck) < len(sent)
    gateway.settle_all()
    bench.advance(1.0)
    assert gateway.numbers(session=2) == sent
    gateway.settle_all()
    bench.advance(1.0)
    assert [server.end_of(number) for number in sent] == [DELIVERED] * len(sent)
    assert bench.problems() == []


def test_a_session_that_waits_shares_no_copy_and_keeps_its_order(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    gateway.open(2, "player:2")
    server.burst(8, "player:2")
    shared = server.burst(1, "all")
    bench.advance(0.1)
    assert gateway.numbers(session=1) == shared
    assert gateway.numbers(session=2) == list(range(1, 8))
    gateway.settle_all()
    bench.advance(0.1)
    assert gateway.numbers(session=2) == list(range(1, 10))


def test_held_times_are_recorded_by_lane(bench: Bench, server: Peer, player: Peer) -> None:
    server.send("t", "player:1", Lane.LOW, held=50)
    bench.turn()
    histogram = bench.core.counters.held[Lane.LOW]
    assert histogram.count == 1
    assert histogram.max_us == pytest.approx(5_000, rel=0.1)
