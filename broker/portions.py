"""Portions: long work done a little in every turn of the loop, so that no event waits for it.

Work is a generator: it yields wherever it may be interrupted, is sent the time then, and returns its result. What it
walks through, it has listed when it began; what has ended by the time it comes to it is passed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")
R = TypeVar("R")

Work = Generator[None, float, R]
"""What yields wherever it may be interrupted, and returns a result."""

MOST_ANSWERS: Final = 16
"""Answers that are being made; further questions wait in their socket."""

BLOCK_BYTES: Final = 65_536

_encode = msgspec.msgpack.Encoder().encode


class Rows(list[bytes]):
    """An encoded array, in blocks."""


def rows(items: Iterable[T], row: Callable[[T, float], object], now: float) -> Work[Rows]:
    """An array with a row for each item, encoded as it is made: to encode thousands at the end takes too long, too.

    Args:
        row: makes one, of an item and the time; None for an item that is not shown.
    """
    # Blocks, and not an object for each row: thousands that live for a while would make the interpreter's collector
    # look through all there is; and one block of megabytes is copied again and again while it grows.
    found = Rows([b""])
    block = bytearray()
    count = 0
    for item in items:
        made = row(item, now)
        if made is not None:
            block += _encode(made)
            count += 1
            if len(block) >= BLOCK_BYTES:
                found.append(bytes(block))
                block.clear()
        now = yield
    found[0] = b"\xdd" + count.to_bytes(4, "big")
    found.append(bytes(block))
    return found


def complete(work: Work[R], now: float) -> R:
    """Do all of some work at one instant."""
    try:
        next(work)
        while True:
            work.send(now)
    except StopIteration as stop:
        result: R = stop.value
        return result


class Answers:
    """Answers of the control endpoint that are being made: one after the other, in the order of their questions."""

    def __init__(self) -> None:
        self._under_way: deque[tuple[bytes, Work[bytes | None]]] = deque()
        self._has_begun = False
        """Whether the first of them has."""

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def is_full(self) -> bool:
        """Whether no other one can be begun."""
        return len(self._under_way) >= MOST_ANSWERS

    def begin(self, route: bytes, work: Work[bytes | None]) -> None:
        """Make an answer for whoever asked by `route`."""
        self._under_way.append((route, work))

    def step(self, clock: Callable[[], float], until: float) -> list[tuple[bytes, bytes | None]]:
        """Go on until the time is over, by one step at least; what is complete is returned, with whom it is for."""
        done: list[tuple[bytes, bytes | None]] = []
        now = clock()
        while self._under_way:
            route, work = self._under_way[0]
            try:
                if self._has_begun:
                    work.send(now)
                else:
                    self._has_begun = True
                    next(work)
            except StopIteration as stop:
                self._has_begun = False
                self._under_way.popleft()
                done.append((route, stop.value))
            now = clock()
            if now >= until:
                break
        return done
