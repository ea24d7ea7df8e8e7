"""Trials at work: a round of suspects is let go when the last one is settled, and what is fresh waits for them."""

from __future__ import annotations

from collections.abc import Callable

from lanebus.broker.attachment import Outbound
from lanebus.broker.events import Event
from lanebus.broker.sessions import Session
from lanebus.broker.trial import Trial
from lanebus.wire.lanes import LANES, Lane


class Trials:
    """Gives sessions what others did not settle.

    Args:
        credit_bytes: of a session on a lane; a round that reaches it ends.
        enqueue: puts a part into the queue of its link.
        refill: lets go what waits for a session on a lane, as far as that may go.
    """

    def __init__(
        self,
        credit_bytes: int,
        enqueue: Callable[[Outbound, Event, tuple[Session, ...]], None],
        refill: Callable[[Session, Lane, float], None],
    ) -> None:
        self._credit_bytes = credit_bytes
        self._enqueue = enqueue
        self._refill = refill

    def begin(self, session: Session, now: float) -> None:
        """A session was given what another one had not settled: let go what may go at once."""
        trial = session.trial
        for receiving in session.receiving:
            # Where one of few ends processes, nothing else is to be under way.
            receiving.gated = receiving.gated or (trial is not None and trial.most > 0)
        for lane in LANES:
            if session.receiving[lane].gated:
                self._refill(session, lane, now)

    def tries(self, session: Session, trial: Trial, lane: Lane, now: float) -> bool:
        """Let go the next round of suspects, if it is time for one; False where nothing on the lane waits for them."""
        if trial.most:
            if any(receiving.committed_bytes for receiving in session.receiving):
                return True
            left = trial.most
            for each in LANES:
                if trial.group[each]:
                    left -= self._let_go(session, trial, each, left)
            if left < trial.most:
                return True
            trial.widen()
            for each in LANES:
                if each is not lane:
                    self._refill(session, each, now)
        receiving = session.receiving[lane]
        if receiving.suspects or receiving.deliveries:
            if receiving.committed_bytes:
                return True
            if self._let_go(session, trial, lane, trial.next_round(lane)):
                return True
        if not any(each.suspects or each.deliveries for each in session.receiving):
            session.trial = None
        return False

    def _let_go(self, session: Session, trial: Trial, lane: Lane, most: int) -> int:
        """Let go up to `most` suspects of a lane, the last ones being settled; how many those are."""
        receiving = session.receiving[lane]
        receiving.deliveries = {event: receiving.deliveries[event] for event in receiving.suspects}
        count = 0
        while receiving.suspects and count < most and receiving.committed_bytes < self._credit_bytes:
            event = receiving.suspects.popleft()
            trial.group[lane].discard(event)
            receiving.deliveries[event] += 1
            receiving.committed_bytes += event.size
            self._enqueue(session.attachment.outbound[lane], event, session.alone)
            count += 1
        return count
