"""What lanebus wants to reach, and whether the figures say that it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Figures = Mapping[str, Mapping[str, Any]]
"""Figures by measure."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One of them: of which measure, what is looked at, and the bound."""

    measure: str
    what: str
    bound: float
    at_least: bool
    unit: str
    """How a figure is written: a format with one place for it."""
    figure: Callable[[Mapping[str, Any]], float | None]

    def target(self) -> str:
        """The bound as text."""
        return ("at least " if self.at_least else "at most ") + self.unit.format(self.bound)


def _ratio(rival: str) -> Callable[[Mapping[str, Any]], float | None]:
    def figure(found: Mapping[str, Any]) -> float | None:
        each = found["rivals"].get(rival)
        return None if each is None else float(each["ours_to_theirs"]["median"])

    return figure


def _row(found: Mapping[str, Any], **wanted: str) -> Mapping[str, Any] | None:
    for row in found["rows"]:
        if all(row[key] == value for key, value in wanted.items()):
            return row  # type: ignore[no-any-return]
    return None


def _p99(bus: str, beside: str) -> Callable[[Mapping[str, Any]], float | None]:
    def figure(found: Mapping[str, Any]) -> float | None:
        row = _row(found, bus=bus, beside=beside)
        return None if row is None else float(row["p99_ms"]["median"])

    return figure


def _to_nats(beside: str) -> Callable[[Mapping[str, Any]], float | None]:
    def figure(found: Mapping[str, Any]) -> float | None:
        mine, theirs = _p99("lanebus", beside)(found), _p99("NATS core", beside)(found)
        return None if mine is None or theirs is None else mine / theirs

    return figure


def _match(case: str, key: str) -> Callable[[Mapping[str, Any]], float | None]:
    def figure(found: Mapping[str, Any]) -> float | None:
        each = found["cases"].get(case)
        # Fewer matches, or made-up ones, say nothing of the recorded ones.
        if each is None or not found["recorded"] or each["matches"] < _MATCHES:
            return None
        return float(each[key]["median"])

    return figure


def _most_players(key: str) -> Callable[[Mapping[str, Any]], float | None]:
    """Of the way of attaching that costs more; made-up players are no real ones."""

    def figure(found: Mapping[str, Any]) -> float | None:
        rows = [row for row in found["rows"] if row["players"] >= 1000 and found["recorded"]]
        return max((float(row[key]["median"]) for row in rows), default=None)

    return figure


def _step(*steps: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda found: sum(found["sizes"]["16"][step]["us"]["median"] for step in steps)


def _size(size: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda found: float(found["sizes"][size]["broker_us"]["median"])


def _memory(found: Mapping[str, Any]) -> float | None:
    return float(found["growth"]["highest"]) if found["length_s"] >= _SOAK_S else None


_MATCHES: Final = 17
_SOAK_S: Final = 600.0
_SLOW: Final = "speed 1"
GOALS: Final = (
    Goal("throughput", "throughput, to NATS core", 4.0, True, "{:.2f} times", _ratio("nats")),
    Goal("throughput", "throughput, to JetStream", 10.0, True, "{:.2f} times", _ratio("jetstream")),
    Goal("throughput", "throughput, to Redis streams", 10.0, True, "{:.2f} times", _ratio("redis_streams")),
    Goal("throughput", "throughput, to MQTT QoS 1", 10.0, True, "{:.2f} times", _ratio("mqtt1")),
    Goal(
        "throughput",
        "throughput, to bare pyzmq in batches",
        0.5,
        True,
        "{:.2f} times",
        _ratio("bare_batches"),
    ),
    Goal("batches", "broker's time an event, batches of 16", 2.0, False, "{:.2f} us", _size("16")),
    Goal("batches", "broker's time an event, batches of 64", 2.0, False, "{:.2f} us", _size("64")),
    Goal("batches", "broker's time an event, batches of 4.5", 4.0, False, "{:.2f} us", _size("4.5")),
    Goal(
        "matches",
        "broker's time a delivery, matches at speed 1",
        4.0,
        False,
        "{:.2f} us",
        _match(_SLOW, "broker_us"),
    ),
    Goal(
        "latency",
        "critical p50 when idle, to a bare hop",
        2.0,
        False,
        "{:.2f} times",
        lambda found: float(found["idle_to_bare"]["median"]),
    ),
    Goal(
        "isolation",
        "critical p99 while low is saturated",
        16.0,
        False,
        "{:.1f} ms",
        _p99("lanebus", "low saturated"),
    ),
    Goal(
        "isolation",
        "critical p99 while low is saturated, to idle",
        5.0,
        False,
        "{:.1f} times",
        lambda found: float(found["saturated_to_idle"]["median"]),
    ),
    Goal(
        "isolation",
        "critical p99 at the same load beside, to NATS, 50 %",
        1.0,
        False,
        "{:.2f} times",
        _to_nats("low at 50% of capacity"),
    ),
    Goal(
        "isolation",
        "critical p99 at the same load beside, to NATS, 90 %",
        1.0,
        False,
        "{:.2f} times",
        _to_nats("low at 90% of capacity"),
    ),
    Goal("matches", "broker, all matches at speed 1", 0.05, False, "{:.1%}", _match(_SLOW, "broker_share")),
    Goal("matches", "messages saved, control counted", 0.68, True, "{:.1%}", _match(_SLOW, "messages_saved")),
    Goal("matches", "bytes saved", 0.5, True, "{:.1%}", _match(_SLOW, "bytes_saved")),
    Goal(
        "whole_matches",
        "broker, whole matches at speed 1",
        0.05,
        False,
        "{:.1%}",
        _match(_SLOW, "broker_share"),
    ),
    Goal(
        "whole_matches",
        "messages saved, control counted, whole matches",
        0.68,
        True,
        "{:.1%}",
        _match(_SLOW, "messages_saved"),
    ),
    Goal("whole_matches", "bytes saved, whole matches", 0.5, True, "{:.1%}", _match(_SLOW, "bytes_saved")),
    Goal(
        "game_server",
        "a server's adapter, 100 players at 30 ticks",
        0.05,
        False,
        "{:.1%}",
        lambda found: float(found["share"]["median"]),
    ),
    Goal("micro", "`send`, in batches of 16", 1.0, False, "{:.2f} us", _step("send")),
    Goal(
        "micro",
        "receive with dispatch, in batches of 16",
        1.5,
        False,
        "{:.2f} us",
        _step("receive", "dispatch"),
    ),
    Goal("scale", "broker, 1,000 players", 0.6, False, "{:.0%}", _most_players("broker_share")),
    Goal(
        "scale",
        "broker's memory, 1,000 players",
        300e6,
        False,
        "{:,.0f} bytes",
        _most_players("rss_peak_bytes"),
    ),
    Goal("scale", "critical p99, 1,000 players", 16.0, False, "{:.1f} ms", _most_players("critical_p99_ms")),
    Goal(
        "soak",
        "growth of the broker's memory after the first minute",
        0.01,
        False,
        "{:.2%}",
        _memory,
    ),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal beside what was found."""

    goal: Goal
    value: float | None
    """None where it was not measured."""

    @property
    def reached(self) -> bool | None:
        """Whether it is; None where it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.goal.bound if self.goal.at_least else self.value <= self.goal.bound


def judge(figures: Figures) -> Iterator[Judged]:
    """Every goal beside what was found."""
    for goal in GOALS:
        found = figures.get(goal.measure)
        yield Judged(goal, None if found is None else goal.figure(found))
