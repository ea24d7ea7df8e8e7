"""Shaping: a player is sent no more than its allowance. What is over it waits in the player's own egress queue.

The critical lane never waits: what it takes leaves less for the others, who keep their own shares all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lanebus.broker.allowance import Allowance
from lanebus.broker.events import Event
from lanebus.broker.sessions import Receiving, Session
from lanebus.broker.timers import Timers
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES, Lane

STEP_S: Final = 0.02
"""Shortest time between two looks at a queue that waits for an allowance; what leaves together makes fewer batches."""

Refill = Callable[[Session, Lane, float], None]


class Shaping:
    """Decides which parts wait for their receiver's allowance, and comes back for them.

    Args:
        refill: lets go what may leave for a session on a lane.
    """

    def __init__(self, timers: Timers, refill: Refill) -> None:
        self._timers = timers
        self._refill = refill
        self.waited = [Histogram() for _ in LANES]
        """By lane: how long parts that had to wait for an allowance did, microseconds."""

    def holds(self, allowance: Allowance, lane: Lane, now: float) -> bool:
        """Whether one more part has to wait."""
        if lane is Lane.CRITICAL:
            return False
        allowance.refill(now)
        return not allowance.has(lane)

    def wait(self, session: Session, lane: Lane, now: float) -> None:
        """What a session has waiting on a lane waits for its allowance: come back when there is some."""
        receiving = session.receiving[lane]
        if receiving.allowance is None or receiving.shaped_until is not None:
            return
        due = receiving.shaped_until = now + max(STEP_S, receiving.allowance.wait_s(lane, STEP_S))

        def come_back(at: float) -> None:
            if receiving.shaped_until == due:
                receiving.shaped_until = None
                self._refill(session, lane, at)

        self._timers.at(due, come_back)

    def forget(self, session: Session, lane: Lane, now: float) -> None:
        """A session has another allowance, or none: what waits is looked at now, and not when the last one said."""
        receiving = session.receiving[lane]
        if receiving.shaped_until is not None:
            receiving.shaped_until = None
            self._refill(session, lane, now)

    def charge(self, session: Session, receiving: Receiving, event: Event) -> None:
        """`event` waits because its link takes nothing: its allowance is taken now, as if it had left.

        What an allowance grows by in a standstill would be lost otherwise, and who comes back lag behind for good.
        """
        if receiving.allowance is None:
            return
        lane = event.lane
        ratio = session.attachment.outbound[lane].ratio
        while receiving.charged_bytes < receiving.waiting_bytes and not self.holds(
            receiving.allowance, lane, event.arrived
        ):
            receiving.allowance.take(lane, event.size * ratio)
            receiving.charged_bytes += event.size

    def let_go(self, receiving: Receiving, event: Event, now: float) -> None:
        """A part that waited may leave now."""
        if receiving.shaped:
            self.waited[event.lane].record(int((now - event.arrived) * 1e6))
