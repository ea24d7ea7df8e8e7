"""Runs: sets of event numbers as they travel, a flat list of first and last numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final, TypeVar

from lanebus.wire.errors import ErrorNumber, ProtocolError

V = TypeVar("V")

MAX_RUN_NUMBERS: Final = 1 << 20
"""Numbers that one settlement may name; more than any receiver can hold unsettled."""
_FEW: Final = 8
"""So many numbers at the end of a run are asked for one by one before it is looked up what there is."""
_MANY: Final = 64
"""After so many numbers that are not held it is looked up what there is."""


def add_number(runs: list[int], number: int) -> None:
    """Add `number` to flat `runs`, growing the last run when it follows on."""
    if runs and runs[-1] == number - 1:
        runs[-1] = number
    else:
        runs.append(number)
        runs.append(number)


def add_run(runs: list[int], first: int, last: int) -> None:
    """Add the numbers from `first` to `last` to flat `runs`, growing the last run when they follow on."""
    if runs and runs[-1] == first - 1:
        runs[-1] = last
    else:
        runs.append(first)
        runs.append(last)


def forget_below(numbers: dict[int, V], old: int, new: int) -> None:
    """Take the keys from `old` up to below `new` out of `numbers`, at the cost of the smaller of both.

    Never by looking for the first key: a dict whose first keys were taken out is slow to find the next.
    """
    if new - old <= len(numbers):
        for number in range(old, new):
            numbers.pop(number, None)
    else:
        for number in [number for number in numbers if number < new]:
            del numbers[number]


def runs_from(runs: Sequence[int], base: int) -> list[int]:
    """What flat `runs` name from `base` on, sorted, and as few as possible; no number may be named twice."""
    kept: list[int] = []
    for first, last in sorted(zip(runs[::2], runs[1::2], strict=True)):
        if last < base:
            continue
        first = max(first, base)
        if kept and kept[-1] == first - 1:
            kept[-1] = last
        else:
            kept.append(first)
            kept.append(last)
    return kept


def runs_of(numbers: Iterable[int]) -> list[int]:
    """The flat runs of `numbers`, which need not be sorted."""
    runs: list[int] = []
    for number in sorted(numbers):
        add_number(runs, number)
    return runs


def check_runs(runs: Sequence[int]) -> int:
    """Check runs that came from a peer, and count the numbers that they name.

    Raises:
        ProtocolError: they are not pairs of first and last, or name more numbers than could be unsettled.
    """
    if len(runs) % 2:
        raise ProtocolError(ErrorNumber.BAD_BODY, f"{len(runs)} bounds of runs: they come in pairs")
    total = 0
    for index in range(0, len(runs), 2):
        size = runs[index + 1] - runs[index] + 1
        if size < 1:
            raise ProtocolError(ErrorNumber.BAD_BODY, f"run from {runs[index]} to {runs[index + 1]}")
        total += size
        if total > MAX_RUN_NUMBERS:
            raise ProtocolError(ErrorNumber.BAD_BODY, f"runs name more than {MAX_RUN_NUMBERS} numbers")
    return total


def first_part(
    runs: Sequence[int], most_bounds: int, most_numbers: int = MAX_RUN_NUMBERS
) -> tuple[list[int], list[int]]:
    """What flat `runs` name first, in at most so many bounds (two at least) and numbers; and the rest."""
    part: list[int] = []
    for index in range(0, len(runs), 2):
        first, last = runs[index], runs[index + 1]
        if (part and len(part) + 2 > most_bounds) or not most_numbers:
            return part, list(runs[index:])
        if last - first >= most_numbers:
            middle = first + most_numbers
            return [*part, first, middle - 1], [middle, *runs[index + 1 :]]
        part += (first, last)
        most_numbers -= last - first + 1
    return part, []


def count_numbers(runs: Sequence[int]) -> int:
    """How many numbers checked `runs` name."""
    return sum(runs[1::2]) - sum(runs[::2]) + len(runs) // 2


class Lookup:
    """Takes what is held out of what runs name, for one message: no number that is named and not held is walked over.

    All that is taken with one of it costs as much as the runs are long and as there is held, whatever they name and
    however often they name it. Nothing is added meanwhile to what is held.
    """

    __slots__ = ("_missed", "_sorted")

    def __init__(self) -> None:
        self._missed = 0
        """How many numbers were asked for that are not held."""
        self._sorted: dict[int, tuple[dict[int, Any], list[int], list[int]]] = {}
        """By identity of what is held: that, its numbers in order, and of each place the next that was not passed."""

    def take(self, runs: Sequence[int], held: dict[int, V]) -> Iterator[V]:
        """Take out of `held` what checked `runs` name, in their order; no value may be false."""
        for index in range(0, len(runs), 2):
            first, last = runs[index], runs[index + 1]
            before = len(held)
            if _FEW < last - first < before and self._missed < _MANY:
                # As nearly always, all of it is held.
                yield from filter(None, map(held.pop, range(first, last + 1), repeat(None)))
                self._missed += last - first + 1 - (before - len(held))
                continue
            for number in range(first, last + 1):
                value = held.pop(number, None)
                if value is not None:
                    yield value
                elif last - number > _FEW:
                    break
            else:
                continue
            _, numbers, following = self._sorted.get(id(held)) or self._sort(held)
            at = _next_place(following, bisect_left(numbers, number))
            while at < len(numbers) and numbers[at] <= last:
                following[at] = at + 1
                value = held.pop(numbers[at], None)
                if value is not None:
                    yield value
                at = _next_place(following, at + 1)

    def _sort(self, held: dict[int, V]) -> tuple[dict[int, V], list[int], list[int]]:
        # What is held stays alive with its entry, so that nothing else can have its identity.
        entry = self._sorted[id(held)] = held, sorted(held), list(range(len(held) + 1))
        return entry


def _next_place(following: list[int], at: int) -> int:
    """The first place from `at` on that was not passed; those on the way are led past what was."""
    while following[at] != at:
        following[at] = following[following[at]]
        at = following[at]
    return at
