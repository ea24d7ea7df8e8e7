"""All matches at once, at the speed at which they were played and as fast as it goes, every delivery checked."""

from __future__ import annotations

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
    """Figures at both speeds; all figures of a row are of the same runs."""
    length_s, fast_s = (min(most_s, setup.run_s * 10) for most_s in (SLICE_S, FAST_SLICE_S))
    live = MatchTime(FROM_S, FROM_S + length_s)
    slow = setup.full_matches or live
    fast = setup.full_matches or MatchTime(FROM_S, FROM_S + fast_s)
    found: dict[str, list[dict[str, Any]]] = {}
    failed: list[str] = []
    cases = [("speed 1", "1", slow, 1), ("as fast as it goes", "max", fast, 1 if setup.full_matches else 3)]
    if setup.full_matches:
        cases.insert(1, (f"speed 1, all live ({live.from_s:g} to {live.until_s:g} s)", "1", live, 1))
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
        "slice_s": _slice(slow),
        "fast_slice_s": _slice(fast),
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
