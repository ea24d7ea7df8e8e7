"""All matches at once, at the speed at which they were played and as fast as it goes, every delivery checked."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.lab.processes import Failed
from benchmarks.lab.replays import figures, replay
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import spread

FROM_S: Final = 15.0
"""All matches are past their first whole maps, and none has ended for 100 s."""
SLICE_S: Final = 60.0
FAST_SLICE_S: Final = 100.0
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
    """Figures at both speeds."""
    length_s = min(SLICE_S, setup.run_s * 10)
    slow = [] if setup.full_matches else ["--from", f"{FROM_S}", "--until", f"{FROM_S + length_s}"]
    fast_s = min(FAST_SLICE_S, setup.run_s * 10)
    fast = [] if setup.full_matches else ["--from", f"{FROM_S}", "--until", f"{FROM_S + fast_s}"]
    found: dict[str, list[dict[str, Any]]] = {}
    failed: list[str] = []
    cases = [("speed 1", ["--speed", "1", *slow], 1), ("as fast as it goes", ["--speed", "max", *fast], 3)]
    for name, options, most_rounds in cases:
        for number in range(min(setup.rounds, most_rounds)):
            try:
                report = replay(setup.traces, *options, "--processes", "2", timeout_s=4000.0)
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
        "slice_s": None if setup.full_matches else [FROM_S, FROM_S + length_s],
        "fast_slice_s": None if setup.full_matches else [FROM_S, FROM_S + fast_s],
        "cases": {
            name: {
                **{key: spread([run[key] for run in runs]) for key in _NUMBERS},
                "players": runs[0]["players"],
                "matches": runs[0]["matches"],
                "deliveries": runs[0]["deliveries"],
                "exact": all(run["exact"] for run in runs),
                "latency_ms": runs[-1]["latency_ms"],
            }
            for name, runs in found.items()
        },
        "failed": failed,
    }
