"""News in order: a peer's leaving is told to a watcher behind what the peer sent to it, and its coming before.

The leaving waits, and with it all later news of that peer, while anything older is in the watcher's queues: they are
first in, first out, so their heads say it. What has left by then may still be behind on its own connection: the message
says which batches the leaving comes after.
"""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

from lanebus.broker.attachment import Attachment

T = TypeVar("T")

LOOK_S: Final = 0.02
"""How soon a leaving that waits is looked at again."""
MOST_WAITING: Final = 4096
"""Peers of whose leaving a watcher has not been told; past it the oldest is told, whatever is ahead of it."""


class News(NamedTuple, Generic[T]):
    """Something to be told of a peer."""

    peer: str
    entry: T
    left_at: float | None
    """When it left; None where it did not."""


class InOrder(Generic[T]):
    """What one watcher is to be told."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[News[T]]] = {}
        """By peer: that it left, and what came later."""

    def __len__(self) -> int:
        return len(self._waiting)

    def clear(self) -> None:
        """It is told everything anew."""
        self._waiting.clear()

    def take(self, attachment: Attachment, news: list[News[T]]) -> list[T]:
        """What of `news`, and of what waits, may be told to the watcher now; the rest waits."""
        ready: list[T] = []
        if self._waiting:
            for peer in list(self._waiting):
                ready.extend(self._pass(attachment, peer, self._waiting.pop(peer)))
        for each in news:
            behind = self._waiting.get(each.peer)
            if behind is not None:
                behind.append(each)
            else:
                ready.extend(self._pass(attachment, each.peer, [each]))
        while len(self._waiting) > MOST_WAITING:
            ready.extend(each.entry for each in self._waiting.pop(next(iter(self._waiting))))
        return ready

    def _pass(self, attachment: Attachment, peer: str, news: list[News[T]]) -> list[T]:
        """What may be told of a peer, in order; the rest waits."""
        for position, each in enumerate(news):
            if each.left_at is not None and waits_since(attachment, each.left_at):
                self._waiting[peer] = news[position:]
                return [told.entry for told in news[:position]]
        return [told.entry for told in news]


def waits_since(attachment: Attachment, instant: float) -> bool:
    """Whether anything that came until `instant` has not left for a watcher."""
    for out in attachment.outbound:
        if out.queue and out.queue[0][0].arrived <= instant:
            return True
    for session in attachment.sessions.values():
        for receiving in session.receiving:
            if receiving.waiting and receiving.waiting.oldest.arrived <= instant:
                return True
    return False


def batches_sent(attachment: Attachment) -> list[int]:
    """By lane: the number of the last batch that has left on the present links; empty if none has."""
    numbers = [out.next_number - 1 for out in attachment.outbound]
    return numbers if any(numbers) else []
