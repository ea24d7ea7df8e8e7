"""100, 300 and 1,000 connected players with the traffic of real ones: what the broker takes, and how it grows."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.lab.events import copies
from benchmarks.lab.processes import Failed
from benchmarks.lab.replays import figures, replay
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import spread

PLAYERS: Final = (100, 300, 1000)
WAYS: Final = (("each attached", ()), ("behind gateways", ("--gateway",)))
_NUMBERS: Final = ("per_s", "broker_share", "broker_us", "rss_peak_bytes")


def run(setup: Setup) -> dict[str, Any]:
    """Figures by number of players and way of attaching, and the exponents with which they grow."""
    length_s = max(10.0, min(20.0, setup.run_s * 5))
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as name:
        for players in PLAYERS:
            folder = Path(name) / str(players)
            folder.mkdir()
            paths, count = copies(setup.traces, players, length_s, folder)
            for number in range(min(setup.rounds, 3)):
                for way, options in WAYS:
                    try:
                        report = replay(paths, "--processes", "2", *options, timeout_s=300.0)
                    except Failed as why:
                        failed.append(f"{count} players, {way}: {why}")
                        continue
                    figure = figures(report)
                    found.setdefault((way, count), []).append(figure)
                    p99_ms = figure["latency_ms"]["critical"]["p99"]
                    setup.say(
                        f"round {number + 1}: {count} players, {way}: {figure['per_s']:,.0f} deliveries/s, "
                        f"broker {figure['broker_share']:.0%}, critical p99 {p99_ms} ms"
                    )
                    setup.pause()
    rows = [
        {
            "way": way,
            "players": count,
            **{key: spread([run[key] for run in runs]) for key in _NUMBERS},
            "critical_p50_ms": spread([run["latency_ms"]["critical"]["p50"] or 0.0 for run in runs]),
            "critical_p99_ms": spread([run["latency_ms"]["critical"]["p99"] or 0.0 for run in runs]),
            "exact": all(run["exact"] for run in runs),
        }
        for (way, count), runs in found.items()
    ]
    return {
        "recorded": setup.recorded,
        "length_s": length_s,
        "rows": rows,
        "growth": {way: _exponents([row for row in rows if row["way"] == way]) for way, _ in WAYS},
        "failed": failed,
    }


def _exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    """With which power of the number of players a figure grows, from the fewest to the most."""
    if len(rows) < 2:
        return {}
    first, last = rows[0], rows[-1]
    times = math.log(last["players"] / first["players"])
    return {
        key: round(math.log(last[key]["median"] / first[key]["median"]) / times, 2)
        for key in ("broker_share", "rss_peak_bytes", "critical_p99_ms")
        if first[key]["median"] > 0 and last[key]["median"] > 0
    }
