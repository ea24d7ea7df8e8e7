"""From the time at which an event was to be sent until its handler: each lane, from idle to nearly full."""

from __future__ import annotations

from array import array
from typing import Any, Final

from benchmarks.lab.load import LANES, Flow
from benchmarks.lab.pair import run_pair
from benchmarks.lab.processes import Failed
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import latency, quantile, ratios, spread
from benchmarks.measures.capacity import capacity
from benchmarks.rivals.bare import BarePyzmq
from benchmarks.rivals.base import Rival
from benchmarks.rivals.nats_core import NatsCore
from benchmarks.rivals.ours import Lanebus

LEVELS: Final = (("10 %", 0.10), ("50 %", 0.50), ("90 %", 0.90))
IDLE_PER_S: Final = {"critical": 50.0, "normal": 15.0, "low": 4.0}
"""Less often than the lane's interval: nothing has company."""


def run(setup: Setup) -> dict[str, Any]:
    """Latencies by bus, lane and level."""
    ours, bare, nats = Lanebus(), BarePyzmq(), NatsCore()
    capacities = {lane: capacity(setup, lane) for lane in LANES}
    setup.say("capacity: " + ", ".join(f"{lane} {value:,.0f}/s" for lane, value in capacities.items()))
    cases: list[tuple[Rival, str, str, float]] = []
    for lane in LANES:
        cases.append((ours, lane, "idle", IDLE_PER_S[lane]))
        if lane == "critical":
            cases.append((bare, lane, "idle", IDLE_PER_S[lane]))
            if not nats.missing():
                cases.append((nats, lane, "idle", IDLE_PER_S[lane]))
        for level, share in LEVELS:
            cases.append((ours, lane, level, capacities[lane] * share))
            if lane == "critical":
                cases.append((bare, lane, level, capacities[lane] * share))
                if not nats.missing():
                    cases.append((nats, lane, level, capacities[lane] * share))
    found: dict[tuple[str, str, str], list[array[float]]] = {}
    rates: dict[tuple[str, str, str], float] = {}
    failed: list[str] = []
    for number in range(setup.rounds):
        for rival, lane, level, rate in cases:
            key = (rival.title, lane, level)
            rates[key] = rate
            try:
                late_s = _once(rival, setup, lane, rate)
            except Failed as why:
                failed.append(f"{rival.title}, {lane}, {level}: {why}")
                continue
            found.setdefault(key, []).append(late_s)
            ordered = sorted(late_s)
            setup.say(
                f"round {number + 1}: {rival.title} {lane} {level}: "
                f"p50 {quantile(ordered, 0.5) * 1e3:.2f} ms, p99 {quantile(ordered, 0.99) * 1e3:.2f} ms"
            )
    rows: list[dict[str, Any]] = []
    for (title, lane, level), rounds in found.items():
        merged = array("d")
        for each in rounds:
            merged.extend(each)
        rows.append(
            {
                "bus": title,
                "lane": lane,
                "level": level,
                "rate": round(rates[title, lane, level], 1),
                "latency": latency(merged),
                "p50_ms": spread([quantile(sorted(each), 0.5) * 1e3 for each in rounds]),
                "p99_ms": spread([quantile(sorted(each), 0.99) * 1e3 for each in rounds]),
            }
        )
    by_key = {(row["bus"], row["lane"], row["level"]): row for row in rows}
    mine = by_key[ours.title, "critical", "idle"]["p50_ms"]["values"]
    theirs = by_key[bare.title, "critical", "idle"]["p50_ms"]["values"]
    return {
        "capacity": capacities,
        "rows": rows,
        "idle_to_bare": ratios(mine, theirs),
        "failed": failed,
        "nats_missing": nats.missing(),
    }


def _once(rival: Rival, setup: Setup, lane: str, rate: float) -> array[float]:
    with rival.server() as address:
        count = max(10, int(rate * setup.run_s))
        outcome = run_pair(rival, address, [Flow(lane, count, rate)], setup.events.data, timeout_s=60.0)
    return outcome.latencies_s[lane]
