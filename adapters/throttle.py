"""Throttled sends: what a session that is over a limit holds back on a lane, and at which pace it goes on.

The broker says from which event on it accepted nothing. That event and all behind it leave again, in order, when it
says, and then no faster than the limit: who sends on at full speed would be turned away again and again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from operator import attrgetter
from typing import Final, NamedTuple

from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.retry import Backoff
from lanebus.wire.lanes import TIMER_SLACK_S, Lane
from lanebus.wire.messages import Throttled

STEP_S: Final = 0.05
"""Held events are let go in steps of so long: what leaves together makes fewer batches."""


class Hold:
    """What one session holds back on one lane."""

    def __init__(self) -> None:
        self.limit = ""
        """The name of the limit."""
        self.events: deque[OutEvent] = deque()
        self.number = 0
        """The first event that was not accepted."""
        self.next_at = 0.0
        """When the next event may leave."""
        self.due = 0.0
        """When to look again."""
        self._backoff = Backoff()
        self._events_per_s = 0.0
        self._bytes_per_s = 0.0

    def throttled(self, entry: Throttled, events: Iterable[OutEvent], now: float) -> None:
        """The broker has accepted nothing from an event on: `events` are all that are to leave, once each."""
        wait_s = entry.retry_after_ms / 1e3
        if entry.number > self.number:
            self._backoff.succeeded()
        else:
            # Not one event was accepted since the last time: others use up the same limit.
            wait_s = max(wait_s, self._backoff.next_wait_s())
        self.limit, self.number = entry.limit, entry.number
        self._events_per_s, self._bytes_per_s = entry.events_per_s, entry.bytes_per_s
        self.events = deque(sorted(events, key=attrgetter("number")))
        self.due = self.next_at = now + wait_s

    def release(self, now: float, ratio: float) -> list[OutEvent]:
        """The events that may leave now, in order.

        Args:
            ratio: bytes that travel for a byte of an event.
        """
        released: list[OutEvent] = []
        if now + TIMER_SLACK_S < self.due:
            return released
        # What could have left while nothing was there is not made up for; what a late turn has missed is.
        self.next_at = max(self.next_at, now - 4 * STEP_S)
        while self.events and self.next_at <= now + TIMER_SLACK_S:
            event = self.events.popleft()
            released.append(event)
            self.next_at += self._cost_s(event.size * ratio)
        self.due = max(self.next_at, now + STEP_S)
        return released

    def _cost_s(self, size_bytes: float) -> float:
        cost_s = 1.0 / self._events_per_s if self._events_per_s else 0.0
        return max(cost_s, size_bytes / self._bytes_per_s) if self._bytes_per_s else cost_s

    def is_over(self, now: float) -> bool:
        """Whether nothing is held and the next event need not wait."""
        return not self.events and self.next_at <= now + TIMER_SLACK_S


class ThrottledLane(NamedTuple):
    """A lane of a session that is held to a limit, for the program to see."""

    session: str
    lane: Lane
    limit: str
    """The limit's name, as the broker's configuration has it."""
    events: int
    """Events that are held back."""
    next_in_s: float
    """Seconds until the next one leaves."""
