"""Retries: what is shown of parts sent again, of suspects, and of what waits until it can be tried."""

from typing import Any

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.retries import retries
from lanebus.conf.model import SessionsConfig
from lanebus.wire.lanes import Lane

NOTHING = {
    "resend_events": 0,
    "resent_events": 0,
    "most_sendings": 0,
    "suspect_events": 0,
    "most_deliveries": 0,
    "parked_batches": 0,
    "unresolved_events": 0,
    "oldest_age_s": 0.0,
}


def shown(bench: Bench, name: str, lane: Lane = Lane.CRITICAL) -> dict[str, Any]:
    """The retry queues that are not empty, and since when."""
    figures = retries(bench.session(name), lane, bench.now)
    assert figures.keys() == NOTHING.keys()
    return {what: figure for what, figure in figures.items() if figure}


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


def test_what_goes_well_is_not_retried(bench: Bench, server: Peer) -> None:
    Peer(bench, "player:1").attach()
    server.send("t", "player:1")
    bench.advance(0.1)
    assert shown(bench, "player:1") == shown(bench, "server:a") == {}


def test_parts_on_lost_links_wait_to_be_sent_again_and_count_as_resent_until_they_are_settled(
    bench: Bench, server: Peer
) -> None:
    player = Peer(bench, "player:1").attach()
    server.burst(3, "player:1", size=10)
    bench.advance(0.1)
    sent_at = bench.now - 0.1
    for sendings in (2, 3):
        player.cut()
        player.attach()
        bench.advance(0.1)
        figures = shown(bench, "player:1")
        assert (figures["resent_events"], figures["most_sendings"]) == (3, sendings)
    assert figures["oldest_age_s"] == pytest.approx(bench.now - sent_at)
    player.settle(player.unsettled[:1])
    bench.turn()
    assert shown(bench, "player:1")["resent_events"] == 2
    player.settle_all()
    bench.turn()
    assert shown(bench, "player:1") == {}
    # What is settled is not kept for long.
    bench.advance(1.5)
    assert bench.receiving("player:1").retried == {}


def test_parts_whose_lane_is_not_back_wait_to_be_sent_again(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    for lane in (Lane.NORMAL, Lane.LOW):
        server.send("t", "player:1", lane)
    bench.advance(0.3)
    player.cut()
    player.say_hello()
    bench.turn()
    for lane in (Lane.NORMAL, Lane.LOW):
        assert shown(bench, "player:1", lane)["resend_events"] == 1
    player.attach()
    bench.advance(0.3)
    for lane in (Lane.NORMAL, Lane.LOW):
        figures = shown(bench, "player:1", lane)
        assert (figures["resent_events"], figures["most_sendings"]) == (1, 2)
        assert "resend_events" not in figures


def test_suspects_are_shown_with_their_deliveries(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    server.burst(3, "player:1", size=10)
    bench.advance(0.1)
    for deliveries in (2, 3):
        player.cut()
        bench.advance(0.1)
        player = Peer(bench, "player:1").attach()
        bench.advance(0.1)
        figures = shown(bench, "player:1")
        assert (figures["suspect_events"], figures["most_deliveries"]) == (3, deliveries)
    player.settle_all()
    bench.advance(0.1)
    assert shown(bench, "player:1")["suspect_events"] == 2


def test_batches_that_wait_for_a_request_are_shown_at_their_senders(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    gateway.open(2, "player:2")
    Peer(bench, "server:a").attach()
    event = gateway.event("t", "server:a", Lane.LOW, session=2)
    gateway.send_batch([event], Lane.LOW, after=gateway.request_number + 1)
    bench.advance(2.0)
    assert shown(bench, "player:1", Lane.LOW) == {}
    assert shown(bench, "player:2", Lane.LOW) == {"parked_batches": 1, "oldest_age_s": pytest.approx(2.0)}
    gateway.open(3, "player:3")
    assert shown(bench, "player:2", Lane.LOW) == {}


def test_events_that_wait_for_a_service_are_shown_at_their_sender() -> None:
    sessions = SessionsConfig(grace_s=10.0, recovery_s=8.0, ping_interval_s=1.0, lease_s=4.0)
    bench = Bench(small_config(sessions=sessions))
    server = Peer(bench, "server:a").attach()
    server.send("t", "service:combat")
    server.send("t", "service:combat")
    bench.advance(1.0)
    assert shown(bench, "server:a") == {"unresolved_events": 2, "oldest_age_s": pytest.approx(1.0)}
