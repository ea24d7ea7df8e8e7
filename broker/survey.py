"""A survey: all sessions looked at once, each for as long as it takes to add its figures to those of the others.

Counters only grow, and each session is counted once, whether it ends meanwhile or not: so no sum falls from one survey
to the next.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from lanebus.broker.attachment import Attachment
from lanebus.broker.peer_reports import at_sender, unhandled
from lanebus.broker.portions import Work
from lanebus.broker.registry import Registry
from lanebus.broker.sessions import Session
from lanebus.broker.totals import Totals
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.quality import Degree

MOST_UNHANDLED: Final = 16
"""Topics without a handler that are named."""


class LaneSurvey:
    """What the broker holds on one lane."""

    __slots__ = (
        "at_sender_bytes",
        "at_sender_events",
        "fullest_bytes",
        "oldest",
        "queued_bytes",
        "queued_events",
        "shaped_sessions",
        "unsettled_events",
        "waiting_sessions",
    )

    def __init__(self, now: float) -> None:
        self.queued_events = self.queued_bytes = self.unsettled_events = 0
        self.waiting_sessions = self.shaped_sessions = self.fullest_bytes = 0
        """Sessions for which parts wait in queues of their own, those of them that wait for their allowance, and the
        fullest of these queues."""
        self.at_sender_events = self.at_sender_bytes = 0
        """What waits at its senders, as they say."""
        self.oldest = now
        """When the oldest of those parts came."""

    def attachment(self, attachment: Attachment, lane: Lane) -> None:
        """Add what waits for its link."""
        out = attachment.outbound[lane]
        self.queued_events += len(out.queue)
        self.queued_bytes += out.queued_bytes

    def session(self, session: Session, lane: Lane) -> None:
        """Add what waits for it, and what it has not settled."""
        receiving = session.receiving[lane]
        self.queued_events += len(receiving.waiting) + len(receiving.suspects)
        self.queued_bytes += receiving.waiting_bytes + sum(event.size for event in receiving.suspects)
        self.unsettled_events += sum(map(len, receiving.unsettled.values()))
        if session.told is not None:
            events, size_bytes = at_sender(session, lane)
            self.at_sender_events += events
            self.at_sender_bytes += size_bytes
        if receiving.waiting:
            self.waiting_sessions += 1
            self.shaped_sessions += receiving.shaped
            self.fullest_bytes = max(self.fullest_bytes, receiving.waiting_bytes)
            self.oldest = min(self.oldest, receiving.waiting.oldest.arrived)


class Survey:
    """Sums over all sessions."""

    def __init__(self, totals: Totals, now: float) -> None:
        self.totals = totals
        """Of all sessions that are or were."""
        self.lanes = [LaneSurvey(now) for _ in LANES]
        self.degrees: Counter[tuple[Role, Degree]] = Counter()
        """Sessions by role and quality."""
        self.roles: Counter[Role] = Counter()
        self.unhandled: list[dict[str, Any]] = []
        """Topics of which receivers have events and no handler: the first few."""
        self._pings = 0
        self._ping_sum_ms = 0.0

    @property
    def ping_mean_ms(self) -> float | None:
        """The mean round trip of all players with links, by the kernel where it knows one; None without any."""
        return self._ping_sum_ms / self._pings if self._pings else None

    def add(self, session: Session, now: float) -> None:
        """Add a session that has not ended."""
        self.totals.add(session)
        self.roles[session.role] += 1
        self.degrees[session.role, session.quality.judgement.degree] += 1
        for lane in LANES:
            self.lanes[lane].session(session, lane)
        if session.unhandled and len(self.unhandled) < MOST_UNHANDLED:
            self.unhandled += unhandled(session)
        attachment = session.attachment
        if session.role is Role.CLIENT and attachment.away_since is None:
            rtt_ms = session.quality.figures(attachment.line, None, now).rtt_ms
            if rtt_ms is not None:
                self._pings += 1
                self._ping_sum_ms += rtt_ms


def survey(registry: Registry, now: float) -> Work[Survey]:
    """Look at every session."""
    found = Survey(registry.totals.copy(), now)
    attachments = list(registry.attachments.values())
    live, ended = list(registry.sessions()), list(registry.ended.values())
    for attachment in attachments:
        if registry.attachments.get(attachment.key) is attachment:
            for lane in LANES:
                found.lanes[lane].attachment(attachment, lane)
        now = yield
    for session in live:
        if session.ended:
            found.totals.add(session)
        else:
            found.add(session, now)
        now = yield
    for session in ended:
        found.totals.add(session)
        now = yield
    return found
