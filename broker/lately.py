"""The last minute of what is counted from the start on, for next to nothing: its state is noted once in a while.

Who counts does nothing more for it. What is shown is the difference to the older of two notes: of the last
`SPAN_S` to twice as long.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from lanebus.wire.histogram import Histogram

SPAN_S: Final = 30.0
"""Between two notes."""


_Note = tuple[int, Sequence[int]]
"""The first bucket that is not empty, and the counts from there to the last one."""
_NOTHING: Final[_Note] = (0, array("Q"))


class Lately:
    """What one histogram was at the last two notes."""

    __slots__ = ("_newer", "_older")

    def __init__(self) -> None:
        self._older: _Note = _NOTHING
        self._newer: _Note = _NOTHING

    def note(self, histogram: Histogram) -> None:
        """To be called once in `SPAN_S`."""
        self._older = self._newer
        used = [index for index, count in enumerate(histogram.counts) if count]
        if used:
            now = used[0], array("Q", histogram.counts[used[0] : used[-1] + 1])
            # Of two that are the same one is kept.
            self._newer = self._older if now == self._older else now

    def of(self, histogram: Histogram) -> Histogram:
        """What it recorded lately."""
        first, counts = self._older
        return histogram.since(counts, first)
