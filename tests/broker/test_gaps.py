"""A receiver that falls behind is told which sender's events it has missed, before any later one."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.wire.batches import EVENT_AFTER_GAP, EVENT_LATEST
from lanebus.wire.outcomes import Outcome, Reason

SLOW = (Outcome.DROPPED, Reason.SLOW_RECEIVER)


@pytest.fixture
def server(bench: Bench) -> Peer:
    """Who sends."""
    return Peer(bench, "server:a").attach()


@pytest.fixture
def player(bench: Bench) -> Peer:
    """Who falls behind."""
    return Peer(bench, "player:1").attach()


def fall_behind(bench: Bench, server: Peer, player: Peer) -> list[int]:
    """Send more to everybody than the player's queue holds, and return what was dropped."""
    for _ in range(8):
        for _ in range(3):
            server.send("t", "all", payload=bytes(300))
        bench.advance(0.1)
        player.ack()
    bench.advance(0.3)
    return [number for number in range(1, 25) if server.end_of(number) == SLOW]


def catch_up(bench: Bench, player: Peer) -> None:
    """Settle what arrives until nothing more does."""
    while player.unsettled:
        player.settle_all()
        bench.advance(0.5)


def after_a_gap(player: Peer) -> list[int]:
    """Numbers of the events that said so."""
    return [got.number for got in player.got if got.flags & EVENT_AFTER_GAP]


def test_the_first_event_after_dropped_ones_says_so(bench: Bench, server: Peer, player: Peer) -> None:
    dropped = fall_behind(bench, server, player)
    assert dropped
    catch_up(bench, player)
    assert after_a_gap(player) == [dropped[-1] + 1]


def test_a_gap_is_told_again_with_an_event_that_is_sent_again(
    bench: Bench, server: Peer, player: Peer
) -> None:
    dropped = fall_behind(bench, server, player)
    while dropped[-1] + 1 not in player.numbers():
        player.settle(player.unsettled[:3])
        bench.advance(0.3)
    player.cut()
    bench.advance(0.1)
    player.attach()
    bench.advance(0.1)
    catch_up(bench, player)
    assert set(after_a_gap(player)) == {dropped[-1] + 1}
    assert len(after_a_gap(player)) in (1, 2)


def test_a_gap_of_one_sender_is_not_told_with_anothers_events(
    bench: Bench, server: Peer, player: Peer
) -> None:
    other = Peer(bench, "server:b").attach()
    dropped = fall_behind(bench, server, player)
    other.send("t", "player:1")
    bench.advance(0.1)
    catch_up(bench, player)
    assert [(got.sender, got.number) for got in player.got if got.flags] == [("server:a", dropped[-1] + 1)]


def test_a_second_gap_is_told_as_well(bench: Bench, server: Peer, player: Peer) -> None:
    first = fall_behind(bench, server, player)
    catch_up(bench, player)
    sent = 24
    for _ in range(8):
        for _ in range(3):
            server.send("t", "all", payload=bytes(300))
            sent += 1
        bench.advance(0.1)
        player.ack()
    bench.advance(0.3)
    second = [number for number in range(25, sent + 1) if server.end_of(number) == SLOW]
    assert second
    catch_up(bench, player)
    assert after_a_gap(player) == [first[-1] + 1, second[-1] + 1]
    assert bench.problems() == []


def test_what_was_on_its_way_before_others_were_dropped_does_not_tell_of_them(
    bench: Bench, server: Peer, player: Peer
) -> None:
    # All at once: the first ones wait for company with the link when later ones are dropped for want of room.
    server.send_batch([server.event("t", "all", payload=bytes(300)) for _ in range(24)])
    bench.advance(0.3)
    dropped = [number for number in range(1, 25) if server.end_of(number) == SLOW]
    assert dropped
    assert dropped[0] > 1
    catch_up(bench, player)
    assert after_a_gap(player) == [dropped[-1] + 1]
    assert bench.problems() == []


def test_those_who_told_are_forgotten_when_their_events_have_ended(
    bench: Bench, server: Peer, player: Peer
) -> None:
    fall_behind(bench, server, player)
    catch_up(bench, player)
    bench.advance(2.0)
    receiving = bench.receiving("player:1")
    assert (receiving.gaps, receiving.tellers, receiving.untold) == (set(), {}, set())


def told_by(bench: Bench, server: Peer, player: Peer, **terms: object) -> int:
    """Let an event on terms be the one that is to tell of a gap, while it waits with its link; its number."""
    dropped = fall_behind(bench, server, player)
    assert dropped
    catch_up(bench, player)
    receiving = bench.receiving("player:1")
    receiving.gaps.add(bench.session("server:a"))
    server.send("first", "player:1")
    bench.advance(0.001)
    receiving.tellers.clear()
    receiving.gaps.add(bench.session("server:a"))
    number = server.send("second", "player:1", **terms)  # type: ignore[arg-type]
    bench.turn()
    assert [event.number for event in receiving.tellers] == [number]
    assert number not in player.numbers()
    return number


def test_a_newer_value_tells_of_the_gap_that_the_one_in_its_place_was_to_tell(
    bench: Bench, server: Peer, player: Peer
) -> None:
    told_by(bench, server, player, flags=EVENT_LATEST, key="k")
    newer = server.send("second", "player:1", flags=EVENT_LATEST, key="k")
    bench.advance(0.1)
    assert after_a_gap(player)[-1] == newer


def test_what_is_too_late_leaves_the_gap_to_the_next_one(bench: Bench, server: Peer, player: Peer) -> None:
    late = told_by(bench, server, player, ttl=20)
    following = server.send("third", "player:1")
    bench.advance(0.1)
    assert late not in player.numbers()
    assert after_a_gap(player)[-1] == following
