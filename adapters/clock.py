"""The broker's clock as seen from here: an offset to the local clock, from the exchange with the least round trip."""

from __future__ import annotations

from typing import Final

from lanebus.wire.batches import TICKS_PER_S, age_s, stamp_of

FADE: Final = 1.1
"""Each exchange makes the best one so far count as slower by this factor, since clocks drift apart."""


class BrokerClock:
    """Estimates the broker's clock; good to half of the least round trip seen lately."""

    def __init__(self) -> None:
        self.offset_s = 0.0
        """To be added to the local clock."""
        self._best_rtt_s = float("inf")
        self.rtt_s: float | None = None
        """The last round trip."""

    def restart(self) -> None:
        """The broker has a new epoch: its clock began again."""
        self._best_rtt_s = float("inf")

    def measure(self, clock_ticks: int, rtt_s: float, now: float) -> None:
        """The broker answered `clock_ticks` after a round trip that ended at `now`."""
        self.rtt_s = rtt_s
        self._best_rtt_s *= FADE
        if rtt_s <= self._best_rtt_s:
            self._best_rtt_s = rtt_s
            self.offset_s = (clock_ticks + 0.5) / TICKS_PER_S + rtt_s / 2 - now

    def stamp(self, local: float) -> int:
        """The stamp of a local instant."""
        return stamp_of(local + self.offset_s)

    def age_s(self, stamp: int, now: float) -> float:
        """Seconds from `stamp` to the local `now`, never negative."""
        return max(0.0, age_s(stamp, now + self.offset_s))
