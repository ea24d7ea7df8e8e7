"""When the broker is told what was received and handled: together, for all lanes and sessions, and never late."""

from __future__ import annotations

from math import inf
from typing import Final

from lanebus.adapters.incoming import Incoming
from lanebus.wire.lanes import TIMER_SLACK_S

SOON_S: Final = 0.05
"""Shortest time between two settlements that are sent because the broker waits for them."""


class Reporting:
    """One attachment's."""

    def __init__(self) -> None:
        self.due: float | None = None
        """When to tell; None while there is nothing to tell, or nobody."""
        self.interval_s = 0.2
        self.credit_bytes = 1 << 18
        self._told_at = -inf

    def soon(self) -> None:
        """The broker waits for what was handled just now."""
        due = self._told_at + SOON_S
        self.due = due if self.due is None else min(due, self.due)

    def hurry(self, now: float) -> None:
        """From now on everything is told at once."""
        self.interval_s = 0.0
        self.due = now

    def is_due(self, incoming: Incoming, window_batches: int, now: float) -> bool:
        """Whether to tell now; at once when half a window, or a quarter of a credit, waits for it."""
        owed = incoming.owed_batches
        if owed >= window_batches // 2 or incoming.handled_bytes >= self.credit_bytes // 4:
            self.due = now
        elif self.due is None and (owed or incoming.to_report):
            self.due = now + self.interval_s
        if self.due is None or self.due > now + TIMER_SLACK_S:
            return False
        self._told_at = now
        return True

    def stop(self) -> None:
        """All is told, or nobody is there."""
        self.due = None
