"""Suspension: when a server's handlers must not run, because the broker may have given what waits to another instance.

The broker moves a service's events when their instance has been without links for the failover time. So an instance
that has lost its links handles what waits for half of that time and then no more; and one that did not get a turn for
as long asks the broker first whether it is still there.
"""

from __future__ import annotations

from typing import Final

NEVER: Final = float("inf")


class Suspension:
    """One attachment's; it never holds before a failover time is known."""

    def __init__(self) -> None:
        self._limit_s = NEVER
        self._last_turn = NEVER
        self._lost_at = NEVER
        self._asked_us: int | None = None

    def welcomed(self, failover_s: float) -> None:
        """The broker knows this attachment, and has told it what is not its own any more."""
        self._limit_s = failover_s / 2
        self._lost_at = NEVER
        self._asked_us = None

    def lost(self, now: float) -> None:
        """The links are gone."""
        self._lost_at = min(self._lost_at, now)

    def turn(self, now: float) -> bool:
        """A turn begins; True if the broker has to be asked for a sign of life, at this very time."""
        late = now - self._last_turn > self._limit_s
        self._last_turn = now
        if late:
            self._asked_us = int(now * 1e6)
        return late

    def answered(self, asked_us: int) -> None:
        """The broker has answered what it was asked at this time, in whole microseconds."""
        if self._asked_us is not None and asked_us >= self._asked_us:
            self._asked_us = None

    def holds(self, now: float) -> bool:
        """Whether handlers must wait."""
        return self._asked_us is not None or now - self._lost_at > self._limit_s
