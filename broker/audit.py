"""The audit: do the books of both sides balance, with each other and with what the broker really holds?"""

from __future__ import annotations

from typing import NamedTuple

from lanebus.broker.core import BrokerCore
from lanebus.broker.sessions import Session
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Book, Outcome


class Audit(NamedTuple):
    """What an audit found."""

    events: list[Book]
    """Per lane: events that the broker accepted, of all sessions that are or were."""
    parts: list[Book]
    reported: list[Book]
    """Per lane: what the senders themselves last said."""
    at_rest: bool
    """Whether nothing is under way, and every peer's last report says the same."""
    sessions: int
    problems: list[str]


def audit(core: BrokerCore) -> Audit:
    """Compare every book that the broker knows."""
    registry = core.registry
    registry.fold_ended()
    totals = registry.totals
    events = [Book() for _ in LANES]
    parts = [Book() for _ in LANES]
    reported = [Book() for _ in LANES]
    problems: list[str] = []
    for lane in LANES:
        events[lane].add(totals.events[lane])
        parts[lane].add(totals.parts[lane])
        reported[lane].add(totals.reported[lane])
    live = list(registry.sessions())
    fresh = True
    for session in [*live, *registry.ended.values()]:
        for lane in LANES:
            sending = session.sending[lane]
            events[lane].add(sending.book)
            parts[lane].add(sending.parts)
            if session.reported is not None:
                reported[lane].add(session.reported[lane])
            fresh = fresh and _compare(session, lane, problems)
    for lane in LANES:
        held = sum(_held_parts(session, lane) for session in live)
        if held != parts[lane].in_flight:
            problems.append(
                f"{lane.label}: {parts[lane].in_flight} parts in flight by the book, {held} held by the broker"
            )
    for ended, told in zip(totals.events, totals.reported, strict=True):
        if told.ended[Outcome.DELIVERED] > ended.ended[Outcome.DELIVERED]:
            problems.append(
                f"senders that have left say {told.ended[Outcome.DELIVERED]} delivered, "
                f"the broker {ended.ended[Outcome.DELIVERED]}"
            )
    at_rest = fresh and not any(book.in_flight for book in (*events, *parts))
    return Audit(events, parts, reported, at_rest, len(live), problems)


def _compare(session: Session, lane: Lane, problems: list[str]) -> bool:
    """Whether the sender's own book is that of the broker; at rest they must agree to the last event."""
    book = session.sending[lane].book
    told = session.reported[lane] if session.reported is not None else Book()
    if told == book:
        return True
    if session.ended and session.reported is not None:
        # A sender that closed before everything was settled has booked the remainder as unknown.
        if told.ended[Outcome.DELIVERED] > book.ended[Outcome.DELIVERED] or told.in_flight:
            problems.append(f"{session.name} left saying {told!r}, the broker has {book!r} on {lane.label}")
        return True
    return False


def _held_parts(session: Session, lane: Lane) -> int:
    receiving = session.receiving[lane]
    held = len(receiving.waiting) + sum(map(len, receiving.unsettled.values()))
    out = session.attachment.outbound[lane]
    for position, (event, sessions) in enumerate(out.queue):
        if session not in sessions:
            continue
        sent_before = receiving.unsettled.get(event.origin.origin, {}).get(event.number) is event
        # Entries to be sent again are unsettled already, or were settled while they waited.
        held += not sent_before and position >= out.resent
    return held
