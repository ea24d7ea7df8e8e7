"""Skipped numbers: those of a sender that it has jumped over and that may still come.

A sender may jump by a million. So they are kept as the runs that were jumped over, one for each event that did, and
what has come of a run since: bounded by the events that came, not by their numbers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Skipped:
    """A set of numbers that grows at its upper end."""

    __slots__ = ("_came", "_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        """Of each run, lowest first; the first is behind the last where all of it has come."""
        self._came: set[int] = set()
        """Numbers inside of runs that have come."""

    def __contains__(self, number: int) -> bool:
        return self._run_of(number) >= 0

    def jump(self, first: int, last: int) -> None:
        """The numbers from `first` to `last` were jumped over; they are above all that were before."""
        self._firsts.append(first)
        self._lasts.append(last)

    def came(self, number: int) -> bool:
        """Take out a number that came; whether it was skipped."""
        at = self._run_of(number)
        if at < 0:
            return False
        if number == self._firsts[at]:
            self._firsts[at] = self._next_left(number + 1, 1)
        elif number == self._lasts[at]:
            self._lasts[at] = self._next_left(number - 1, -1)
        else:
            self._came.add(number)
        return True

    def forget_below(self, base: int) -> None:
        """Take out all numbers below `base`."""
        if not self._firsts:
            return
        gone = bisect_left(self._lasts, base)
        if gone:
            del self._firsts[:gone]
            del self._lasts[:gone]
        if not self._firsts:
            self._came.clear()
        elif self._firsts[0] < base:
            self._firsts[0] = self._next_left(base, 1)
        if gone and self._came:
            self._came = {number for number in self._came if number > self._firsts[0]}

    def runs(self) -> list[tuple[int, int]]:
        """First and last number of each run in which some are left, and perhaps not all."""
        return [(first, last) for first, last in zip(self._firsts, self._lasts, strict=True) if first <= last]

    def _run_of(self, number: int) -> int:
        """Where the run is that a skipped number belongs to; -1 if it was not skipped, or has come."""
        at = bisect_right(self._firsts, number) - 1
        return at if at >= 0 and number <= self._lasts[at] and number not in self._came else -1

    def _next_left(self, number: int, step: int) -> int:
        """The next number at the end of a run, from `number` on, that has not come."""
        while number in self._came:
            self._came.discard(number)
            number += step
        return number
