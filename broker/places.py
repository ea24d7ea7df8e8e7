"""Places: where the latest values stand in a queue, so that a newer one can take an older one's place at once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lanebus.broker.events import Event


class Places:
    """The places of one queue that grows at its right end and shrinks, or is given back to, at its left."""

    __slots__ = ("_at", "_head")

    def __init__(self) -> None:
        self._head = 0
        """Position of the queue's first entry, counted from the first that it ever had."""
        self._at: dict[Hashable, tuple[int, Event]] = {}

    def index(self, key: Hashable) -> int | None:
        """Where in the queue the value of `key` stands, if it does."""
        place = self._at.get(key)
        return None if place is None else place[0] - self._head

    def note(self, key: Hashable, index: int, event: Event) -> None:
        """`event` stands at `index` now."""
        self._at[key] = self._head + index, event

    def forget(self, key: Hashable, event: Event) -> None:
        """`event` has left the queue."""
        place = self._at.get(key)
        if place is not None and place[1] is event:
            del self._at[key]

    def moved(self, entries: int) -> None:
        """So many entries more were taken from the left than were put back there."""
        self._head += entries

    def restart(self) -> None:
        """The queue was made anew: what stands in it is to be noted again."""
        self._head = 0
        self._at = {}

    def __len__(self) -> int:
        return len(self._at)
