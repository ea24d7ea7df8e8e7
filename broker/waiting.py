"""Waiting: the queue of parts that wait for one session's credit or allowance.

A part is several small objects, together a few times as large as what travels, and the interpreter gives the memory of
small objects back to the system only where nothing else is left beside them. So parts that have waited for a while
are packed: kept encoded, many together, in memory that is mapped for them and given back when they are taken out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from operator import attrgetter
from sys import intern
from typing import TYPE_CHECKING, Final

import msgspec

from lanebus.broker.events import Event
from lanebus.wire.bodies import encode_body
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

if TYPE_CHECKING:
    from lanebus.broker.sessions import Session

PACK_PARTS: Final = 64
"""Parts that are packed, and taken out again, in one go: a fifth of a millisecond."""
PACK_AGE_S: Final = 1.0
"""No part is packed before it has waited so long: most leave sooner, and those of groups are shared until then."""
FEWEST_PARTS: Final = 16
"""Fewer in a row are not worth a page of memory."""

Run = tuple[int, str | None, float, float, bool, bool, Outcome, Reason, list[tuple[int, bytes]]]
"""Consecutive parts that differ in their numbers and bytes alone, as those of one batch to one destination do."""
_SAME: Final = attrgetter("origin", "to", "arrived", "hold_until", "shared", "answered", "worst", "reason")
_decoder: Final = msgspec.msgpack.Decoder(list[Run])


class Pack:
    """Consecutive parts, encoded. Each is the only one of its event that has not ended, and has no terms.

    Raises:
        OSError: the system maps no more memory.
    """

    __slots__ = ("_block", "_lane", "_origins", "_parts")

    def __init__(self, events: list[Event]) -> None:
        origins: dict[Session, int] = {}
        runs = [
            (origins.setdefault(origin, len(origins)), *same, [(event.number, event.wire) for event in run])
            for (origin, *same), run in groupby(events, _SAME)
        ]
        encoded = encode_body(runs)
        self._block = mmap(-1, len(encoded), flags=MAP_PRIVATE | MAP_ANONYMOUS)
        self._block.write(encoded)
        self._origins = list(origins)
        self._lane: Lane = events[0].lane
        self._parts = len(events)

    def __len__(self) -> int:
        return self._parts

    def events(self) -> list[Event]:
        """What was packed, as new objects."""
        events: list[Event] = []
        for index, to, arrived, hold_until, shared, answered, worst, reason, parts in _decoder.decode(
            self._block
        ):
            origin = self._origins[index]
            # One object for all, as it was before.
            to = to and intern(to)
            events += [
                Event(
                    origin,
                    self._lane,
                    number,
                    wire,
                    len(wire),
                    to,
                    arrived,
                    hold_until,
                    None,
                    shared,
                    1,
                    answered,
                    worst,
                    reason,
                )
                for number, wire in parts
            ]
        return events


class Waiting:
    """Parts, oldest first. Those at both ends are objects, of those between them most are packed while they are many.

    Iteration reads: of a packed part it gives a copy.
    """

    __slots__ = ("_head", "_middle", "_pack_at", "_parts", "_tail")

    def __init__(self) -> None:
        self._head: deque[Event] = deque()
        """Empty only when all is."""
        self._middle: list[Pack | list[Event]] = []
        self._tail: list[Event] = []
        self._parts = 0
        self._pack_at = 2 * PACK_PARTS
        """How long the tail has to be for the next try."""

    def __len__(self) -> int:
        return self._parts

    def __iter__(self) -> Iterator[Event]:
        yield from self._head
        for segment in self._middle:
            yield from segment.events() if isinstance(segment, Pack) else segment
        yield from self._tail

    def __getitem__(self, index: int) -> Event:
        """One that is not packed; counted from the oldest, and not from the end."""
        segment, index = self._find(index)
        return segment[index]

    def __setitem__(self, index: int, event: Event) -> None:
        segment, index = self._find(index)
        segment[index] = event

    @property
    def packed(self) -> int:
        """How many are packed."""
        return sum(len(segment) for segment in self._middle if isinstance(segment, Pack))

    def append(self, event: Event) -> None:
        """One that has just arrived."""
        self._parts += 1
        if not self._tail and not self._middle and len(self._head) < PACK_PARTS:
            self._head.append(event)
            return
        self._tail.append(event)
        if len(self._tail) >= self._pack_at:
            self._pack(event.arrived)

    def extendleft(self, events: Iterable[Event]) -> None:
        """Give back what was taken from the left, the last one first."""
        before = len(self._head)
        self._head.extendleft(events)
        self._parts += len(self._head) - before

    def popleft(self) -> Event:
        """Take the oldest one."""
        event = self._head.popleft()
        self._parts -= 1
        if not self._head:
            self._advance()
        return event

    def take(self, which: Callable[[Event], bool], *, packed: bool = True) -> list[tuple[int, Event]]:
        """Take those for which `which` holds, oldest first, with where each stood before.

        Args:
            packed: whether also of those that are packed.
        """
        taken: list[tuple[int, Event]] = []
        segments: list[Pack | list[Event]] = []
        index = 0
        for segment in (list(self._head), *self._middle):
            is_passed = isinstance(segment, Pack) and not packed
            segments.append(segment if is_passed else _without(segment, which, index, taken))
            index += len(segment)
        self._tail = _without_events(self._tail, which, index, taken)
        self._middle = [segment for segment in segments if segment]
        self._head = deque()
        self._parts -= len(taken)
        self._advance()
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self._head.clear()
        self._middle = []
        self._tail = []
        self._parts = 0
        self._pack_at = 2 * PACK_PARTS

    def loose(self) -> Iterator[tuple[int, Event]]:
        """Those that are not packed, with where they stand."""
        index = 0
        for segment in (self._head, *self._middle, self._tail):
            if not isinstance(segment, Pack):
                yield from enumerate(segment, index)
            index += len(segment)

    def _find(self, index: int) -> tuple[deque[Event] | list[Event], int]:
        in_tail = index - (self._parts - len(self._tail))
        if 0 <= in_tail < len(self._tail):
            return self._tail, in_tail
        for segment in chain((self._head,), self._middle):
            if index < len(segment):
                if index < 0 or isinstance(segment, Pack):
                    break
                return segment, index
            index -= len(segment)
        raise IndexError("no part that is not packed stands there")

    def _advance(self) -> None:
        """The head is empty: what comes next becomes the head."""
        if self._middle:
            segment = self._middle.pop(0)
            self._head = deque(segment.events() if isinstance(segment, Pack) else segment)
        else:
            self._head = deque(self._tail)
            self._tail = []
            self._pack_at = 2 * PACK_PARTS

    def _pack(self, now: float) -> None:
        """Pack the oldest of the tail, where they are old enough."""
        oldest = self._tail[:PACK_PARTS]
        if oldest[-1].arrived > now - PACK_AGE_S:
            self._pack_at = len(self._tail) + PACK_PARTS // 4
            return
        for packable, run in groupby(oldest, _may_be_packed):
            self._add(list(run), packable=packable)
        del self._tail[:PACK_PARTS]
        # At most one pack for so many that come: a burst is packed bit by bit once it is old enough.
        self._pack_at = max(2 * PACK_PARTS, len(self._tail) + PACK_PARTS // 4)

    def _add(self, events: list[Event], *, packable: bool) -> None:
        if packable and len(events) >= FEWEST_PARTS:
            try:
                self._middle.append(Pack(events))
                return
            except OSError:
                pass  # they stay what they are: larger, and no less safe
        if self._middle and isinstance(last := self._middle[-1], list):
            last.extend(events)
        else:
            self._middle.append(events)


def _may_be_packed(event: Event) -> bool:
    return event.terms is None and event.remaining == 1 and event.size == len(event.wire)


def _without(
    segment: Pack | list[Event], which: Callable[[Event], bool], index: int, taken: list[tuple[int, Event]]
) -> Pack | list[Event]:
    """What is left when those for which `which` holds are `taken`; a pack, if all of it is.

    Args:
        index: where the segment's first part stands.
    """
    if not isinstance(segment, Pack):
        return _without_events(segment, which, index, taken)
    events = _without_events(segment.events(), which, index, taken)
    return segment if len(events) == len(segment) else events


def _without_events(
    events: list[Event], which: Callable[[Event], bool], index: int, taken: list[tuple[int, Event]]
) -> list[Event]:
    kept: list[Event] = []
    for at, event in enumerate(events, index):
        if which(event):
            taken.append((at, event))
        else:
            kept.append(event)
    return kept
