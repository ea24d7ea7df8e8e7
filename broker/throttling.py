"""Throttling: senders over a limit keep their events, and are told from which one on, and when to go on.

From the first event that is not accepted, `Sending.held_from`, nothing of that session is accepted on that lane until
that event comes again: what was already under way behind it is passed over in silence, so that order is kept and each
throttle is said once. It is state, not a message: a sender with fresh links is told again. A batch is received all
the same, so that nobody else behind the same gateway waits.
"""

from __future__ import annotations

from typing import Final

from lanebus.broker.attachment import Attachment
from lanebus.broker.outgoing import Counters, Outgoing
from lanebus.broker.policies import ERROR_BUDGET, Limits, Over
from lanebus.broker.sending import Sending
from lanebus.broker.sessions import Session
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import MAX_THROTTLED, Throttle, Throttled

LATE_S: Final = 0.1
"""From here on the broker counts as late: frames that waited for it come all at once, and that is not their fault."""
LATE_FOR_S: Final = 1.0
"""For how long after that: what has piled up is taken in portions."""


class Throttling:
    """Admits events of sessions that have limits, and tells who is over one."""

    def __init__(self, outgoing: Outgoing, counters: Counters) -> None:
        self._outgoing = outgoing
        self._counters = counters
        self._to_tell: dict[Attachment, dict[tuple[Session, Lane], None]] = {}
        self._late_s = 0.0
        self._late_until = 0.0

    def broker_was_late(self, late_s: float, now: float) -> None:
        """The broker could take nothing for so long."""
        if late_s >= LATE_S:
            self._late_s = max(late_s, self._late_s if now < self._late_until else 0.0)
            self._late_until = now + LATE_FOR_S

    def admits(
        self,
        session: Session,
        limits: Limits,
        lane: Lane,
        number: int,
        size_bytes: float,
        now: float,
        *,
        replayed: bool,
    ) -> bool:
        """Whether an event that is new is accepted; it is charged then.

        Args:
            size_bytes: its share of the frame that it came in.
            replayed: whether it comes again, for another broker or session had it.
        """
        sending = session.sending[lane]
        if sending.held_from:
            if number > sending.held_from:
                self._count(session, lane)
                return False
            if number == sending.held_from:
                sending.held_from = 0
        limits.refill(now, self._late_s if now < self._late_until else 0.0)
        # What the sender said at its hello that it would replay, and no more than one outbox of it.
        if replayed and number <= sending.awaited and limits.replay_bytes > 0 and not limits.barred:
            limits.replay_bytes -= int(size_bytes)
            return True
        over = limits.over(lane)
        if over is None:
            limits.charge(lane, size_bytes)
            return True
        self._hold(session, sending, lane, number, over)
        return False

    def _hold(self, session: Session, sending: Sending, lane: Lane, number: int, over: Over) -> None:
        sending.held_from = number
        sending.held = over
        self._count(session, lane)
        self._to_tell.setdefault(session.attachment, {})[session, lane] = None

    def _count(self, session: Session, lane: Lane) -> None:
        session.traffic[lane].throttled += 1
        self._counters.throttled[lane] += 1

    def resumed(self, attachment: Attachment, now: float) -> None:
        """An attachment has fresh links: what it was told on the old ones may be lost."""
        for session in attachment.sessions.values():
            for lane in LANES:
                if session.sending[lane].held_from:
                    self._to_tell.setdefault(attachment, {})[session, lane] = None

    def changed(self, session: Session) -> None:
        """A session's limits are others now: where it is held to one, it is told at which pace to go on."""
        for lane in LANES:
            if session.sending[lane].held is not None:
                self._to_tell.setdefault(session.attachment, {})[session, lane] = None

    def end_turn(self, now: float) -> None:
        """Tell who was held back in this turn."""
        if self._to_tell:
            to_tell, self._to_tell = self._to_tell, {}
            for attachment, held in to_tell.items():
                self._tell(attachment, held, now)

    def _tell(self, attachment: Attachment, held: dict[tuple[Session, Lane], None], now: float) -> None:
        critical = attachment.links[Lane.CRITICAL]
        if critical is None:
            return  # told once it is back
        entries = [
            entry
            for session, lane in held
            if not session.ended and (entry := _entry(session, lane, now)) is not None
        ]
        for first in range(0, len(entries), MAX_THROTTLED):
            self._outgoing.control(
                critical, Kind.THROTTLE, Throttle(entries=entries[first : first + MAX_THROTTLED])
            )


def _entry(session: Session, lane: Lane, now: float) -> Throttled | None:
    sending, limits = session.sending[lane], session.limits
    if sending.held is None or limits is None:
        return None
    limits.refill(now)
    over = limits.over(lane)
    policy = limits.policy
    return Throttled(
        session.index,
        lane,
        sending.held_from or sending.last + 1,
        (over or sending.held).limit,
        1e3 * over.wait_s if over is not None else 0.0,
        policy.events_per_s,
        policy.up_bytes_per_s,
    )


def throttled(session: Session, lane: Lane, now: float) -> Over | None:
    """The limit that a session is held to on a lane, and how long its next event waits; None if it is within all."""
    sending, limits = session.sending[lane], session.limits
    if limits is None:
        return None
    limits.refill(now)
    over = limits.over(lane)
    if over is not None and over.limit == ERROR_BUDGET:
        return over
    if sending.held is None:
        return None
    if not sending.held_from and limits.eased(lane):
        sending.held = None
        return None
    return over if over is not None else Over(sending.held.limit, 0.0)
