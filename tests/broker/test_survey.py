"""A survey counts every session once, in whatever portions it is made, and no sum of it falls."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.portions import Work, complete
from lanebus.broker.survey import Survey, survey
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.pings import Ping


def finish(work: Work[Survey], now: float) -> Survey:
    """The rest of a survey that has begun."""
    while True:
        try:
            work.send(now)
        except StopIteration as stop:
            found: Survey = stop.value
            return found


def whole(bench: Bench) -> Survey:
    return complete(survey(bench.core.registry, bench.now), bench.now)


def test_what_waits_and_who_is_there_is_counted(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    for number in range(2):
        Peer(bench, f"player:{number}").attach()
    server.send_batch([server.event("t", "player:0", payload=bytes(900)) for _ in range(4)])
    bench.turn()
    found = whole(bench)
    assert found.roles == {Role.SERVER: 1, Role.CLIENT: 2}
    lane = found.lanes[Lane.CRITICAL]
    assert lane.waiting_sessions == 1
    assert lane.queued_events + lane.unsettled_events == 4
    assert 0 < lane.fullest_bytes <= lane.queued_bytes
    assert found.lanes[Lane.LOW].queued_events == 0


def test_the_mean_ping_is_that_of_players_with_links() -> None:
    bench = Bench(small_config())
    peers = [Peer(bench, name).attach() for name in ("player:1", "player:2", "player:3", "server:a")]
    assert whole(bench).ping_mean_ms is None
    for peer, rtt_ms in zip(peers, (10, 30, 700, 900), strict=True):
        peer.say(Kind.PING, Ping(0, rtt_ms * 1000, []))
    route = peers[2].routes[Lane.CRITICAL]
    assert route is not None
    peers[2].cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    assert whole(bench).ping_mean_ms == pytest.approx(20.0)


@pytest.mark.parametrize("steps", range(8))
def test_who_leaves_in_the_middle_is_counted_once_and_with_all_it_did(bench: Bench, steps: int) -> None:
    server = Peer(bench, "server:a").attach()
    players = [Peer(bench, f"player:{number}").attach() for number in range(3)]
    for player in players:
        player.send("t", "server:a")
    bench.advance(0.3)
    before = whole(bench)
    work = survey(bench.core.registry, bench.now)
    next(work)
    for _ in range(steps):
        work.send(bench.now)
    for player in players:
        player.bye()
    server.settle_all()
    bench.advance(2.0)
    assert not bench.core.registry.ended
    found = finish(work, bench.now)
    for lane in LANES:
        assert found.totals.events[lane].accepted == before.totals.events[lane].accepted
    assert found.totals.sessions == before.totals.sessions
    after = whole(bench)
    assert after.totals.sessions == before.totals.sessions
    assert after.totals.traffic[Role.CLIENT][Lane.NORMAL].events_in == 3 or (
        after.totals.traffic[Role.CLIENT][Lane.CRITICAL].events_in == 3
    )
