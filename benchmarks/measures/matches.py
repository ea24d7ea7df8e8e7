"""All matches at once, at the speed at which they were played and as fast as it goes, every delivery checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.lab.processes import Failed
from benchmarks.lab.replays import figures, replay
from benchmarks.lab.setup import MatchTime, Setup
from benchmarks.lab.statistics import spread

FROM_S: Final = 15.0
"""All matches are past their first whole maps, and none has ended for 100 s."""
SLICE_S: Final = 60.0
FAST_SLICE_S: Final = 100.0
TIMEOUT_S: Final = 4000.0
"""The longest match takes 55 minutes."""
_NUMBERS: Final = (
    "per_s",
    "messages_saved",
    "bytes_saved",
    "broker_share",
    "broker_us",
    "rss_peak_bytes",
    "duration_s",
)


def run(setup: Setup) -> dict[str, Any]:
    """Figures of the time in which all matches are live, at both speeds."""
    slow_s, fast_s = (min(most_s, setup.run_s * 10) for most_s in (SLICE_S, FAST_SLICE_S))
    return _play(
        setup,
        [
            ("speed 1", "1", MatchTime(FROM_S, FROM_S + slow_s), 1),
            ("as fast as it goes", "max", MatchTime(FROM_S, FROM_S + fast_s), 3),
        ],
    )


def run_whole(setup: Setup) -> dict[str, Any]:
    """The same of whole matches, or the part that `setup` names, once and at speed 1.

    Players stay when their match is over: most of the time a few matches play and many players are idle.
    """
    return _play(setup, [("speed 1", "1", setup.full_matches or MatchTime(), 1)])


def _play(setup: Setup, cases: Sequence[tuple[str, str, MatchTime, int]]) -> dict[str, Any]:
    """Name, speed, part of the matches and most rounds of each case; all figures of a row are of the same runs."""
    found: dict[str, list[dict[str, Any]]] = {}
    failed: list[str] = []
    for name, speed, played, most_rounds in cases:
        for number in range(min(setup.rounds, most_rounds)):
            try:
                report = replay(
                    setup.traces, "--speed", speed, *played.options(), "--processes", "2", timeout_s=TIMEOUT_S
                )
            except Failed as why:
                failed.append(f"{name}: {why}")
                continue
            found.setdefault(name, []).append(figures(report))
            last = found[name][-1]
            setup.say(
                f"round {number + 1}: {name}: {last['per_s']:,.0f} deliveries/s, broker {last['broker_share']:.1%}, "
                f"messages saved {last['messages_saved']:.1%}, bytes {last['bytes_saved']:.1%}"
            )
            setup.pause()
    return {
        "recorded": setup.recorded,
        "slices_s": {name: _slice(played) for name, _, played, _ in cases},
        "cases": {
            name: {
                **{key: spread([run[key] for run in runs]) for key in _NUMBERS},
                "players": runs[0]["players"],
                "matches": runs[0]["matches"],
                "deliveries": runs[0]["deliveries"],
                "exact": all(run["exact"] for run in runs),
                "latency_ms": runs[-1]["latency_ms"],
                "ended_otherwise": runs[-1]["ended"],
                "limits": runs[-1]["limits"],
            }
            for name, runs in found.items()
        },
        "failed": failed,
    }


def _slice(played: MatchTime) -> list[float | None] | None:
    """For the report: from and until; None for whole matches."""
    return None if played == MatchTime() else [*played]
