"""What lanebus can carry on a lane: the rate that offered loads are shares of."""

from __future__ import annotations

from typing import Final

from benchmarks.lab.load import Flow
from benchmarks.lab.pair import run_pair
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import quantile
from benchmarks.rivals.ours import Lanebus

EVENTS: Final = 100_000
RUNS: Final = 3


def capacity(setup: Setup, lane: str) -> float:
    """Events a second, the median of three runs.

    Raises:
        Failed: a run failed.
    """
    found = []
    bus = Lanebus()
    for _ in range(RUNS):
        with bus.server() as address:
            found.append(run_pair(bus, address, [Flow(lane, EVENTS)], setup.events.data).per_s)
        setup.pause()
    return quantile(sorted(found), 0.5)
