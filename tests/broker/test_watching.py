"""Watchers know all instances of all services, and hear of every change once a turn."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Services
from lanebus.wire.services import ENTRIES, Health, ServiceState


class Watcher:
    """A server that watches, and what it was told."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.peer = Peer(bench, "server:watcher").attach()

    def told(self) -> list[Services]:
        """What it was told since the last call."""
        self.bench.turn()
        messages = [message for kind, message in self.peer.messages if kind is Kind.SERVICES]
        self.peer.messages.clear()
        return messages

    def changes(self) -> list[tuple[str, str, ServiceState]]:
        """The changes since the last call."""
        told = self.told()
        assert all(message.of == 0 for message in told)
        return [(each.service, each.name, each.state) for message in told for each in message.entries]


@pytest.fixture
def watcher(bench: Bench) -> Watcher:
    watcher = Watcher(bench)
    watcher.peer.ask(Kind.WATCH, what="services")
    watcher.told()
    return watcher


def test_a_watcher_is_told_of_everybody_at_first(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="combat", topics=[], version="1.4", weight=2, tags=["eu"])
    watcher = Watcher(bench)
    assert watcher.told() == []
    watcher.peer.ask(Kind.WATCH, what="services")
    (message,) = watcher.told()
    bus, combat = message.entries
    assert (message.at, message.of, bus.service, bus.name) == (0, 2, "bus", "lanebus")
    assert (combat.service, combat.name, combat.state) == ("combat", "server:a", ServiceState.READY)
    assert (combat.version, combat.weight, combat.tags) == ("1.4", 2, ["eu"])


def test_changes_of_one_turn_come_in_one_message(bench: Bench, watcher: Watcher) -> None:
    server = Peer(bench, "server:a").attach()
    server.request(Kind.REGISTER, service="combat", topics=[], depends_on=["chat"])
    server.request(Kind.REGISTER, service="chat", topics=[])
    assert watcher.changes() == [
        ("combat", "server:a", ServiceState.READY),
        ("chat", "server:a", ServiceState.READY),
    ]
    server.ask(Kind.HEALTH, service="chat", health=Health.DEGRADED, reason="slow")
    assert watcher.changes() == [("chat", "server:a", ServiceState.DEGRADED)]
    server.bye()
    assert set(watcher.changes()) == {
        ("chat", "server:a", ServiceState.GONE),
        ("combat", "server:a", ServiceState.GONE),
    }


def test_a_watcher_that_resumes_is_told_of_everybody_again(bench: Bench, watcher: Watcher) -> None:
    server = Peer(bench, "server:a").attach()
    watcher.peer.cut()
    server.ask(Kind.REGISTER, service="combat", topics=[])
    assert watcher.told() == []
    watcher.peer.attach()
    (message,) = watcher.told()
    assert (message.of, [each.service for each in message.entries]) == (2, ["bus", "combat"])


def test_who_watches_no_longer_or_has_left_is_told_nothing(bench: Bench, watcher: Watcher) -> None:
    server = Peer(bench, "server:a").attach()
    watcher.peer.ask(Kind.WATCH, what="services", on=False)
    server.ask(Kind.REGISTER, service="combat", topics=[])
    assert watcher.told() == []
    watcher.peer.ask(Kind.WATCH, what="services")
    assert len(watcher.told()) == 1
    watcher.peer.bye()
    server.ask(Kind.HEALTH, service="combat", health=Health.STARTING)
    assert watcher.told() == []


def test_many_instances_come_in_parts(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    session = bench.session("server:a")
    for number in range(ENTRIES):
        bench.core.directory.register(session, f"service-{number}", [])
    watcher = Watcher(bench)
    watcher.peer.ask(Kind.WATCH, what="services")
    first, second = watcher.told()
    assert [(each.at, each.of, len(each.entries)) for each in (first, second)] == [
        (0, ENTRIES + 1, ENTRIES),
        (ENTRIES, ENTRIES + 1, 1),
    ]
    assert server.errors == []
