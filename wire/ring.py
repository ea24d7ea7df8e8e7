"""A ring of timed figures in arrays, and what can be said of figures: mean, deviation, percentiles.

Arrays and not objects: figures live for minutes, and small objects that live so long keep whole pools of memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import ceil, dist, nan, sqrt
from typing import Final

PERCENTILE_FLOORS: Final = {0.5: 4, 0.95: 20, 0.98: 50}
"""Fewest figures of which a percentile says anything: with fewer it is one of the extremes."""


class Ring:
    """Rows of figures with their times; the newest takes the place of the oldest.

    Args:
        columns: figures in a row.
        limit: rows.
    """

    __slots__ = ("_first", "_limit", "columns", "times")

    def __init__(self, columns: int, limit: int) -> None:
        self._limit = limit
        self._first = 0
        self.times = array("d")
        """In no order but that of the ring; `rows` and `since` give figures oldest first."""
        self.columns = [array("f") for _ in range(columns)]

    def __len__(self) -> int:
        """Rows that there are."""
        return len(self.times)

    def add(self, now: float) -> None:
        """Begin a row in which nothing is known."""
        if len(self.times) < self._limit:
            self.times.append(now)
            for column in self.columns:
                column.append(nan)
            return
        place = self._first
        self.times[place] = now
        for column in self.columns:
            column[place] = nan
        self._first = (place + 1) % self._limit

    def put(self, column: int, value: float) -> None:
        """Set a figure of the newest row; there has to be one."""
        self.columns[column][self._first - 1] = value

    def last(self, column: int) -> float | None:
        """A figure of the newest row; None where it is not known."""
        value = self.columns[column][self._first - 1] if self.times else nan
        return None if value != value else value

    def since(self, after: float, column: int) -> list[float]:
        """The known figures of a column of the rows later than `after`, oldest first."""
        return self.latest(self.count_since(after), column)

    def count_since(self, after: float) -> int:
        """Rows later than `after`."""
        times, first = self.times, self._first
        count = len(times)
        for back in range(1, count + 1):
            # Python counts negative places from the end, as the ring does.
            if times[first - back] <= after:
                return back - 1
        return count

    def latest(self, rows: int, column: int) -> list[float]:
        """The known figures of a column in so many of the newest rows, oldest first."""
        values, first = self.columns[column], self._first
        if rows <= first:
            found = values[first - rows : first]
        else:
            found = values[len(values) - (rows - first) :] + values[:first]
        return [value for value in found if value == value]

    def rows(self) -> Iterator[tuple[float, list[float | None]]]:
        """All rows with their times, oldest first; None for what is not known."""
        count = len(self.times)
        for step in range(count):
            place = (self._first + step) % count
            figures = [column[place] for column in self.columns]
            yield self.times[place], [None if figure != figure else figure for figure in figures]


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation, in the unit of the values; None before the second."""
    count = len(values)
    if count < 2:
        return None
    middle = sum(values) / count
    return dist(values, [middle] * count) / sqrt(count - 1)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least value that is not exceeded by a `share` of all; None with too few to say (`PERCENTILE_FLOORS`)."""
    if len(values) < PERCENTILE_FLOORS[share]:
        return None
    return sorted(values)[ceil(share * len(values)) - 1]
