"""A long life: months of players who come once. What is kept, what a step costs and what a return says stay the same.

In `make test` it is a few thousand players; `make longlife` lives two months with a hundred thousand of them, twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Final

import pytest
from tests.cost import cost_of
from tests.link.census import census, grown, objects
from tests.link.long_life import FORGOTTEN_S, PLAYERS, Life

from lanebus.adapters import handler_times, inbox, incoming, speaker
from lanebus.broker import (
    alerts,
    closed,
    departure,
    directory,
    egress,
    flapping,
    handling,
    hellos,
    intake,
    name_rules,
    policies,
    quality,
    refusals,
    strangers,
    violations,
)
from lanebus.wire import history
from lanebus.wire.names import PatternTable

# The limits of what is remembered are replaced by small ones, and the adapters' clock by a number.
pytestmark = pytest.mark.patches

LONG: Final = bool(os.environ.get("LANEBUS_LONG"))
WAVES: Final = 6_300 if LONG else 84
"""Of sixteen players each."""
DAYS: Final = 60
IDLE_S: Final = DAYS * 86_400 / WAVES - FORGOTTEN_S if LONG else 0.0
SLACK: Final = 3
SLACK_BYTES: Final = 512
"""So much more in all containers of a kind, after a third of a life, is no growth."""
MOST_MORE: Final = 1.05
"""The same for sums of many: of objects, of steps and of bytes."""

LIMITS: Final[tuple[tuple[ModuleType, str, int], ...]] = (
    (alerts, "ALERTS_REMEMBERED", 8),
    (alerts, "TOLD_REMEMBERED", 8),
    (closed, "CLOSED_REMEMBERED", 32),
    (departure, "DEAD_REMEMBERED", 8),
    (directory, "MAX_UNCLAIMED", 8),
    (egress, "ORIGINS_ANNOUNCED", 8),
    (flapping, "MAX_PEERS", 8),
    (handler_times, "MAX_TOPICS", 8),
    (handling, "MAX_TOPICS", 4),
    (history, "HISTORY_BYTES", 64),
    (hellos, "ADDRESSES_REMEMBERED", 8),
    (hellos, "NAMES_REMEMBERED", 8),
    (inbox, "MAX_SENDERS", 64),
    (incoming, "MAX_SOURCES", 128),
    (intake, "_TOPICS_REMEMBERED", 32),
    (name_rules, "NAMES_REMEMBERED", 8),
    (policies, "NAMES_KEPT", 32),
    (quality, "CHANGES", 4),
    (refusals, "NAMES_REMEMBERED", 8),
    (speaker, "_REMEMBERED", 32),
    (strangers, "STRANGERS_REMEMBERED", 8),
    (violations, "NAMES_REMEMBERED", 8),
)
"""What is remembered up to a limit, which a life of months reaches: here it is reached in the first waves."""


@pytest.fixture
def small_memories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is remembered up to a limit is full soon."""
    for module, name, limit in LIMITS:
        assert getattr(module, name) > limit
        monkeypatch.setattr(module, name, limit)
    monkeypatch.setattr(PatternTable.__init__, "__defaults__", (32,))


class Look:
    """What there is at one moment of a life, and what things cost: all of it at rest, and a wave after the same things.

    Args:
        come_back: lets everybody who stays come back, and tells of the frames and bytes that it took.
    """

    def __init__(self, life: Life, come_back: Callable[[], tuple[int, int]]) -> None:
        self.frames, self.bytes = come_back()
        life.wave()
        self.lines = cost_of(life.wave).lines
        life.rest()
        self.census = census(broker=life.net.core, **{each.name: each.adapter for each in life.stay})
        self.objects = objects()

    @property
    def sums(self) -> dict[str, int]:
        """What must not become more."""
        return {
            "objects": self.objects,
            "lines of a wave": self.lines,
            "frames of a return": self.frames,
            "bytes of a return": self.bytes,
        }


@pytest.mark.longlife
@pytest.mark.usefixtures("small_memories")
@pytest.mark.parametrize("brokers_die", [False, True], ids=["one broker", "broker after broker"])
def test_after_any_number_of_players_everything_is_as_it_was(
    brokers_die: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(monkeypatch, idle_s=IDLE_S)
    come_back = life.restart_broker if brokers_die else life.cut
    looks = []
    for _ in range(3):
        for wave in range(WAVES // 3):
            life.wave()
            if wave % 28 == 13:
                come_back()
            elif wave % 28 == 27:
                life.cut()
        looks.append(Look(life, come_back))
    first, second, last = looks
    assert life.players > WAVES * PLAYERS
    # What fluctuates is more by chance once, and not each time.
    since_first = grown(first.census, second.census, SLACK, SLACK_BYTES)
    since_second = grown(second.census, last.census, SLACK, SLACK_BYTES)
    assert {way: since_second[way] for way in since_first if way in since_second} == {}
    for what, count in last.sums.items():
        assert count <= first.sums[what] * MOST_MORE, f"{what}: {[look.sums[what] for look in looks]}"
