"""A cheap histogram of microseconds: log-linear, mergeable, 256 buckets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_EXACT: Final = 16
"""Values below this have a bucket each; above, every octave has eight."""
BUCKETS: Final = 256
_SHOWN: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
MAX_VALUE_US: Final = (1 << 32) - 1


class Histogram:
    """Counts of whole microseconds. A quantile is at most 6.25 % from the recorded value."""

    __slots__ = ("count", "counts", "max_us", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.count = 0
        self.sum_us = 0
        self.max_us = 0

    def record(self, value_us: int, times: int = 1) -> None:
        """Count a value so often; negative ones count as 0, values over 71 minutes as 71 minutes."""
        if value_us < _EXACT:
            value_us = max(value_us, 0)
            index = value_us
        else:
            if value_us > MAX_VALUE_US:
                value_us = MAX_VALUE_US
            shift = value_us.bit_length() - 4
            index = (shift << 3) + (value_us >> shift)
        self.counts[index] += times
        self.count += times
        self.sum_us += value_us * times
        if value_us > self.max_us:
            self.max_us = value_us

    def merge(self, other: Histogram) -> None:
        """Add another histogram's values."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.count += other.count
        self.sum_us += other.sum_us
        self.max_us = max(self.max_us, other.max_us)

    def since(self, counts: Sequence[int], first: int = 0) -> Histogram:
        """What was recorded since its counts were these; sum and maximum are as exact as the buckets.

        Args:
            first: bucket of the first of `counts`; those that it does not have were 0.
        """
        made = Histogram()
        made.counts = self.counts[:]
        for index, before in enumerate(counts, first):
            made.counts[index] -= before
        for index, count in enumerate(made.counts):
            if count:
                made.count += count
                made.sum_us += int(count * _middle(index))
                made.max_us = min(_last(index), self.max_us)
        return made

    def quantile_us(self, share: float) -> float | None:
        """The value below which `share` (0 to 1) of the values lie, microseconds; None while it is empty."""
        if not self.count:
            return None
        wanted = share * self.count
        seen = 0
        for index, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return min(_middle(index), float(self.max_us))
        return float(self.max_us)

    def below_powers(self, exponents: Sequence[int]) -> list[int]:
        """For each of `exponents`, from 4 on: how many values are below that power of two, exactly."""
        return [sum(self.counts[: (exponent - 2) << 3]) for exponent in exponents]

    def mean_us(self) -> float | None:
        """The mean, microseconds; None while it is empty."""
        return self.sum_us / self.count if self.count else None

    def in_ms(self) -> dict[str, float | None]:
        """Median, 95th and 99th percentile and maximum by name, milliseconds; None while it is empty."""
        figures = {name: self.quantile_us(share) for name, share in _SHOWN.items()}
        figures["max"] = float(self.max_us) if self.count else None
        return {name: None if value is None else value / 1e3 for name, value in figures.items()}

    def as_list(self) -> list[int]:
        """The histogram as plain numbers: sum, maximum, then the counts up to the last that is not 0."""
        last = max((index for index, count in enumerate(self.counts) if count), default=-1)
        return [self.sum_us, self.max_us, *self.counts[: last + 1]]

    def add_counts(self, sum_us: int, max_us: int, counts: Sequence[int]) -> None:
        """Add what another one recorded: its sum and maximum, and pairs of a bucket and its count."""
        for bucket, count in zip(counts[::2], counts[1::2], strict=True):
            self.counts[bucket] += count
            self.count += count
        self.sum_us += sum_us
        self.max_us = max(self.max_us, min(max_us, MAX_VALUE_US))

    @classmethod
    def from_list(cls, figures: Sequence[int]) -> Histogram:
        """The histogram that `as_list` gave."""
        made = cls()
        made.sum_us, made.max_us = figures[0], figures[1]
        for index, count in enumerate(figures[2:]):
            made.counts[index] = count
        made.count = sum(made.counts)
        return made


def _last(index: int) -> int:
    """The greatest value of a bucket."""
    if index < _EXACT:
        return index
    shift = (index >> 3) - 1
    return ((index - (shift << 3) + 1) << shift) - 1


def _middle(index: int) -> float:
    if index < _EXACT:
        return float(index)
    shift = (index >> 3) - 1
    low = (index - (shift << 3)) << shift
    return low + (1 << shift) / 2
