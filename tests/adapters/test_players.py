"""What a server knows of players: from changes, from lists, and after the broker's restart."""

import logging
from collections.abc import Iterable
from typing import Any

import pytest
from tests.adapters.parts import nothing_came

from lanebus.adapters.players import Player, PlayerChange, Players
from lanebus.wire.lanes import Lane
from lanebus.wire.presence import Presence, PresenceEntry, What
from lanebus.wire.quality import Degree

NOW = 100.0


def entry(
    name: str,
    what: What,
    quality: Degree = Degree.GOOD,
    before: Degree | None = None,
    reason: str = "",
) -> PresenceEntry:
    return PresenceEntry(f"player:{name}", what, quality, before or quality, reason, 4_000, 1, 2, 1_500)


class Scene:
    """The players of a server that is told of everything."""

    def __init__(self) -> None:
        self.players = Players(nothing_came())
        self.players.watch(on=True)
        self.seen: list[PlayerChange] = []
        for handlers in self.players.handlers.values():
            handlers.append(self.seen.append)

    def told(self, entries: Iterable[PresenceEntry], **terms: Any) -> list[tuple[str, str]]:
        """What the program is told then."""
        self.seen.clear()
        self.players.told(Lane.CRITICAL, Presence(entries=list(entries), **terms), NOW)
        self.players.tell()
        return [(change.player.name[7:], change.what.value) for change in self.seen]

    def list(self, *entries: PresenceEntry, recovering: bool = False) -> list[tuple[str, str]]:
        """The same for a list of all."""
        return self.told(entries, begins=True, ends=True, recovering=recovering)

    def states(self) -> dict[str, str]:
        return {name[7:]: player.state for name, player in self.players.items()}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_who_is_there_at_first_has_joined(scene: Scene) -> None:
    assert scene.list(entry("1", What.JOINED), entry("2", What.AWAY, Degree.LOST)) == [
        ("1", "joined"),
        ("2", "joined"),
        ("2", "away"),
    ]
    assert scene.states() == {"1": "up", "2": "away"}
    assert scene.players["player:1"] == Player("player:1", "up", Degree.GOOD, "", 96.0, 1, 2, 1.5)
    assert repr(scene.players) == "<Players 2>"


def test_a_players_life_is_told_as_it_happens(scene: Scene) -> None:
    steps = [
        entry("1", What.JOINED, Degree.ESTIMATING),
        entry("1", What.QUALITY, Degree.POOR, Degree.ESTIMATING, "jitter 150 ms"),
        entry("1", What.AWAY, Degree.LOST, reason="no link"),
        entry("1", What.RESUMED, Degree.ESTIMATING),
        entry("1", What.LEFT, reason="bye"),
    ]
    assert scene.told(steps) == [("1", step.what.value) for step in steps]
    assert [(change.before.value, change.reason) for change in scene.seen] == [
        ("estimating", ""),
        ("estimating", "jitter 150 ms"),
        ("poor", "no link"),
        ("lost", ""),
        ("good", "bye"),
    ]
    assert scene.states() == {}


def test_a_list_tells_what_was_missed(scene: Scene) -> None:
    scene.list(*(entry(name, What.JOINED) for name in "1234"))
    assert scene.list(
        entry("1", What.JOINED),
        entry("2", What.AWAY, Degree.LOST),
        entry("3", What.JOINED, Degree.POOR),
        entry("5", What.JOINED),
    ) == [("2", "away"), ("3", "quality"), ("5", "joined"), ("4", "left")]
    assert scene.list(entry("2", What.JOINED)) == [
        ("2", "resumed"),
        ("1", "left"),
        ("3", "left"),
        ("5", "left"),
    ]


def test_a_long_list_comes_in_several_messages(scene: Scene) -> None:
    scene.list(*(entry(name, What.JOINED) for name in "123"))
    assert scene.told([entry("1", What.JOINED)], begins=True) == []
    assert scene.told([entry("2", What.JOINED)]) == []
    assert scene.told([], ends=True) == [("3", "left")]
    assert scene.told([entry("4", What.JOINED)]) == [("4", "joined")]
    assert set(scene.states()) == {"1", "2", "4"}


def test_the_end_of_a_list_that_never_began_ends_nothing(scene: Scene) -> None:
    scene.list(entry("1", What.JOINED))
    assert scene.told([], ends=True) == []
    assert scene.states() == {"1": "up"}


def test_whom_a_new_broker_has_not_met_is_away_until_its_recovery_is_over(scene: Scene) -> None:
    scene.list(*(entry(name, What.JOINED) for name in "123"))
    assert scene.list(entry("1", What.JOINED), recovering=True) == [("2", "away"), ("3", "away")]
    assert scene.list(entry("1", What.JOINED), recovering=True) == []
    assert scene.told([entry("2", What.JOINED)]) == [("2", "resumed")]
    assert scene.list(entry("1", What.JOINED), entry("2", What.JOINED)) == [("3", "left")]
    assert scene.states() == {"1": "up", "2": "up"}


def test_who_left_unknown_is_no_news(scene: Scene) -> None:
    assert scene.told([entry("1", What.LEFT)]) == []


def test_what_comes_after_the_watch_is_ignored(scene: Scene) -> None:
    scene.list(entry("1", What.JOINED))
    scene.players.watch(on=False)
    assert scene.states() == {}
    assert scene.told([entry("1", What.JOINED)]) == []


def test_a_handler_that_fails_is_logged_and_the_others_run(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(change: PlayerChange) -> None:
        raise RuntimeError(change.player.name)

    scene.players.handlers[What.JOINED].insert(0, fail)
    with caplog.at_level(logging.ERROR):
        assert scene.list(entry("1", What.JOINED)) == [("1", "joined")]
    assert "the handler of players that joined failed" in caplog.text


def test_nothing_is_kept_for_handlers_that_there_are_not() -> None:
    players = Players(nothing_came())
    players.watch(on=True)
    players.told(Lane.CRITICAL, Presence(entries=[entry("1", What.JOINED)]), NOW)
    assert len(players.news) == 0
    assert len(players) == 1
