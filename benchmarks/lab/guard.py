"""Two minutes that say what got worse: beside another commit's code in the same minutes, and that beside what it was.

How much processor time an event takes depends on who else is busy: the same code took 4.3 and 5.1 us in the broker
within five minutes, while bare sockets took what they always take. What depends on it in the same way is lanebus
itself. So every figure is a ratio to the code of one commit, its pure Python build, which runs in turns with the code
that is measured; and that ratio is judged beside the one that was kept.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.lab import results
from benchmarks.lab.machine import PURE, Others, build, load, machine
from benchmarks.lab.processes import Failed
from benchmarks.lab.setup import Setup
from benchmarks.lab.side import ROOT, Side
from benchmarks.lab.statistics import ratios, spread

NAME: Final = "guard"
ROUNDS: Final = 10
LEAST_ROUNDS: Final = 6
LONGEST_S: Final = 100.0
"""No round begins later, where there are enough of them: on a busy machine there are fewer."""
IDLE_EACH: Final = 3
"""Every so many rounds there is a run that mostly waits."""


class Shown(NamedTuple):
    """What a figure is, and how it is judged."""

    text: str
    more_is_better: bool
    tolerance: float
    """What it may lose before that is called worse: more than it loses from run to run of the same code."""


SHOWN: Final = {
    "per_s": Shown("events/s", True, 0.25),
    "broker_us": Shown("broker's time an event", False, 0.08),
    "sender_us": Shown("sender's time an event", False, 0.08),
    "receiver_us": Shown("receiver's time an event", False, 0.08),
    "broker_core_us": Shown("the same without sockets: broker", False, 0.05),
    "sender_core_us": Shown("the same without sockets: sender", False, 0.05),
    "receiver_core_us": Shown("the same without sockets: receiver", False, 0.05),
    "settle_us": Shown("the same without sockets: control, at all three", False, 0.12),
    "idle_s": Shown("critical p50 when idle", False, 0.30),
}
"""By name, in the order in which they are shown. What critical events wait beside a saturated lane differs tenfold from
one run of two seconds to the next, of the same code: that is for the measure of isolation, which takes longer."""
SAME: Final = {name: spread([1.0]) for name in SHOWN}
"""The figures of the code that runs beside, were it measured: ratios to itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure, now and as it was kept."""

    name: str
    before: float | None
    now: float
    change: float
    """Share by which it got better (positive) or worse."""
    is_worse: bool


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Verdict]:
    """Judge each figure of `now` that `SHOWN` names; both hold spreads by name.

    It is worse if its median has lost more than its tolerance, and more than both medians may be off by chance.
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
        is_worse = -change > max(shown.tolerance, 2 * math.hypot(_error(theirs), _error(mine)))
        verdicts.append(Verdict(name, theirs["median"], mine["median"], change, is_worse))
    return verdicts


def _error(found: Mapping[str, Any]) -> float:
    """The standard error of a spread's median, as a share of it, by the width of the middle half."""
    return float(0.93 * (found["high"] - found["low"]) / math.sqrt(len(found["values"])) / found["median"])


def run(setup: Setup, *, keep: bool, against: str = "") -> int:
    """Measure, compare, say so; 1 if something got worse. With `keep` the figures are written for the next commit.

    `against` is a commit to run beside instead of the one of the kept figures, which then say nothing: the pure build
    is compared with that commit itself, and for the compiled one there is nothing to compare with.

    Raises:
        Failed: that commit is not here, or a run failed.
    """
    begun_s, load_before, others = time.monotonic(), load(), Others()
    kept = _last()
    reference = against or (kept["context"]["reference"] if kept else "HEAD")
    reference = _git("rev-parse", f"{reference}^{{commit}}").decode().strip()
    if kept and kept["context"]["reference"] != reference:
        kept = None
    before = kept["figures"] if kept else (SAME if build() == PURE else {})
    columns: dict[str, tuple[list[float], list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-guard-") as name:
        unpack(reference, Path(name))
        with (
            Side("this code", setup.traces) as ours,
            Side(f"the code of {reference[:12]}", setup.traces, Path(name)) as theirs,
        ):
            measure(ours.run, theirs.run, columns, until_s=begun_s + LONGEST_S)
    figures = figures_of(columns)
    verdicts = compare(before, figures)
    context = {
        "build": build(),
        "reference": reference,
        "machine": machine(),
        "rounds": len(columns["broker_us"][0]),
        "took_s": round(time.monotonic() - begun_s, 1),
        "load_before": load_before,
        "others_cores": others.cores(),
    }
    for line in lines(verdicts, kept, reference):
        print(line)
    if keep:
        path = results.save(NAME, figures, context, results.FOLDERS[build()])
        print(f"kept in {path}; commit it with the change")
    return int(any(verdict.is_worse for verdict in verdicts))


def lines(verdicts: Sequence[Verdict], kept: Mapping[str, Any] | None, reference: str) -> list[str]:
    """The comparison for people; without kept figures it is with the code of `reference` itself."""
    if kept is None:
        found = [f"against {reference[:12]} itself:"]
    else:
        context = kept["context"]
        found = [f"against {context['machine']['commit'] or 'unknown'}, measured {context['at']}:"]
        if context["machine"]["processor"] != machine()["processor"]:
            found.append(f"  on another machine: {context['machine']['processor']}")
    for verdict in verdicts:
        was = "      -" if verdict.before is None else f"{verdict.before:7.3f}"
        word = "WORSE" if verdict.is_worse else "ok"
        change = "" if verdict.before is None else f"{verdict.change:+7.1%}"
        found.append(f"  {word:5} {was} -> {verdict.now:7.3f} {change:>7}  {SHOWN[verdict.name].text}")
    return [*found, f"figures are ratios to the pure Python build of {reference[:12]}, in alternating runs"]


def measure(
    ours: Callable[[str], Mapping[str, float]],
    theirs: Callable[[str], Mapping[str, float]],
    columns: dict[str, tuple[list[float], list[float]]],
    *,
    until_s: float = math.inf,
) -> None:
    """Have both make the same runs in turns, and write ours and theirs below each other, by figure."""
    for number in range(ROUNDS):
        if number >= LEAST_ROUNDS and time.monotonic() > until_s:
            break
        names = ["full", "cores", "cores", *(["idle"] if number % IDLE_EACH == 1 else [])]
        for position, name in enumerate(names):
            # Who comes second finds caches and clock as the first one left them: each is first in every other run.
            if (number + position) % 2:
                second, first = theirs(name), ours(name)
            else:
                first, second = ours(name), theirs(name)
            for figure, value in first.items():
                mine, other = columns.setdefault(figure, ([], []))
                mine.append(value)
                other.append(second[figure])
        print(f"  round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)


def figures_of(columns: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> dict[str, Any]:
    """Spreads of the ratios, by figure."""
    return {name: ratios(mine, theirs) for name, (mine, theirs) in columns.items()}


def unpack(commit: str, folder: Path) -> None:
    """Write the tree of a commit into `folder`.

    Raises:
        Failed: there is no such commit here.
    """
    subprocess.run(["tar", "-x", "-C", str(folder)], input=_git("archive", commit), check=True)


def _last() -> dict[str, Any] | None:
    """The guard's figures of this build in the last commit."""
    path = (results.FOLDERS[build()] / f"{NAME}.json").relative_to(ROOT).as_posix()
    try:
        found: dict[str, Any] = json.loads(_git("show", f"HEAD:{path}"))
    except Failed:
        return None
    return found


def _git(*arguments: str) -> bytes:
    ended = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if ended.returncode:
        words = ended.stderr.decode(errors="replace").strip().splitlines()
        raise Failed(f"git {arguments[0]}: {words[0] if words else ended.returncode}")
    return ended.stdout
