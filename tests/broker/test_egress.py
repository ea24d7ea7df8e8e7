"""Egress: when batches leave, what a window and a credit hold back, and what becomes of what finds no room."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.broker.bench import Bench, small_config
from tests.broker.peer import DELIVERED, Got, Peer

from lanebus.broker import egress
from lanebus.conf.model import Config, EgressConfig, LimitsConfig, WindowConfig
from lanebus.wire.batches import TICKS_PER_S
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, TIMER_SLACK_S, Lane
from lanebus.wire.outcomes import Outcome, Reason

GONE_SENT = (Outcome.UNKNOWN, Reason.RECEIVER_GONE)
GONE_UNSENT = (Outcome.REFUSED, Reason.RECEIVER_GONE)
SLOW = (Outcome.DROPPED, Reason.SLOW_RECEIVER)


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def player(bench: Bench) -> Peer:
    return Peer(bench, "player:1").attach()


def burst(server: Peer, count: int, to: str, lane: Lane = Lane.CRITICAL, size: int = 300) -> list[int]:
    """Send `count` events in one batch, and return their numbers."""
    events = [server.event("t", to, lane, bytes(size)) for _ in range(count)]
    server.send_batch(events, lane)
    return [event.number for event in events]


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
    burst(server, 3, "player:1", Lane.LOW, 250)
    bench.turn()
    assert player.batches(Lane.LOW) == 1
    burst(server, 1, "player:1", Lane.LOW, 250)
    bench.turn()
    assert player.numbers(Lane.LOW) == [1, 2, 3, 4, 5]
    assert player.batches(Lane.LOW) == 2


def test_a_long_queue_leaves_in_batches_of_the_limit(bench: Bench, server: Peer, player: Peer) -> None:
    burst(server, 5, "player:1", Lane.LOW, 400)
    bench.turn()
    assert [got.batch for got in player.got] == [1, 1, 1, 2, 2]


def test_a_batch_holds_no_more_events_than_the_limit() -> None:
    bench = Bench(small_config(limits=LimitsConfig(batch_events=2)))
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    burst(server, 5, "player:1", size=0)
    bench.turn()
    assert [got.batch for got in player.got] == [1, 1, 2, 2, 3]


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
    bench = Bench(small_config(window=WindowConfig(batches=64, bytes=700)))
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    for _ in range(5):
        server.send("t", "player:1", payload=bytes(300))
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
        burst(server, 4, "player:1")
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
        sent += burst(server, 2, "all")
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


def test_an_event_to_several_sessions_of_a_gateway_travels_once(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2, 3):
        gateway.open(index, f"player:{index}")
    server.send("t", "all", exclude=["player:2"])
    bench.turn()
    assert [(got.session, got.number) for got in gateway.got] == [(1, 1), (3, 1)]
    assert bench.core.counters.lanes_out[Lane.CRITICAL].events == 1


def test_a_session_that_waits_shares_no_copy_and_keeps_its_order(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    gateway.open(2, "player:2")
    burst(server, 8, "player:2")
    shared = burst(server, 1, "all")
    bench.advance(0.1)
    assert gateway.numbers(session=1) == shared
    assert gateway.numbers(session=2) == list(range(1, 8))
    gateway.settle_all()
    bench.advance(0.1)
    assert gateway.numbers(session=2) == list(range(1, 10))


# Slow receivers


def test_the_oldest_group_parts_past_the_limit_in_bytes_are_dropped(
    bench: Bench, server: Peer, player: Peer
) -> None:
    for _ in range(8):
        burst(server, 3, "all")
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
    burst(server, 9, "all")
    for _ in range(5):
        bench.advance(1.0)
        player.ping()
        server.ping()
    burst(server, 1, "all")
    assert [event.number for event in bench.receiving("player:1").waiting] == [8, 9, 10]
    bench.advance(1.2)
    assert [event.number for event in bench.receiving("player:1").waiting] == [10]
    assert [server.end_of(number) for number in (7, 8, 9, 10)] == [None, SLOW, SLOW, None]
    assert bench.receiving("player:1").dropped == 2


def test_a_slow_member_costs_the_others_nothing(bench: Bench, server: Peer, player: Peer) -> None:
    other = Peer(bench, "player:2").attach()
    sent: list[int] = []
    for _ in range(8):
        sent += burst(server, 3, "all")
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
        burst(server, 3, "player:1")
        bench.advance(0.1)
        player.ack()
    assert server.paused == {(0, Lane.CRITICAL, "player:1")}
    assert server.kinds().count(Kind.PAUSE) == 1
    assert other.paused == set()
    burst(other, 1, "player:1")
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
    burst(server, 7, "player:1")
    burst(server, 3, "player:1")
    for _ in range(6):
        burst(server, 3, "all")
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
    burst(server, 16, "player:1")
    bench.turn()
    assert server.paused
    server.attach()
    assert not server.paused
    burst(server, 1, "player:1")
    bench.turn()
    assert server.paused
    assert server.kinds().count(Kind.PAUSE) == 2


def test_a_sender_that_is_away_is_not_told_to_pause(bench: Bench, server: Peer, player: Peer) -> None:
    burst(server, 16, "player:1")
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
    burst(server, 16, "player:1")
    bench.turn()
    assert server.paused
    player.bye()
    bench.turn()
    assert server.paused == set()


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
    numbers = burst(server, 4, "player:1")
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
    burst(server, 4, "player:1", Lane.LOW)
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
        burst(server, 1, "player:1", size=200)
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
    burst(server, 7, "player:1")
    bench.advance(0.1)
    player.settle(player.unsettled[:1])
    # One that waits for company, and, past the credit, some that wait for it.
    burst(server, 4, "player:1", size=900)
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


def test_the_limit_of_events_never_exceeds_what_the_wire_allows() -> None:
    config = Config(limits=LimitsConfig(batch_events=4_096), egress=EgressConfig(batch_bytes=1_048_576))
    bench = Bench(config)
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    burst(server, 4_000, "player:1", size=0)
    burst(server, 1_000, "player:1", size=0)
    bench.turn()
    assert [sum(got.batch == number for got in player.got) for number in (1, 2)] == [4_096, 904]


def test_held_times_are_recorded_by_lane(bench: Bench, server: Peer, player: Peer) -> None:
    server.send("t", "player:1", Lane.LOW, held=50)
    bench.turn()
    histogram = bench.core.counters.held[Lane.LOW]
    assert histogram.count == 1
    assert histogram.max_us == pytest.approx(5_000, rel=0.1)
