"""What peers report of their sessions: their own books, and what only their processes know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lanebus.broker import handling
from lanebus.broker.attachment import Attachment
from lanebus.broker.sessions import Session
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.reports import SessionReport, TopicTimes


def take_books(attachment: Attachment, books: Iterable[tuple[int, list[list[int]]]]) -> None:
    """Take the books of an attachment's sessions; those of sessions that are not open are too late."""
    for index, figures in books:
        session = attachment.sessions.get(index)
        if session is not None:
            session.report(figures)


def take_reports(
    attachment: Attachment, reports: Sequence[SessionReport], topics: Sequence[TopicTimes], now: float
) -> None:
    """Take what a ping says beside that; of the sessions that it does not name there is nothing to say any more."""
    sessions = attachment.sessions
    for session in sessions.values():
        session.told = None
    for report in reports:
        named = sessions.get(report.session)
        if named is not None:
            named.told = report
            for times in report.handled:
                named.traffic[times.lane].handled(times)
    handling.take(attachment.topics, topics, now)


def at_sender(session: Session, lane: Lane | None = None) -> tuple[int, int]:
    """Events and bytes that wait at a session's own process, as its last ping said: on one lane, or on all."""
    lanes = () if session.told is None else session.told.waiting
    chosen = [each for each in lanes if lane is None or each.lane is lane]
    return sum(each.events for each in chosen), sum(each.size_bytes for each in chosen)


def unhandled(session: Session) -> list[dict[str, Any]]:
    """The topics of which a session has events and no handler, as rows of plain values."""
    return [
        {"receiver": session.name, "sender": each.sender, "topic": each.topic, "events": each.events}
        for each in session.unhandled
    ]


def handled_p99_ms(session: Session) -> dict[str, float | None]:
    """By lane: from a sender's program to this one's handlers, 99th percentile of the last minute, as it says."""
    found: dict[str, float | None] = {}
    for lane, traffic in zip(LANES, session.traffic, strict=True):
        lately = traffic.handled_lately
        p99_us = None if lately is None else lately.quantile_us(0.99)
        found[lane.label] = None if p99_us is None else p99_us / 1e3
    return found
