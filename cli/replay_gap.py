"""The longest time in which one receiver got nothing although something was on its way to it."""

from __future__ import annotations

from collections import deque
from typing import Final

_SILENCES: Final = 64
"""Silences that are remembered; what is delivered behind more of them than that is not looked up in the oldest."""


class GapMeter:
    """Measures one receiver: a gap is a silence between two deliveries, as far as something was due in it."""

    __slots__ = ("_last", "_silences", "longest_s")

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._last = float("-inf")
        self._silences: deque[tuple[float, float]] = deque(maxlen=_SILENCES)
        """From one delivery to the next, where that took longer than the longest gap so far."""

    def deliver(self, sent_at: float, now: float) -> None:
        """Something that was sent at `sent_at` is delivered at `now`."""
        if now - self._last > self.longest_s:
            self._silences.append((self._last, now))
        self._last = now
        if now - sent_at > self.longest_s:
            # Deliveries do not come in the order of their sending: this one may have been due before the last ones.
            for begin, end in self._silences:
                self.longest_s = max(self.longest_s, end - max(begin, sent_at))
