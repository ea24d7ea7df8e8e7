"""Timers: what is due when. The core asks for the next instant; nothing here reads a clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from lanebus.wire.lanes import TIMER_SLACK_S

Action = Callable[[float], None]
"""Called with the time when due."""


class Timers:
    """A heap of instants and what to do then. There is no cancelling: an action looks whether it is still wanted."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Action]] = []
        self._order = count()

    def at(self, when: float, action: Action) -> None:
        """Call `action` once `when` has come."""
        heapq.heappush(self._heap, (when, next(self._order), action))

    def wake(self, when: float) -> None:
        """See to it that there is a turn at an instant, for what is looked at in every turn."""
        self.at(when, _nothing)

    def next(self) -> float | None:
        """The earliest instant anything is due at."""
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> int:
        """Carry out all that is due at `now`, or less than the slack later, earliest first; say how much it was."""
        done = 0
        while self._heap and self._heap[0][0] <= now + TIMER_SLACK_S:
            _, _, action = heapq.heappop(self._heap)
            action(now)
            done += 1
        return done

    def __len__(self) -> int:
        return len(self._heap)


def _nothing(now: float) -> None:
    """The turn is what was wanted."""
