"""What a server hears of alerts: from news, from lists, and by handlers that get nothing else."""

import logging
from typing import Any

import msgspec
import pytest
from tests.adapters.hand import Hand

from lanebus.adapters.alerts import WatchedAlerts
from lanebus.adapters.event import Event
from lanebus.wire.alerts import ALERT_TOPIC, AlertEntry, AlertNews
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane


def entry(peer: str = "player:1", *, is_over: bool = False, lasted_ms: int = 0) -> AlertEntry:
    return AlertEntry(
        "slow_receiver", peer, Lane.LOW, is_over, lasted_ms, 2, {"held_bytes": 900, "kind": 7.0}
    )


class Scene:
    """A server that watches, and what its handler was called with."""

    def __init__(self) -> None:
        self.hand = Hand()
        self.alerts: WatchedAlerts = self.hand.core.alerts
        self.alerts.watch(on=True)
        self.events: list[Event] = []
        self.hand.on(ALERT_TOPIC, self.events.append)

    def told(self, *entries: AlertEntry, **terms: bool) -> list[tuple[str, bool]]:
        """What the program is told then."""
        self.events.clear()
        self.alerts.told(Lane.CRITICAL, AlertNews(entries=list(entries), **terms), 1.0)
        self.alerts.tell(self.hand.session)
        return [(event.payload["peer"], event.payload["is_over"]) for event in self.events]

    def list(self, *entries: AlertEntry) -> list[tuple[str, bool]]:
        """The same for a list of those that last."""
        return self.told(*entries, begins=True, ends=True)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_an_alert_is_an_event_of_the_bus(scene: Scene) -> None:
    assert scene.told(entry(lasted_ms=5_250)) == [("player:1", False)]
    (event,) = scene.events
    assert (event.topic, event.sender, event.receiver) == ("bus.alert", "service:bus", "server:a")
    assert (event.id, event.lane, event.redelivered, event.age_ms) == (1, Lane.CRITICAL, False, 5250.0)
    # What it says of itself is not to be covered by a figure.
    assert event.payload == {
        "held_bytes": 900,
        "kind": "slow_receiver",
        "peer": "player:1",
        "lane": "low",
        "is_over": False,
        "lasted_s": 5.25,
        "held_back": 2,
    }
    assert scene.told(entry(is_over=True, lasted_ms=9_000)) == [("player:1", True)]
    (event,) = scene.events
    assert (event.id, event.age_ms, event.payload["lasted_s"]) == (2, 0.0, 9.0)
    # An end without a beginning is none.
    assert scene.told(entry(is_over=True)) == []


def test_one_about_the_broker_has_no_lane(scene: Scene) -> None:
    scene.told(AlertEntry("memory", "", None, False, 0, 0, {}))
    assert scene.events[0].payload["lane"] is None


def test_a_list_tells_what_was_missed(scene: Scene) -> None:
    assert scene.list(entry("player:1"), entry("player:2")) == [("player:1", False), ("player:2", False)]
    assert scene.list(entry("player:2"), entry("player:3")) == [("player:3", False), ("player:1", True)]
    assert scene.list() == [("player:2", True), ("player:3", True)]


def test_a_long_list_comes_in_several_messages(scene: Scene) -> None:
    scene.list(entry("player:1"), entry("player:2"))
    assert scene.told(entry("player:2"), begins=True) == []
    assert scene.told(entry("player:3")) == [("player:3", False)]
    assert scene.told(ends=True) == [("player:1", True)]
    assert scene.told(entry("player:4")) == [("player:4", False)]


def test_the_end_of_a_list_that_never_began_ends_nothing(scene: Scene) -> None:
    scene.list(entry("player:1"))
    assert scene.told(ends=True) == []
    assert scene.told(entry("player:1", is_over=True)) == [("player:1", True)]


def test_what_comes_after_the_watch_is_ignored(scene: Scene) -> None:
    scene.list(entry("player:1"))
    scene.alerts.watch(on=False)
    assert scene.told(entry("player:2")) == []
    scene.alerts.watch(on=True)
    assert scene.list(entry("player:1")) == [("player:1", False)]


def test_a_handler_that_fails_is_logged_and_the_others_run(caplog: pytest.LogCaptureFixture) -> None:
    hand = Hand()
    got: list[Event] = []

    def fail(event: Event) -> None:
        raise RuntimeError(event.payload["peer"])

    for function in (fail, got.append):
        hand.on(ALERT_TOPIC, function)
    hand.core.alerts.watch(on=True)
    hand.core.alerts.told(Lane.CRITICAL, AlertNews(entries=[entry()]), 1.0)
    with caplog.at_level(logging.ERROR):
        hand.core.alerts.tell(hand.session)
    assert len(got) == 1
    assert "the handler of bus.alert failed" in caplog.text


def test_a_schema_makes_the_payload_what_the_handler_wants() -> None:
    class Slow(msgspec.Struct):
        peer: str
        held_bytes: int

    got: list[Any] = []
    hand = Hand()
    hand.session.handlers.add(ALERT_TOPIC, lambda event: got.append(event.payload), Slow)
    hand.core.alerts.watch(on=True)
    hand.core.alerts.told(Lane.CRITICAL, AlertNews(entries=[entry()]), 1.0)
    hand.core.alerts.tell(hand.session)
    assert got == [Slow("player:1", 900)]


def test_without_a_handler_nobody_is_told() -> None:
    hand = Hand()
    hand.core.alerts.watch(on=True)
    hand.core.alerts.told(Lane.CRITICAL, AlertNews(entries=[entry()]), 1.0)
    hand.core.alerts.tell(hand.session)
    late: list[Event] = []
    hand.on(ALERT_TOPIC, late.append)
    hand.core.alerts.tell(hand.session)
    assert late == []


def test_what_the_broker_says_comes_to_the_server(scene: Scene) -> None:
    scene.hand.up()
    scene.hand.say(Kind.ALERTS, AlertNews(entries=[entry()]))
    scene.alerts.tell(scene.hand.session)
    assert [event.payload["peer"] for event in scene.events] == ["player:1"]
