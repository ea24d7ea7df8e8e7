"""Servers that watch are told of alerts: those that last at first, then what begins and ends, and all again."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.alerts import BROKER, AlertKind
from lanebus.conf.model import AlertsConfig
from lanebus.wire.alerts import ALERT_ENTRIES, AlertNews
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane

MEMORY, ERRORS = AlertKind.MEMORY, AlertKind.ERROR_BUDGET


@pytest.fixture
def bench() -> Bench:
    return Bench(small_config(alerts=AlertsConfig(memory_bytes=1000)))


@pytest.fixture
def server(bench: Bench) -> Peer:
    """A server that watches."""
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.WATCH, what="alerts")
    bench.turn()
    assert told(server) == [AlertNews(entries=[], begins=True, ends=True)]
    return server


def told(peer: Peer) -> list[AlertNews]:
    """What a server was told since it was last asked."""
    found = [message for kind, message in peer.messages if kind is Kind.ALERTS]
    peer.messages.clear()
    return found


def memory(bench: Bench, resident: int) -> None:
    bench.core.bus.memory = resident, None
    bench.core.watchdogs.memory.look(bench.now)
    bench.turn()


def changes(messages: list[AlertNews]) -> list[tuple[str, str, bool]]:
    return [(each.kind, each.peer, each.is_over) for message in messages for each in message.entries]


def test_a_watcher_is_told_of_the_beginning_and_the_end(bench: Bench, server: Peer) -> None:
    bystander = Peer(bench, "server:b").attach()
    memory(bench, 1500)
    (message,) = told(server)
    assert (message.begins, message.ends) == (False, False)
    (entry,) = message.entries
    assert (entry.kind, entry.peer, entry.lane, entry.is_over) == ("memory", BROKER, None, False)
    assert (entry.lasted_ms, entry.held_back) == (0, 0)
    assert entry.figures["resident_bytes"] == entry.figures["peak_resident_bytes"] == 1500
    bench.advance(2.5)
    memory(bench, 100)
    ((entry,),) = (message.entries for message in told(server))
    assert (entry.is_over, entry.lasted_ms, entry.figures["resident_bytes"]) == (True, 2500, 100)
    assert told(bystander) == []


def test_what_happens_in_one_turn_is_one_message_in_its_order(bench: Bench, server: Peer) -> None:
    budget = bench.core.watchdogs.error_budget
    for name, share in (("player:1", 0.9), ("player:2", 1.0), ("player:1", 0.1)):
        budget.look(name, share, bench.now)
    bench.turn()
    (message,) = told(server)
    assert changes([message]) == [
        ("error_budget", "player:1", False),
        ("error_budget", "player:2", False),
        ("error_budget", "player:1", True),
    ]


def test_who_begins_to_watch_is_told_of_what_lasts_and_was_told(bench: Bench) -> None:
    alerts = bench.core.alerts
    alerts.end(alerts.begin(ERRORS, "player:1", 0.0, {}), 0.0)
    alerts.begin(ERRORS, "player:1", 0.0, {})
    alerts.begin(AlertKind.SLOW_RECEIVER, "player:2", 0.0, {}, lane=Lane.LOW)
    server = Peer(bench, "server:a").attach()
    bench.now = 0.5
    server.ask(Kind.WATCH, what="alerts")
    bench.turn()
    (message,) = told(server)
    assert (message.begins, message.ends) == (True, True)
    (entry,) = message.entries
    assert (entry.peer, entry.lane, entry.lasted_ms) == ("player:2", Lane.LOW, 500)


def test_a_watcher_that_was_away_is_told_of_what_lasts_anew(bench: Bench, server: Peer) -> None:
    memory(bench, 1500)
    told(server)
    route = server.routes[Lane.CRITICAL]
    assert route is not None
    server.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    memory(bench, 100)
    bench.core.watchdogs.error_budget.look("server:a", 0.9, bench.now)
    bench.turn()
    assert told(server) == []
    server.attach()
    messages = told(server)
    assert changes(messages) == [("error_budget", "server:a", False)]
    assert (messages[0].begins, messages[-1].ends) == (True, True)
    memory(bench, 100)
    assert told(server) == []


def test_long_news_are_several_messages(bench: Bench, server: Peer) -> None:
    count = 2 * ALERT_ENTRIES + 1
    for number in range(count):
        bench.core.watchdogs.error_budget.look(f"player:{number}", 0.9, bench.now)
    bench.turn()
    late = Peer(bench, "server:b").attach()
    late.ask(Kind.WATCH, what="alerts")
    bench.turn()
    for peer in (server, late):
        messages = told(peer)
        assert [len(message.entries) for message in messages] == [ALERT_ENTRIES, ALERT_ENTRIES, 1]
        assert [(each.begins, each.ends) for each in messages] == [
            (peer is late, False),
            (False, False),
            (False, peer is late),
        ]


def test_who_does_not_watch_any_more_or_is_gone_is_told_nothing(bench: Bench, server: Peer) -> None:
    other = Peer(bench, "server:b").attach()
    other.ask(Kind.WATCH, what="alerts")
    bench.turn()
    server.ask(Kind.WATCH, what="alerts", on=False)
    other.bye()
    memory(bench, 1500)
    assert told(server) == []
    assert not bench.core.news.alerts._watchers


def test_players_may_not_watch(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    player.request(Kind.WATCH, what="alerts")
    bench.turn()
    assert player.errors == [405]
