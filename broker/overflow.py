"""Overflow: which parts are dropped for receivers that fall behind. Those of groups, of lists and of all; no others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from lanebus.broker.budget import Budget
from lanebus.broker.events import Event
from lanebus.broker.gaps import dropped
from lanebus.broker.latest import forget_waiting, keyed, put_back_waiting
from lanebus.broker.sessions import NO_HOLD, Receiving, Session
from lanebus.wire.outcomes import Outcome, Reason


class Overflow:
    """Drops shared parts that wait, and leaves word for their receivers.

    Args:
        part_ended: books the end of a part.
    """

    def __init__(self, budget: Budget, part_ended: Callable[[Event, Outcome, Reason, float], None]) -> None:
        self._budget = budget
        self._part_ended = part_ended

    def trim(self, receiving: Receiving, limit_bytes: int, now: float, older_than: float = NO_HOLD) -> None:
        """Drop shared parts, oldest first, until `limit_bytes` are left; and those that are `older_than` an instant."""
        kept: list[Event] = []
        before = len(receiving.waiting)
        aged = older_than != NO_HOLD
        while receiving.waiting:
            event = receiving.waiting[0]
            full = receiving.waiting_bytes > limit_bytes
            old = aged and event.arrived < older_than
            # A fresh value in an old place says nothing of those behind it.
            if not full and not old and not (aged and keyed(event)):
                break
            receiving.waiting.popleft()
            if event.shared and (full or old):
                forget_waiting(receiving, event)
                self._drop(receiving, event, Reason.SLOW_RECEIVER, now)
            else:
                kept.append(event)
                if len(kept) > 1024:
                    break
        put_back_waiting(receiving, kept, before)

    def relieve(self, sessions: Iterable[Session], now: float) -> None:
        """Drop shared parts that wait for slow receivers, of the slowest first, until the budget has room again."""
        waiting = [receiving for session in sessions for receiving in session.receiving if receiving.waiting]
        for receiving in sorted(waiting, key=attrgetter("waiting_bytes"), reverse=True):
            if self._budget.excess_bytes < 0:
                return
            self._drop_shared(receiving, now)

    def _drop_shared(self, receiving: Receiving, now: float) -> None:
        kept: list[Event] = []
        before = len(receiving.waiting)
        while receiving.waiting and self._budget.excess_bytes >= 0:
            event = receiving.waiting.popleft()
            if event.shared:
                forget_waiting(receiving, event)
                self._drop(receiving, event, Reason.BROKER_FULL, now)
            else:
                kept.append(event)
        put_back_waiting(receiving, kept, before)

    def _drop(self, receiving: Receiving, event: Event, reason: Reason, now: float) -> None:
        """End a part that was taken out of those that wait; the receiver will hear of the gap."""
        receiving.waiting_bytes -= event.size
        receiving.dropped += 1
        dropped(receiving, event)
        self._part_ended(event, Outcome.DROPPED, reason, now)
