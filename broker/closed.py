"""Sessions that have ended: why, how long they lasted, how they were, and what became of what they sent."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec

from lanebus.broker.line import APP, NETWORK
from lanebus.broker.sessions import Session
from lanebus.broker.slow_receivers import held
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import Book
from lanebus.wire.quality import Degree

CLOSED_REMEMBERED: Final = 10_000
"""Sessions that are remembered after their end; the newest takes the place of the oldest."""
CLOSED_SHOWN: Final = 10
"""The latest sessions of one name that are shown."""
REASON_CHARACTERS: Final = 200
"""Peers choose some of the words."""


class _Closed(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of one session, at its end. Times are of the broker's clock."""

    role: str
    via: str | None
    """The gateway that it was behind."""
    began: float
    ended: float
    reason: str
    lost_reason: str
    """Why it had no links at its end, or had lost them the last time before."""
    away_s: float | None
    """How long it had been without links."""
    quality: str
    """The last degree while it had links."""
    quality_reason: str
    score: float | None
    rtt_ms: float | None
    resumes: int
    outages: int
    longest_outage_s: float
    books: list[list[int]]
    """Of its events, by lane."""
    reasons: dict[str, int]
    """How many of them ended otherwise than delivered, and why."""
    events_in: int
    bytes_in: int
    events_out: int
    bytes_out: int
    resent: int
    dropped: int
    held_bytes: int
    """What it was sent, or was to be sent, and had not settled."""
    oldest_age_s: float


_decoder: Final = msgspec.msgpack.Decoder(_Closed)


class _Entry(msgspec.Struct, gc=False):
    """One remembered session."""

    name: str
    wire: bytes
    """Encoded: thousands of these live for hours, and one block each is less than thirty."""


class ClosedSessions:
    """The latest sessions that have ended. No session is kept alive by it."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque(maxlen=CLOSED_REMEMBERED)
        self._unsettled: dict[int, _Entry] = {}
        """Those with events still under way, by origin: their books are not the last ones."""

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> set[str]:
        """Of all sessions that are remembered."""
        return {entry.name for entry in self._entries}

    def add(self, session: Session, now: float, reason: str) -> None:
        """A session ends, and still has everything that it had."""
        entry = _Entry(session.name, msgspec.msgpack.encode(_of(session, now, reason)))
        self._entries.append(entry)
        if any(sending.book.in_flight for sending in session.sending):
            self._unsettled[session.origin] = entry

    def settled(self, session: Session) -> None:
        """The last event of an ended session has ended: now its books are final."""
        entry = self._unsettled.pop(session.origin, None)
        if entry is not None:
            closed = _decoder.decode(entry.wire)
            closed.books, closed.reasons = _books(session)
            entry.wire = msgspec.msgpack.encode(closed)

    def of(self, name: str, now: float) -> list[dict[str, Any]]:
        """The latest sessions of a name, the latest first, at most `CLOSED_SHOWN`; plain values."""
        found: list[dict[str, Any]] = []
        for entry in reversed(self._entries):
            if entry.name == name:
                found.append(_shown(name, _decoder.decode(entry.wire), now))
                if len(found) == CLOSED_SHOWN:
                    break
        return found


def _of(session: Session, now: float, reason: str) -> _Closed:
    attachment, quality = session.attachment, session.quality
    judgement = quality.judgement
    degree, why = judgement.degree, judgement.reason
    if degree is Degree.LOST and quality.changes:
        # What it was like before says more than that it had no links at its end.
        degree, why = quality.changes[-1].before, ""
    ring = attachment.line.ring
    rtt_ms = ring.last(NETWORK) if ring.last(NETWORK) is not None else ring.last(APP)
    if rtt_ms is not None and quality.outside_ms is not None:
        rtt_ms += quality.outside_ms
    holding = [held(receiving, now) for receiving in session.receiving]
    books, reasons = _books(session)
    away_since = attachment.away_since
    return _Closed(
        role=session.role.value,
        via=attachment.name if attachment.targeted else None,
        began=session.since,
        ended=now,
        reason=reason[:REASON_CHARACTERS],
        lost_reason=attachment.line.lost_reason[:REASON_CHARACTERS],
        away_s=None if away_since is None else now - away_since,
        quality=degree.value,
        quality_reason=why,
        score=judgement.score,
        rtt_ms=rtt_ms,
        resumes=quality.resumes,
        outages=quality.outages,
        longest_outage_s=quality.longest_s(now),
        books=books,
        reasons=reasons,
        events_in=sum(traffic.events_in for traffic in session.traffic),
        bytes_in=sum(traffic.bytes_in for traffic in session.traffic),
        events_out=sum(traffic.events_out for traffic in session.traffic),
        bytes_out=sum(traffic.bytes_out for traffic in session.traffic),
        resent=sum(traffic.resent for traffic in session.traffic),
        dropped=sum(receiving.dropped for receiving in session.receiving),
        held_bytes=int(sum(each["held_bytes"] for each in holding)),
        oldest_age_s=max(each["oldest_age_s"] for each in holding),
    )


def _books(session: Session) -> tuple[list[list[int]], dict[str, int]]:
    reasons: dict[str, int] = {}
    for sending in session.sending:
        for (outcome, reason), count in sending.reasons.items():
            label = f"{outcome.label}: {reason.value}"
            reasons[label] = reasons.get(label, 0) + count
    return [sending.book.as_list() for sending in session.sending], reasons


def _shown(name: str, closed: _Closed, now: float) -> dict[str, Any]:
    plain = msgspec.structs.asdict(closed)
    began, ended, books = plain.pop("began"), plain.pop("ended"), plain.pop("books")
    return {
        "name": name,
        "ended_ago_s": now - ended,
        "lasted_s": ended - began,
        **plain,
        "books": {
            lane.label: Book.from_list(figures).as_dict() for lane, figures in zip(LANES, books, strict=True)
        },
    }
