"""Latency: how long events took from their sender's program to their handler, by the receiver's own clock."""

from __future__ import annotations

from typing import Final

from lanebus.wire.batches import STAMP_MODULUS, TICKS_PER_S
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.reports import LaneTimes

MAX_RECENT: Final = 256
"""Different ages on one lane that are counted before they go into its histogram."""
_TICK_US: Final = 1_000_000 // TICKS_PER_S


class Latency:
    """The events of one session that were handled since the last report."""

    def __init__(self) -> None:
        self.recent: tuple[dict[int, int], ...] = tuple({} for _ in LANES)
        """By lane: ages in ticks, and how many events were so old when their handler began. Who finds an age counts it
        there; who does not find it calls `note`. This is done for every event, and has to be cheap."""
        self._folded: list[Histogram | None] = [None for _ in LANES]

    def note(self, lane: Lane, age: int) -> None:
        """An event's handler begins, so many ticks after it was sent; one from after now counts as new."""
        recent = self.recent[lane]
        if len(recent) >= MAX_RECENT:
            self._fold(lane)
        if age >= STAMP_MODULUS // 2:
            age = 0
        recent[age] = recent.get(age, 0) + 1

    def _fold(self, lane: Lane) -> Histogram:
        histogram = self._folded[lane]
        if histogram is None:
            histogram = self._folded[lane] = Histogram()
        recent = self.recent[lane]
        for age, count in recent.items():
            histogram.record(age * _TICK_US, count)
        recent.clear()
        return histogram

    def report(self) -> list[LaneTimes]:
        """What was handled since this was asked last, for a ping."""
        found: list[LaneTimes] = []
        for lane in LANES:
            if self.recent[lane] or self._folded[lane] is not None:
                histogram = self._fold(lane)
                self._folded[lane] = None
                counts = [each for pair in enumerate(histogram.counts) if pair[1] for each in pair]
                found.append(LaneTimes(lane, histogram.sum_us, histogram.max_us, counts))
        return found
