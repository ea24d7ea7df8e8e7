"""Two minutes that say what got worse: ratios against bare pyzmq in the same run, beside those of the last commit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from benchmarks.lab import results
from benchmarks.lab.instructions import Instructions
from benchmarks.lab.load import Flow
from benchmarks.lab.machine import Others, build, load, machine
from benchmarks.lab.pair import run_pair
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import quantile, ratios
from benchmarks.measures import micro
from benchmarks.rivals.bare import BareBatches, BarePyzmq
from benchmarks.rivals.base import Rival
from benchmarks.rivals.ours import Lanebus

NAME: Final = "guard"
ROUNDS: Final = 4
EVENTS: Final = 100_000
BARE_EVENTS: Final = 400_000
PROBE_PER_S: Final = 50.0
PROBE_EVENTS: Final = 80
MICRO_EVENTS: Final = 8_000


class Shown(NamedTuple):
    """What a figure is, and how it is judged."""

    text: str
    more_is_better: bool
    tolerance: float
    """What it may lose before that is called worse: as much as it moves from one run to the next, nothing changed."""


SHOWN: Final = {
    "throughput": Shown("events/s, to bare pyzmq in batches", True, 0.12),
    "broker": Shown("broker's time an event, to the yardstick", False, 0.08),
    "sender": Shown("sender's time an event, to the yardstick", False, 0.08),
    "receiver": Shown("receiver's time an event, to the yardstick", False, 0.08),
    "cores": Shown("both cores and the codec without sockets, to the yardstick", False, 0.08),
    "idle": Shown("critical p50 when idle, to a bare hop's", False, 0.30),
    "saturated": Shown("critical p90 while low is saturated, to an idle bare hop's p50", False, 0.50),
}
"""By name. The yardstick is the processor time that bare pyzmq, in batches of the same size, takes of both ends."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure, now and at the last commit."""

    name: str
    before: float | None
    now: float
    change: float
    """Share by which it got better (positive) or worse."""
    is_worse: bool


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Verdict]:
    """Judge each figure of `now` that `SHOWN` names; both hold spreads by name.

    It is worse if its median has lost more than its tolerance, and more than what the middle halves of the rounds, then
    and now, are wide.
    """
    verdicts = []
    for name, shown in SHOWN.items():
        if name not in now:
            continue
        mine = now[name]
        if name not in before:
            verdicts.append(Verdict(name, None, mine["median"], 0.0, False))
            continue
        theirs = before[name]
        ratio = mine["median"] / theirs["median"]
        change = ratio - 1 if shown.more_is_better else 1 / ratio - 1
        noise = sum((each["high"] - each["low"]) / each["median"] for each in (theirs, mine))
        is_worse = -change > max(shown.tolerance, noise)
        verdicts.append(Verdict(name, theirs["median"], mine["median"], change, is_worse))
    return verdicts


def run(setup: Setup, *, keep: bool) -> int:
    """Measure, compare, say so; 1 if something got worse. With `keep` the figures are written for the next commit."""
    begun_s, load_before, others = time.monotonic(), load(), Others()
    before = _last()
    columns: dict[str, list[float]] = {}
    measure(setup, columns)
    verdicts = compare(before["figures"] if before else {}, figures_of(columns))
    if any(verdict.is_worse for verdict in verdicts):
        print("  something seems worse: as many rounds again", file=sys.stderr, flush=True)
        measure(setup, columns)
    figures = figures_of(columns)
    verdicts = compare(before["figures"] if before else {}, figures)
    context = {
        "build": build(),
        "machine": machine(),
        "rounds": len(columns["yardstick_us"]),
        "took_s": round(time.monotonic() - begun_s, 1),
        "load_before": load_before,
        "others_cores": others.cores(),
    }
    for line in lines(verdicts, before):
        print(line)
    if keep or before is None:
        path = results.save(NAME, figures, context, results.FOLDERS[build()])
        print(f"kept in {path}; commit it with the change")
    return int(any(verdict.is_worse for verdict in verdicts))


def lines(verdicts: Sequence[Verdict], before: Mapping[str, Any] | None) -> list[str]:
    """The comparison for people."""
    if before is None:
        found = ["the last commit holds no figures to compare with"]
    else:
        context = before["context"]
        found = [f"against {context['machine']['commit'] or 'unknown'}, measured {context['at']}:"]
        if context["machine"]["processor"] != machine()["processor"]:
            found.append(f"  on another machine: {context['machine']['processor']}")
    for verdict in verdicts:
        was = "      -" if verdict.before is None else f"{verdict.before:7.3f}"
        word = "WORSE" if verdict.is_worse else "ok"
        change = "" if verdict.before is None else f"{verdict.change:+7.1%}"
        found.append(f"  {word:5} {was} -> {verdict.now:7.3f} {change:>7}  {SHOWN[verdict.name].text}")
    return found


def measure(setup: Setup, columns: dict[str, list[float]]) -> None:
    """Add `ROUNDS` rounds to the columns of figures."""
    ours, batches, bare = Lanebus(), BareBatches(), BarePyzmq()
    probe = [Flow("critical", PROBE_EVENTS, PROBE_PER_S)]

    def note(name: str, value: float) -> None:
        columns.setdefault(name, []).append(value)

    counter = Instructions()
    for number in range(ROUNDS):
        mine = _run(ours, setup, [Flow("normal", EVENTS)])
        batches.batch_events = max(1, round(mine.notes["events_per_batch"]))
        theirs = _run(batches, setup, [Flow("normal", BARE_EVENTS)])
        note("per_s", mine.per_s)
        note("bare_per_s", theirs.per_s)
        note("broker_us", mine.broker_us)
        note("sender_us", mine.sender_cpu_s / mine.handled * 1e6)
        note("receiver_us", mine.receiver_cpu_s / mine.handled * 1e6)
        note("cores_us", sum(micro.once(setup.events.data, 16, MICRO_EVENTS, counter)["us"].values()))
        note("yardstick_us", (theirs.sender_cpu_s + theirs.receiver_cpu_s) / theirs.handled * 1e6)
        idle = sorted(_run(ours, setup, probe).latencies_s["critical"])
        hop = sorted(_run(bare, setup, probe).latencies_s["critical"])
        full = sorted(_run(ours, setup, probe, beside=[Flow("low", None)]).latencies_s["critical"])
        note("idle_s", quantile(idle, 0.5))
        note("hop_s", quantile(hop, 0.5))
        note("full_s", quantile(full, 0.9))
        print(f"  round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    counter.close()


def figures_of(columns: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Spreads of the ratios that `SHOWN` names."""
    pairs = {
        "throughput": ("per_s", "bare_per_s"),
        "idle": ("idle_s", "hop_s"),
        "saturated": ("full_s", "hop_s"),
        **{name: (f"{name}_us", "yardstick_us") for name in ("broker", "sender", "receiver", "cores")},
    }
    return {name: ratios(columns[mine], columns[theirs]) for name, (mine, theirs) in pairs.items()}


def _run(rival: Rival, setup: Setup, flows: Sequence[Flow], *, beside: Sequence[Flow] = ()) -> Any:
    with rival.server() as address:
        return run_pair(rival, address, flows, setup.events.data, beside=beside, timeout_s=60.0)


def _last() -> dict[str, Any] | None:
    """The guard's figures of this build in the last commit."""
    root = results.FOLDER.parents[1]
    path = (results.FOLDERS[build()] / f"{NAME}.json").relative_to(root).as_posix()
    ended = subprocess.run(
        ["git", "-C", str(root), "show", f"HEAD:{path}"], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        return None
    found: dict[str, Any] = json.loads(ended.stdout)
    return found
