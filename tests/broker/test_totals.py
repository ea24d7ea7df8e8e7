"""Sums over sessions: what one of them had counted stays when it is gone."""

from typing import Any

from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.sweep import SWEEP_S
from lanebus.broker.totals import Totals
from lanebus.broker.traffic import Traffic
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason


def figures(totals: Totals) -> dict[str, Any]:
    """All counters, flat."""
    found: dict[str, Any] = {"sessions": totals.sessions}
    for lane in LANES:
        for role, lanes in totals.traffic.items():
            for name in Traffic.COUNTERS:
                found[f"{role} {lane.label} {name}"] = getattr(lanes[lane], name)
        for (outcome, reason), number in totals.reasons[lane].items():
            found[f"{lane.label} {outcome.label} {reason}"] = number
        found[f"{lane.label} delivered"] = totals.events[lane].ended[Outcome.DELIVERED]
        found[f"{lane.label} withheld"] = sum(totals.withheld[lane])
        found[f"{lane.label} parts"] = totals.parts[lane].accepted
    return found


def test_no_figure_falls_while_sessions_end_and_are_forgotten(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    for number in range(3):
        player.send("t", "server:a", Lane.LOW, b"12345")
        server.send("t", "player:1", Lane.CRITICAL, b"1" * number)
    server.send("t", "player:nobody", Lane.LOW)
    bench.advance(0.3)
    server.settle_all()
    player.settle_all()
    bench.advance(0.3)
    registry = bench.core.registry
    last = figures(registry.summed())
    assert last["client low events_in"] == 3
    assert last["client low bytes_in"] == 3 * 6
    assert last["client critical events_out"] == last["server low events_out"] == 3
    assert last["low refused unknown_destination"] == 1

    def check() -> None:
        nonlocal last
        now = figures(registry.summed())
        assert all(now[name] >= value for name, value in last.items()), (last, now)
        last = now

    server.send("t", "player:1")
    bench.advance(0.1)
    check()
    player.bye()
    check()
    bench.advance(SWEEP_S)
    check()
    assert registry.ended == {}, "who has nothing under way is summed up with the next sweep"
    bench.advance(2.0)
    check()
    server.bye()
    bench.advance(2.0)
    check()
    assert list(registry.sessions()) == []
    assert last["client critical events_out"] == 4
    assert last["critical unknown receiver_gone"] == 1
    assert registry.totals.sessions == 2


def test_a_session_that_has_ended_with_events_under_way_is_among_the_sums(bench: Bench) -> None:
    Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    player.send("t", "server:a")
    bench.advance(0.1)
    player.bye()
    registry = bench.core.registry
    assert [session.name for session in registry.ended.values()] == ["player:1"]
    assert registry.totals.sessions == 0
    assert registry.summed().traffic[Role.CLIENT][Lane.CRITICAL].events_in == 1


def test_sums_are_figures_of_their_own(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    player.send("t", "player:nobody")
    player.bye()
    bench.advance(2.0)
    registry = bench.core.registry
    summed = registry.summed()
    summed.reasons[Lane.CRITICAL][Outcome.REFUSED, Reason.NOT_ALLOWED] += 1
    summed.traffic[Role.CLIENT][Lane.CRITICAL].events_in += 1
    summed.events[Lane.CRITICAL].accepted += 1
    summed.withheld[Lane.CRITICAL][0] += 1
    again = registry.summed()
    assert again.reasons[Lane.CRITICAL] == {(Outcome.REFUSED, Reason.NOT_ALLOWED): 1}
    assert again.traffic[Role.CLIENT][Lane.CRITICAL].events_in == 1
    assert again.events[Lane.CRITICAL].accepted == 1
    assert again.withheld[Lane.CRITICAL] == [0, 0, 0, 0]
