"""The audit: do the books of both sides balance, with each other and with what the broker really holds?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

from lanebus.broker.attachment import Attachment
from lanebus.broker.core import BrokerCore
from lanebus.broker.disputes import lasting
from lanebus.broker.events import Event
from lanebus.broker.sessions import Session
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Book, Outcome


class Books(NamedTuple):
    """The books of all sessions that are or were, summed by lane."""

    events: list[Book]
    """Events that the broker accepted."""
    parts: list[Book]
    reported: list[Book]
    """What the senders themselves last said."""


class Audit(NamedTuple):
    """What an audit found."""

    books: Books
    at_rest: bool
    """Whether nothing is under way, and every peer's last report says the same."""
    sessions: int
    problems: list[str]


def books(core: BrokerCore) -> Books:
    """Sum up the books; cheap enough to be asked for every second."""
    summed = core.registry.summed()
    return Books(summed.events, summed.parts, summed.reported)


def audit(core: BrokerCore) -> Audit:
    """Compare every book that the broker knows with the others, and with what it holds."""
    registry = core.registry
    summed = books(core)
    events, parts, _ = summed
    totals = registry.totals
    problems: list[str] = []
    live = list(registry.sessions())
    fresh = True
    held_bytes = 0
    disputed = [session for session in live if session.disputes]
    if disputed:
        paused = {sender for each in live for receiving in each.receiving for sender, _ in receiving.paused}
        for session in disputed:
            # What waits for a pause to end is at the sender, and in its book alone.
            if session not in paused:
                settings = core.config.sessions
                problems.extend(lasting(session, settings.ping_interval_s, settings.lease_s))
    for session in [*live, *registry.ended.values()]:
        for lane in LANES:
            fresh = _compare(session, lane, problems) and fresh
    for lane in LANES:
        held = Counter(
            chain.from_iterable(_held(attachment, lane) for attachment in registry.attachments.values())
        )
        for what, by_the_book, really in (
            ("parts", parts[lane].in_flight, held.total()),
            ("events", events[lane].in_flight, len(held)),
        ):
            if by_the_book != really:
                problems.append(
                    f"{lane.label}: {by_the_book} {what} in flight by the book, {really} held by the broker"
                )
        held_bytes += sum(event.size for event in held)
        wrong = [event for event, count in held.items() if event.remaining != count]
        if wrong:
            problems.append(
                f"{lane.label}: {len(wrong)} events have not the parts that they count on, "
                f"the first is {wrong[0].number} of {wrong[0].origin.name}"
            )
    if core.budget.held_bytes != held_bytes:
        problems.append(f"{core.budget.held_bytes} bytes held by the budget's account, {held_bytes} really")
    for ended, told in zip(totals.events, totals.reported, strict=True):
        if told.ended[Outcome.DELIVERED] > ended.ended[Outcome.DELIVERED]:
            problems.append(
                f"senders that have left say {told.ended[Outcome.DELIVERED]} delivered, "
                f"the broker {ended.ended[Outcome.DELIVERED]}"
            )
    at_rest = fresh and not any(book.in_flight for book in (*events, *parts))
    return Audit(summed, at_rest, len(live), problems)


def _compare(session: Session, lane: Lane, problems: list[str]) -> bool:
    """Whether the sender's own book is that of the broker; at rest they must agree to the last event."""
    book = session.sending[lane].book
    told = session.reported[lane] if session.reported is not None else Book()
    if told == book:
        return True
    if session.ended and session.reported is not None:
        # A sender that closed before everything was settled has booked the remainder as unknown.
        if told.ended[Outcome.DELIVERED] > book.ended[Outcome.DELIVERED]:
            problems.append(f"{session.name} left saying {told!r}, the broker has {book!r} on {lane.label}")
        return True
    return False


def _held(attachment: Attachment, lane: Lane) -> Iterator[Event]:
    """The events that the broker holds for an attachment, each as often as it has parts there."""
    for session in attachment.sessions.values():
        receiving = session.receiving[lane]
        yield from receiving.waiting
        yield from receiving.suspects
        for event, _ in session.sending[lane].unresolved:
            yield event
        for numbers in receiving.unsettled.values():
            yield from numbers.values()
    out = attachment.outbound[lane]
    # Entries to be sent again are unsettled already, or were settled while they waited.
    for event, sessions in islice(out.queue, out.resent, None):
        for _ in sessions:
            yield event
