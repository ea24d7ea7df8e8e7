"""The parts of a run of recorded matches, and the critical latencies of each, measured in several processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from lanebus.cli.replay_plan import Peer, Plan
from lanebus.cli.replay_result import Result
from lanebus.cli.replay_worker import Worker, WorkerOptions
from lanebus.cli.shared_arrays import shared_doubles
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES, Lane

_SLOTS: Final = 260
"""More than a histogram as a list is long."""


class Phase:
    """Which part of the run it is, in memory that all its processes share."""

    def __init__(self, phases: int) -> None:
        self.phases = phases
        """How many there are."""
        self._instants = shared_doubles(phases - 1)

    def __call__(self) -> int:
        """The number of the present phase."""
        return sum(instant > 0.0 for instant in self._instants)

    def next_begins(self, now_s: float) -> None:
        """The next phase begins."""
        self._instants[self()] = now_s


class PhasedHistogram(Histogram):
    """A histogram that also keeps the values of each phase apart."""

    __slots__ = ("_phase", "phases")

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self._phase = phase
        self.phases = [Histogram() for _ in range(phase.phases)]

    def record(self, value_us: int, times: int = 1) -> None:
        super().record(value_us, times)
        self.phases[self._phase()].record(value_us, times)


class PhasedWorker(Worker):
    """A worker of a replay that leaves its critical latencies, phase by phase, in shared memory."""

    def __init__(
        self,
        plan: Plan,
        peers: Sequence[Peer],
        options: WorkerOptions,
        phase: Phase,
        found: Sequence[memoryview[float]],
    ) -> None:
        self._phased = [PhasedHistogram(phase) for _ in LANES]
        self._found = found
        super().__init__(plan, peers, options, [*self._phased])

    def finish(self) -> Result:
        result = super().finish()
        for histogram, slots in zip(self._phased[Lane.CRITICAL].phases, self._found, strict=True):
            figures = histogram.as_list()
            slots[0] = len(figures)
            for position, figure in enumerate(figures, start=1):
                slots[position] = figure
        # What travels back to the parent is a plain histogram.
        result.latencies = [Histogram.from_list(each.as_list()) for each in self._phased]
        return result


def slots_for(phases: int) -> list[memoryview[float]]:
    """Shared memory for the latencies that one process finds, by phase."""
    return [shared_doubles(_SLOTS) for _ in range(phases)]


def merged(slots: Iterable[memoryview[float]]) -> Histogram:
    """The latencies of one phase, of all processes together."""
    total = Histogram()
    for each in slots:
        total.merge(Histogram.from_list([int(each[position]) for position in range(1, 1 + int(each[0]))]))
    return total
