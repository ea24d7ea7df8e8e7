"""Overflow: which parts are dropped for receivers that fall behind. Those of groups, of lists and of all; no others."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final

from lanebus.broker.budget import Budget
from lanebus.broker.events import Event
from lanebus.broker.gaps import dropped
from lanebus.broker.sessions import NO_HOLD, Receiving
from lanebus.wire.outcomes import Outcome, Reason

_FEWEST: Final = 64
"""Receivers that are remembered before it is worth a look whose parts still wait."""


class Overflow:
    """Drops shared parts that wait, and leaves word for their receivers.

    Args:
        part_ended: books the end of a part.
    """

    def __init__(self, budget: Budget, part_ended: Callable[[Event, Outcome, Reason, float], None]) -> None:
        self._budget = budget
        self._part_ended = part_ended
        self._receivers: dict[Receiving, None] = {}
        """All for whom shared parts wait, and some for whom none do any more."""
        self._look_at = _FEWEST
        """How many of them there have to be for the next look who still belongs there."""

    def note(self, receiving: Receiving) -> None:
        """Shared parts may wait for a receiver."""
        self._receivers[receiving] = None
        if len(self._receivers) > self._look_at:
            self._look()

    def _look(self) -> None:
        self._receivers = {each: None for each in self._receivers if each.waiting.has_shared}
        self._look_at = _FEWEST + 2 * len(self._receivers)

    def trim(self, receiving: Receiving, limit_bytes: int, now: float, older_than: float = -NO_HOLD) -> None:
        """Drop shared parts, oldest first, until `limit_bytes` are left; and those that are `older_than` an instant."""
        waiting = receiving.waiting
        while receiving.waiting_bytes > limit_bytes and waiting.has_shared:
            self._drop(receiving, waiting.pop_shared(), Reason.SLOW_RECEIVER, now)
        for event in waiting.take_older(older_than):
            self._drop(receiving, event, Reason.SLOW_RECEIVER, now)

    def relieve(self, now: float) -> None:
        """Drop shared parts that wait for slow receivers, of the slowest first, until the budget has room again."""
        self._look()
        for receiving in sorted(self._receivers, key=attrgetter("waiting_bytes"), reverse=True):
            while receiving.waiting.has_shared:
                if self._budget.excess_bytes < 0:
                    return
                self._drop(receiving, receiving.waiting.pop_shared(), Reason.BROKER_FULL, now)

    def _drop(self, receiving: Receiving, event: Event, reason: Reason, now: float) -> None:
        """End a part that was taken out of those that wait; the receiver will hear of the gap."""
        receiving.waiting_bytes -= event.size
        receiving.dropped += 1
        dropped(receiving, event)
        self._part_ended(event, Outcome.DROPPED, reason, now)
