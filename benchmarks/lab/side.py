"""One of two codes that are compared: a process that imports it, and makes the runs that it is told to make.

`python -m benchmarks.lab.side TRACE...` reads names of runs, one a line, and answers with figures as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from benchmarks.lab.events import small_events
from benchmarks.lab.instructions import Instructions
from benchmarks.lab.load import Flow
from benchmarks.lab.pair import Outcome, run_pair
from benchmarks.lab.processes import Failed
from benchmarks.lab.statistics import quantile
from benchmarks.measures import micro
from benchmarks.rivals.ours import Lanebus

ROOT: Final = Path(__file__).parents[2]
EVENTS: Final = 300_000
"""Of a run as fast as it goes: long beside its start, because its noise falls with its length."""
PROBE_PER_S: Final = 50.0
PROBE_EVENTS: Final = 80
MICRO_EVENTS: Final = 6_000
MICRO_BATCH: Final = 16


class Side:
    """Such a process. A context manager: leaving ends it."""

    def __init__(self, title: str, traces: Sequence[Path], checkout: Path | None = None) -> None:
        """`checkout` is where its code is; None for what this interpreter imports."""
        self._title = title
        # What PYTHONPATH names comes before what is installed, an editable or a compiled build among it.
        path = {} if checkout is None else {"PYTHONPATH": str(checkout / "src")}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.lab.side", *(str(trace.absolute()) for trace in traces)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | path,
        )

    def run(self, name: str) -> dict[str, float]:
        """Make one of `RUNS`.

        Raises:
            Failed: it failed.
        """
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(name + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self._title} has ended") from None
        answer = self._child.stdout.readline()
        if not answer:
            raise Failed(f"{self._title} ended with status {self._child.wait()}")
        found: dict[str, Any] = json.loads(answer)
        if "failed" in found:
            raise Failed(f"{self._title}: {found['failed']}")
        return found

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It ends when there is nothing more to read.
        self._child.communicate()


def _full(data: Sequence[Any]) -> dict[str, float]:
    """As fast as it goes: the rate, and each process' time for an event."""
    found = _pair(data, [Flow("normal", EVENTS)])
    return {
        "per_s": found.per_s,
        "broker_us": found.broker_us,
        "sender_us": found.sender_cpu_s / found.handled * 1e6,
        "receiver_us": found.receiver_cpu_s / found.handled * 1e6,
    }


def _cores(data: Sequence[Any]) -> dict[str, float]:
    """Cores and codec in one thread, without sockets: an event's time at the sender, the broker and the receiver."""
    counter = Instructions()
    us = micro.once(list(data), MICRO_BATCH, MICRO_EVENTS, counter)["us"]
    counter.close()
    return {
        "sender_core_us": us["send"] + us["encode"],
        "broker_core_us": us["route"] + us["forward"],
        "receiver_core_us": us["receive"] + us["dispatch"],
        "settle_us": us["settle"],
    }


def _idle(data: Sequence[Any]) -> dict[str, float]:
    """A critical event's time to its handler, when nothing else is sent."""
    found = _pair(data, [Flow("critical", PROBE_EVENTS, PROBE_PER_S)])
    return {"idle_s": quantile(sorted(found.latencies_s["critical"]), 0.5)}


def _pair(data: Sequence[Any], flows: Sequence[Flow]) -> Outcome:
    bus = Lanebus()
    with bus.server() as address:
        return run_pair(bus, address, flows, data, timeout_s=60.0)


RUNS: Final[Mapping[str, Callable[[Sequence[Any]], dict[str, float]]]] = {
    "full": _full,
    "cores": _cores,
    "idle": _idle,
}


def main() -> int:
    """Answer until there is nothing more to read."""
    data = small_events([Path(name) for name in sys.argv[1:]], recorded=True).data
    # The first run is slower than all others.
    _cores(data)
    for line in sys.stdin:
        try:
            found: dict[str, Any] = RUNS[line.strip()](data)
        except Exception as why:
            # An older code may lack what these runs use; who asked says what that means.
            found = {"failed": f"{type(why).__name__}: {why}"}
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
