"""Throttling: who is over a limit keeps its events, is told so once, and loses nothing by it."""

from random import Random
from typing import Any

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.throttling import throttled
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Throttled

LIMITED = Policy(events_per_s=10.0, events_burst=16)
"""At once: eight events on the critical lane, six on the normal one, two on the low one; and what others lend."""


def make_bench(policy: Policy = LIMITED) -> Bench:
    return Bench(small_config(policy=PolicyConfig(client=policy)))


@pytest.fixture
def bench() -> Bench:
    return make_bench()


@pytest.fixture
def server(bench: Bench) -> Peer:
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["**"])
    return server


@pytest.fixture
def player(bench: Bench, server: Peer) -> Peer:
    return Peer(bench, "player:1").attach()


def throttles(peer: Peer) -> list[Throttled]:
    """All that a peer was told of limits."""
    return [entry for kind, message in peer.messages if kind is Kind.THROTTLE for entry in message.entries]


def say_again(player: Peer, first: int, lane: Lane = Lane.NORMAL) -> None:
    """Send what is unsettled from a number on again."""
    events = [event for number, event in player.sender(lane).unsettled.items() if number >= first]
    player.send_batch(events, lane)


def burst(player: Peer, count: int, lane: Lane = Lane.NORMAL, **more: Any) -> None:
    """Send events to the service, in one batch."""
    events = [player.event("t", None, lane, b"", **more) for _ in range(count)]
    player.send_batch(events, lane)


def test_what_is_within_the_burst_passes(bench: Bench, server: Peer, player: Peer) -> None:
    burst(player, 6)
    bench.advance(0.1)
    assert server.numbers(Lane.NORMAL) == [1, 2, 3, 4, 5, 6]
    assert throttles(player) == []
    assert throttled(bench.session("player:1"), Lane.NORMAL, bench.now) is None


def test_the_first_event_over_the_limit_is_named_with_the_limit_and_the_time(
    bench: Bench, server: Peer, player: Peer
) -> None:
    burst(player, 20)
    bench.turn()
    (entry,) = throttles(player)
    accepted = bench.session("player:1").sending[Lane.NORMAL].book.accepted
    assert 6 <= accepted <= 9
    assert (entry.session, entry.lane, entry.number) == (0, Lane.NORMAL, accepted + 1)
    assert entry.limit == "events_per_s"
    assert 0 < entry.retry_after_ms < 2_000
    assert (entry.events_per_s, entry.bytes_per_s) == (10.0, 0.0)
    over = throttled(bench.session("player:1"), Lane.NORMAL, bench.now)
    assert over is not None
    assert over.limit == "events_per_s"
    bench.advance(0.1)
    assert server.numbers(Lane.NORMAL) == list(range(1, accepted + 1))


def test_what_comes_again_after_the_wait_is_accepted_in_order(
    bench: Bench, server: Peer, player: Peer
) -> None:
    burst(player, 20)
    for _ in range(20):
        bench.turn()
        entry = throttles(player)[-1]
        bench.advance(entry.retry_after_ms / 1e3)
        say_again(player, entry.number)
        server.settle_all()
        bench.advance(0.3)
        server.settle_all()
        player.ping()
    bench.advance(0.5)
    assert server.numbers(Lane.NORMAL) == list(range(1, 21))
    assert not player.waits
    assert bench.problems() == []


def test_what_is_under_way_behind_it_is_passed_over_in_silence(
    bench: Bench, server: Peer, player: Peer
) -> None:
    burst(player, 20)
    bench.turn()
    (entry,) = throttles(player)
    bench.advance(3.0)
    # It left before the throttle was read: there is room by now, and order comes first.
    burst(player, 2)
    bench.advance(0.1)
    assert throttles(player) == [entry]
    assert server.numbers(Lane.NORMAL) == list(range(1, entry.number))
    say_again(player, entry.number)
    bench.advance(0.1)
    assert server.numbers(Lane.NORMAL)[-1] >= entry.number


def test_other_lanes_go_on(bench: Bench, server: Peer, player: Peer) -> None:
    burst(player, 20, Lane.LOW)
    bench.turn()
    assert [entry.lane for entry in throttles(player)] == [Lane.LOW]
    burst(player, 7, Lane.CRITICAL)
    bench.advance(0.1)
    assert server.numbers(Lane.CRITICAL) == list(range(1, 8))


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_to_come_as_another_process_gains_no_burst(bench: Bench, server: Peer, says_goodbye: bool) -> None:
    accepted = 0
    for _ in range(3):
        player = Peer(bench, "player:1").attach()
        burst(player, 20)
        bench.turn()
        accepted += bench.session("player:1").sending[Lane.NORMAL].book.accepted
        server.settle_all()
        if says_goodbye:
            player.bye()
            bench.turn()
    assert accepted < 12


def test_nobody_else_behind_the_same_gateway_waits(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:loud")
    gateway.open(2, "player:calm")
    events = [gateway.event("t", None, Lane.NORMAL, session=1) for _ in range(20)]
    events.insert(15, gateway.event("t", None, Lane.NORMAL, session=2))
    gateway.send_batch(events, Lane.NORMAL)
    bench.advance(0.3)
    assert [(entry.session, entry.lane) for entry in throttles(gateway)] == [(1, Lane.NORMAL)]
    assert server.numbers(Lane.NORMAL, sender="player:calm") == [1]
    assert bench.attachment("gateway:g").links[Lane.NORMAL].received == 1  # type: ignore[union-attr]


def test_the_throttles_of_a_turn_come_in_one_message(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2, 3):
        gateway.open(index, f"player:{index}")
    for lane in LANES:
        for index in (1, 2, 3):
            events = [gateway.event("t", None, lane, session=index) for _ in range(40)]
            gateway.send_batch(events, lane)
    bench.turn()
    messages = [message for kind, message in gateway.messages if kind is Kind.THROTTLE]
    assert [len(message.entries) for message in messages] == [9]


def test_who_has_fresh_links_is_told_again(bench: Bench, server: Peer, player: Peer) -> None:
    burst(player, 20)
    player.cut()
    bench.turn()
    bench.advance(0.5)
    before = len(throttles(player))
    held_from = bench.session("player:1").sending[Lane.NORMAL].held_from
    player.attach()
    assert [entry.number for entry in throttles(player)[before:]] == [held_from]


def test_what_was_accepted_and_comes_again_is_free(bench: Bench, server: Peer, player: Peer) -> None:
    burst(player, 6)
    bench.turn()
    for _ in range(50):
        say_again(player, 1)
        bench.turn()
        player.ack()
    assert throttles(player) == []
    assert bench.core.counters.duplicates == 300


def test_replays_are_free_up_to_one_outbox(bench: Bench, server: Peer) -> None:
    bench = make_bench(Policy(events_per_s=10.0, events_burst=16, replay_bytes=1_000))
    Peer(bench, "server:a").attach().ask(Kind.REGISTER, service="s", topics=["**"])
    player = Peer(bench, "player:1").attach()
    session = bench.session("player:1")
    limits = session.limits
    assert limits is not None
    session.sending[Lane.NORMAL].awaited = 90
    throttling = bench.core.throttling
    admitted = [
        throttling.admits(session, limits, Lane.NORMAL, number, 20.0, bench.now, replayed=True)
        for number in range(1, 100)
    ]
    # Fifty for nothing, then as many as the limits give to anybody.
    assert 50 < sum(admitted) < 60
    assert admitted == sorted(admitted, reverse=True)
    bench.turn()
    assert throttles(player)[0].number == sum(admitted) + 1


def test_a_broker_that_was_late_makes_nobody_pay_for_it(bench: Bench, server: Peer, player: Peer) -> None:
    bench.now += 5.0
    bench.core.throttling.broker_was_late(5.0, bench.now)
    burst(player, 50)
    bench.turn()
    assert throttles(player) == []
    bench.now += 2.0
    burst(player, 50)
    bench.turn()
    assert len(throttles(player)) == 1


def test_a_turn_that_took_a_little_longer_is_no_excuse(bench: Bench, server: Peer, player: Peer) -> None:
    bench.core.throttling.broker_was_late(0.05, bench.now)
    burst(player, 50)
    bench.turn()
    assert len(throttles(player)) == 1


def test_bytes_count_as_they_travel(server: Peer) -> None:
    bench = make_bench(Policy(up_bytes_per_s=1_000.0, bytes_burst_s=1.0))
    Peer(bench, "server:a").attach().ask(Kind.REGISTER, service="s", topics=["**"])
    player = Peer(bench, "player:1").attach()
    # Zeros compress well: ten times a thousand bytes are a few hundred on their way.
    player.send_batch([player.event("t", None, Lane.NORMAL, bytes(1_000)) for _ in range(10)], Lane.NORMAL)
    bench.turn()
    assert throttles(player) == []
    noise = Random(1).randbytes(1_000)
    player.send_batch([player.event("t", None, Lane.NORMAL, noise) for _ in range(2)], Lane.NORMAL)
    player.send_batch([player.event("t", None, Lane.NORMAL, noise) for _ in range(2)], Lane.NORMAL)
    bench.turn()
    assert [entry.limit for entry in throttles(player)] == ["up_bytes_per_s"]


def test_an_event_larger_than_the_burst_passes(server: Peer) -> None:
    bench = make_bench(Policy(up_bytes_per_s=100.0, bytes_burst_s=0.5))
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["**"])
    player = Peer(bench, "player:1").attach()
    noise = Random(1).randbytes(900)
    number = player.send("t", None, Lane.NORMAL, noise)
    bench.advance(0.1)
    assert server.numbers(Lane.NORMAL) == [number]
    for _ in range(3):
        player.send("t", None, Lane.NORMAL, noise)
    bench.turn()
    (entry,) = throttles(player)
    # The debt is waited for: nine hundred bytes at a hundred a second.
    assert 5_000 < entry.retry_after_ms < 30_000


def test_held_back_numbers_below_the_lowest_unsettled_one_are_forgotten(
    bench: Bench, server: Peer, player: Peer
) -> None:
    burst(player, 20)
    bench.turn()
    sending = bench.session("player:1").sending[Lane.NORMAL]
    assert sending.held_from
    sending.rebase(sending.held_from + 1)
    assert sending.held_from == 0


def test_a_session_is_not_throttled_any_more_once_it_is_well_within_its_limits(
    bench: Bench, server: Peer, player: Peer
) -> None:
    burst(player, 10)
    bench.turn()
    session = bench.session("player:1")
    (entry,) = throttles(player)
    bench.advance(entry.retry_after_ms / 1e3)
    say_again(player, entry.number)
    bench.turn()
    assert throttled(session, Lane.NORMAL, bench.now) is not None
    bench.advance(3.0)
    assert throttled(session, Lane.NORMAL, bench.now) is None
