"""News of peers, in their order: that one has come is told before its events, that it has left after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from lanebus.adapters.incoming import Incoming

T = TypeVar("T")


class Mark(NamedTuple):
    """How far the broker's batches had come when it told something."""

    link: int
    """Which links of the attachment those were."""
    batches: Sequence[int]
    """By lane: the number of the last one; empty for none."""


class News(Generic[T]):
    """What the program has not been told of peers.

    Args:
        incoming: says what has arrived, and what of that waits for a handler.
    """

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._waiting: list[tuple[str, T, Mark | None]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, peer: str, change: T, *, left: Sequence[int] | None = None) -> None:
        """Something has become of a peer.

        Args:
            left: it is gone: by lane, the number of the last batch that may hold something of it; empty for none.
        """
        mark = None if left is None else Mark(self._incoming.links, left)
        self._waiting.append((peer, change, mark))

    def clear(self) -> None:
        """Nobody wants to know any more."""
        self._waiting.clear()

    def take(self) -> list[T]:
        """What may be told now, in order: all but the leaving of who has events that wait, and what is behind that."""
        waiting, self._waiting = self._waiting, []
        if not any(mark is not None for _, _, mark in waiting):
            return [change for _, change, _ in waiting]
        busy = {stream.name for arrivals in self._incoming.arrivals for stream, _ in arrivals}
        told = []
        held: set[str] = set()
        for each in waiting:
            peer, change, mark = each
            if peer in held or (mark is not None and (peer in busy or self._is_ahead(mark))):
                held.add(peer)
                self._waiting.append(each)
            else:
                told.append(change)
        return told

    def _is_ahead(self, mark: Mark) -> bool:
        """Whether a batch from before the mark has not been read. Those of links that are lost come again, or never."""
        incoming = self._incoming
        return mark.link == incoming.links and any(
            has < last for has, last in zip(incoming.received, mark.batches, strict=False)
        )
