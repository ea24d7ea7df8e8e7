"""What one receiver should get from one sender on one lane, compared with what arrives, event by event."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Protocol


class Contents(Protocol):
    """What is known of every event of a replay, each by its index."""

    @property
    def topics(self) -> Sequence[str]:
        """The topics."""

    @property
    def payloads(self) -> Sequence[bytes]:
        """The payloads as they travel, MessagePack."""

    @property
    def numbers(self) -> Sequence[int]:
        """The number that the sender's adapter gives the event: per lane, from 1."""


@dataclass(slots=True)
class Faults:
    """What was wrong with a stream, in events."""

    lost: int = 0
    """Never arrived."""
    duplicated: int = 0
    """Arrived again."""
    misordered: int = 0
    """Arrived, once and whole, after an event that was sent later."""
    corrupted: int = 0
    """Arrived with another topic or payload than it was sent with, or was never meant for this receiver."""

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated or self.misordered or self.corrupted)

    def add(self, other: Faults) -> None:
        """Add another stream's faults to these."""
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.misordered += other.misordered
        self.corrupted += other.corrupted


class StreamChecker:
    """Compares the events of one (receiver, sender, lane) with the exact sequence that the plan demands.

    An event is known by its number, topic and payload bytes together. The next expected one costs three comparisons;
    only something else is looked up, by its number, in the sequence.
    """

    __slots__ = (
        "_corrupted",
        "_damaged",
        "_duplicated",
        "_expected",
        "_misordered",
        "_missing",
        "_next",
        "_numbers",
        "_payloads",
        "_refill",
        "_topics",
        "total",
    )

    def __init__(
        self,
        contents: Contents,
        expected: MutableSequence[int],
        *,
        total: int | None = None,
        refill: Callable[[], Iterator[int]] | None = None,
    ) -> None:
        """Expect the events whose indexes into `contents` are in `expected`, in that order.

        Where the order is only decided while events are sent, `refill` gives the indexes that were decided since its
        last call, and `total` says how many there will be in the end.
        """
        self._topics = contents.topics
        self._payloads = contents.payloads
        self._numbers = contents.numbers
        self._expected = expected
        self._refill = refill
        self.total = len(expected) if total is None else total
        """Events that should arrive in all."""
        self._next = 0
        self._missing: set[int] = set()  # positions before `_next` that have not arrived
        self._damaged = 0  # positions before `_next` that arrived with the wrong content
        self._duplicated = 0
        self._misordered = 0
        self._corrupted = 0

    def take(self, number: int, topic: str, payload: bytes) -> int:
        """Judge one arrived event and return its index; -1 when it is a duplicate or corrupted."""
        position = self._next
        try:
            index = self._expected[position]
        except IndexError:
            return self._take_irregular(number, topic, payload)
        if (
            self._numbers[index] == number
            and self._payloads[index] == payload
            and self._topics[index] == topic
        ):
            self._next = position + 1
            return index
        return self._take_irregular(number, topic, payload)

    @property
    def delivered(self) -> int:
        """Events that have arrived, each counted once, whole."""
        return self._next - len(self._missing) - self._damaged

    @property
    def complete(self) -> bool:
        """Whether nothing is still to come."""
        return self._next == self.total and not self._missing

    def faults(self) -> Faults:
        """What was wrong, if nothing more arrives."""
        return Faults(
            lost=self.total - self.delivered - self._damaged,
            duplicated=self._duplicated,
            misordered=self._misordered,
            corrupted=self._corrupted,
        )

    def _take_irregular(self, number: int, topic: str, payload: bytes) -> int:
        expected = self._expected
        if self._refill is not None:
            expected.extend(self._refill())
        # A sender's numbers rise in the order of its events, so those of the expected ones are sorted.
        position = bisect_left(expected, number, key=self._numbers.__getitem__)
        if position == len(expected) or self._numbers[expected[position]] != number:
            self._corrupted += 1
            return -1
        index = expected[position]
        is_whole = self._payloads[index] == payload and self._topics[index] == topic
        if position >= self._next:
            self._missing.update(range(self._next, position))
            self._next = position + 1
        elif position in self._missing:
            self._missing.remove(position)
            if is_whole:
                self._misordered += 1
        else:
            if is_whole:
                self._duplicated += 1
            else:
                self._corrupted += 1
            return -1
        if is_whole:
            return index
        self._corrupted += 1
        self._damaged += 1
        return -1
