"""Arrays of numbers that a process shares with those it forks later."""

from __future__ import annotations

import mmap
from struct import calcsize


def shared_doubles(length: int) -> memoryview[float]:
    """`length` floats, all 0.0."""
    return _shared(length, "d")  # type: ignore[return-value]


def shared_ints(length: int) -> memoryview[int]:
    """`length` 32-bit integers, all 0."""
    return _shared(length, "i")


def _shared(length: int, code: str) -> memoryview[int]:
    # Anonymous memory has no name that a killed process could leave behind. A mapping of nothing is not possible.
    memory = mmap.mmap(-1, max(length, 1) * calcsize(code))
    return memoryview(memory).cast(code)[:length]  # type: ignore[call-overload, no-any-return]
