"""Which instances of services a session's events went to: a new broker has to be told.

An instance remembers what it has handled, so what is sent again has to go to the one that had it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lanebus.wire.messages import MAX_SERVED_BY

Entry = tuple[str, str, list[int]]
"""Service, instance, and by lane the first number of those events that it got."""

MAX_PER_SERVICE: Final = 8
"""Instances remembered of one service; an older one has to be gone for seconds before events move so often."""


class ServedBy:
    """The instances that served one session, as far as its unsettled events go back."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {}

    def note(self, service: str, instance: str, since: list[int]) -> None:
        """From the numbers `since` on, by lane, events for `service` go to `instance`."""
        entries = self._entries.setdefault(service, [])
        entries.append((service, instance, since))
        del entries[:-MAX_PER_SERVICE]

    def since(self, bases: Sequence[int]) -> list[Entry]:
        """What matters to events from the lowest unsettled numbers `bases` on, oldest first of each service."""
        for entries in self._entries.values():
            # One counts until its successor has begun on every lane.
            while len(entries) > 1 and all(
                first <= base for first, base in zip(entries[1][2], bases, strict=True)
            ):
                del entries[0]
        found = [entry for entries in self._entries.values() for entry in entries]
        return found[-MAX_SERVED_BY:]
