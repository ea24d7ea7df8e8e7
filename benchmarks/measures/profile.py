"""Where the broker's time goes at full throughput: samples of its Python frames, by function."""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from benchmarks.lab.load import Flow
from benchmarks.lab.pair import run_pair
from benchmarks.lab.processes import Failed
from benchmarks.lab.setup import Setup
from benchmarks.measures.throughput import WARM_UP_EVENTS
from benchmarks.rivals.base import program
from benchmarks.rivals.ours import Lanebus

RATE_HZ: Final = 250
SHOWN: Final = 20
START_S: Final = 1.0
"""That py-spy takes to begin, at most; it is started while nothing is sent yet, and idle samples are left out."""


def run(setup: Setup) -> dict[str, Any]:
    """Functions by their own share of the broker's samples, and by the share in which they are anywhere on the stack.

    Raises:
        Failed: py-spy is missing, or may not look into the broker's process.
    """
    spy = program("py-spy")
    if spy is None:
        raise Failed("there is no py-spy: pip install -e '.[bench]'")
    bus = Lanebus()
    with bus.server() as address:
        warm = run_pair(bus, address, [Flow("normal", WARM_UP_EVENTS)], setup.events.data)
    events = int(warm.per_s * max(setup.run_s, 3.0))
    with bus.server() as address, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples"
        seconds = int(max(setup.run_s, 3.0) + 2 * START_S)
        command = [spy, "record", "--pid", str(address.pids[0]), "--format", "raw", "-o", str(path)]
        command += ["--duration", str(seconds), "--rate", str(RATE_HZ)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
            outcome = run_pair(bus, address, [Flow("normal", events)], setup.events.data)
            _, words = child.communicate(timeout=seconds + 20.0)
        if not path.is_file():
            raise Failed(f"py-spy did not look: {words.strip().splitlines()[-1:]}")
        own, total, count = shares(path.read_text(encoding="utf-8").splitlines())
    return {
        "events": setup.events.source,
        "broker_us": outcome.broker_us,
        "samples": count,
        "own": {name: own[name] for name in list(own)[:SHOWN]},
        "total": {name: total[name] for name in list(own)[:SHOWN]},
    }


def shares(lines: list[str]) -> tuple[dict[str, float], dict[str, float], int]:
    """Own and total shares by function, the greatest first, and how many samples there were.

    A line is a stack, its frames joined by semicolons, a space, and how often it was seen.
    """
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    count = 0
    for line in lines:
        stack, _, times = line.rpartition(" ")
        frames = [_short(frame) for frame in stack.split(";")]
        count += int(times)
        own[frames[-1]] += int(times)
        for frame in set(frames):
            total[frame] += int(times)
    if not count:
        raise Failed("py-spy saw nothing")
    own_shares, total_shares = (
        {name: round(value / count, 4) for name, value in each.most_common()} for each in (own, total)
    )
    return own_shares, total_shares, count


def _short(frame: str) -> str:
    """`_drain (lanebus/broker/driver.py:280)` as `driver._drain`: the line within a function is left out."""
    function, _, place = frame.partition(" (")
    module = place.rpartition("/")[2].partition(".py")[0]
    return f"{module}.{function}" if module else function
