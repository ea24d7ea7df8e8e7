"""Handling: what processes say of their handlers, by topic: how long they take, and which take too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from lanebus.wire.lanes import Lane
from lanebus.wire.reports import TopicTimes

MAX_TOPICS: Final = 64
"""Topics of one process that are remembered; those that were told of least lately go."""
LATELY_S: Final = 60.0
"""What was too slow within so long is so still, as far as anybody can tell."""
OFTEN: Final = 0.01
"""From this share of its events on a topic is too slow, and not only sometimes."""


class Told(NamedTuple):
    """What was told of one topic on one lane."""

    times: TopicTimes
    at: float
    """When it was too slow last; in the far past for never."""
    over: int
    """Of how many events that was told then."""
    events: int
    """And of how many since the report before."""


def take(topics: dict[tuple[str, Lane], Told], reports: Sequence[TopicTimes], now: float) -> None:
    """Take in what a ping says."""
    for times in reports:
        before = topics.pop((times.topic, times.lane), None)
        over, events = times.over_budget, times.events
        if before is not None:
            over -= before.times.over_budget
            events -= before.times.events
        if over > 0:
            told = Told(times, now, over, max(events, over))
        else:
            told = Told(times, float("-inf"), 0, 0) if before is None else before._replace(times=times)
        topics[times.topic, times.lane] = told
    while len(topics) > MAX_TOPICS:
        del topics[next(iter(topics))]


def slow(topics: dict[tuple[str, Lane], Told], now: float) -> list[Told]:
    """Topics whose handlers took longer than they may within the last minute, the slowest first."""
    found = [each for each in topics.values() if now - each.at <= LATELY_S]
    return sorted(found, key=lambda each: -each.times.max_us)


def rows(topics: dict[tuple[str, Lane], Told]) -> list[dict[str, Any]]:
    """A row of plain values for each topic, those first on which most time is spent; times in milliseconds."""
    found = sorted((each.times for each in topics.values()), key=lambda times: -times.mean_us * times.events)
    return [
        {
            "topic": times.topic,
            "lane": times.lane.label,
            "events": times.events,
            "mean_ms": times.mean_us / 1e3,
            "p50_ms": times.p50_us / 1e3,
            "p99_ms": times.p99_us / 1e3,
            "max_ms": times.max_us / 1e3,
            "budget_ms": times.budget_us / 1e3 or None,
            "over_budget": times.over_budget,
        }
        for times in found
    ]
