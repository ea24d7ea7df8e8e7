"""Open files: how many the process has, and how many connections are too many for its limit. Without I/O.

libzmq accepts connections until no descriptor is left. Then it tries again without a pause, and takes a whole core for
nothing, until one is free. So some are kept free.
"""

from __future__ import annotations

from typing import Final

SPARE: Final = 32
"""Descriptors that are to be free: as many connections are made between two looks without a hurry."""
REMEMBERED_S: Final = 10.0
"""How long after the last connection that had to go there are still too few."""


class OpenFiles:
    """Those of this process.

    Args:
        limit: how many there may be; None if there is no limit.
        own: how many are no connections.
    """

    def __init__(self, limit: int | None, own: int) -> None:
        self.limit = limit
        self._own = own
        self.used = own
        """How many there are, connections included."""
        self.strangers = 0
        """How many of them are connections by which no hello has come."""
        self._short_at = float("-inf")

    def missing(self, connections: int, strangers: int, now: float) -> int:
        """How many connections are to go, so that there is room for others; 0 while there is.

        Args:
            connections: how many there are.
            strangers: how many of them have said no hello.
        """
        self.used = self._own + connections
        self.strangers = strangers
        if self.limit is None or self.used <= self.limit - SPARE:
            return 0
        self._short_at = now
        return self.used - self.limit + 2 * SPARE

    def are_short(self, now: float) -> bool:
        """Whether there were too few, just now or a moment ago."""
        return now - self._short_at < REMEMBERED_S
