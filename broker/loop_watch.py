"""Watches whether the broker's own loop keeps up."""

from __future__ import annotations

from typing import Final

from lanebus.broker.alerts import BROKER, AlertKind, Alerts
from lanebus.broker.bus import Bus
from lanebus.broker.outgoing import Counters
from lanebus.wire.histogram import Histogram

CALM_LOOKS: Final = 5
"""Looks in a row without lateness after which an episode is over: stalls are short, and rarely come alone."""


class LoopWatch:
    """The loop is late when a timer came late, or a turn took long, which all that waits is late by.

    Args:
        bus: knows how late its own look was, which also tells of a process that stood still.
        late_s: lateness at which an episode begins; it ends when there was none of half of it for a while.
    """

    def __init__(self, bus: Bus, counters: Counters, late_s: float, alerts: Alerts) -> None:
        self._bus = bus
        self._alerts = alerts
        self._late_s = late_s
        self._histograms = (counters.late, counters.busy)
        self._counts = [list(histogram.counts) for histogram in self._histograms]
        self._calm_looks = 0

    def look(self, now: float) -> None:
        """To be called when the bus has looked, about once a second."""
        late_s = max(self._bus.still_s, *map(self._worst_s, range(len(self._histograms))))
        alert = self._alerts.lasting(AlertKind.LOOP_LATE, BROKER)
        if alert is None:
            if late_s >= self._late_s:
                self._calm_looks = 0
                self._alerts.begin(AlertKind.LOOP_LATE, BROKER, now, {"late_s": late_s})
            return
        alert.update({"late_s": late_s})
        self._calm_looks = 0 if late_s >= self._late_s / 2 else self._calm_looks + 1
        if self._calm_looks >= CALM_LOOKS:
            self._alerts.end(alert, now)

    def _worst_s(self, position: int) -> float:
        histogram: Histogram = self._histograms[position]
        worst_us = histogram.since(self._counts[position]).max_us
        self._counts[position] = list(histogram.counts)
        return worst_us / 1e6
