"""Terms: what the broker may do with an event that is not plainly reliable, and what it may only ask its receiver."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf

from lanebus.wire.batches import (
    EVENT_AGAIN,
    EVENT_LATEST,
    EVENT_PRESENT,
    EVENT_QUESTION,
    EVENT_VOLATILE,
    TICKS_PER_S,
    UP_FLAGS,
    UpEvent,
    age_s,
)
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.modes import DROPPED_LATE, EXPIRED, VOLATILE_LATE_S, End


class Terms:
    """Of one accepted event.

    As long as the broker has not sent a part of it, it may end that part: unless an earlier link or broker may have
    passed it on, and its receiver knows better.
    """

    __slots__ = ("asks", "deadline", "expires", "key", "late", "present", "volatile")

    def __init__(self) -> None:
        self.asks = False
        """Whether it came as a question."""
        self.key: Hashable | None = None
        """What a newer value, which takes its place, has the same of."""
        self.present = False
        """Whether it is for the process that its receiver has, and for no later one."""
        self.volatile = False
        """Whether a part that finds no credit is dropped, and one that was sent is not sent again."""
        self.deadline = inf
        """When a part that has not been sent ends, as `late`."""
        self.late: End = EXPIRED
        self.expires = inf
        """When a part that was sent is no longer sent again, but asked for."""

    def question(self, now: float) -> int | None:
        """The flags of the question that is sent instead of the event sent before; None if it is sent again."""
        if self.volatile:
            return EVENT_QUESTION | EVENT_VOLATILE
        return EVENT_QUESTION if self.expires <= now else None


def terms_of(event: UpEvent, origin: int, now: float, started: float) -> Terms | None:
    """The terms of an event that arrives; None where it is plainly reliable.

    Args:
        origin: its sender.
        started: the instant that the broker's clock counts from.
    """
    flags = event.flags
    if not flags and not event.ttl:
        return None
    terms = Terms()
    sent_at = now - age_s(event.stamp, now - started)
    terms.asks = bool(flags & EVENT_QUESTION)
    terms.volatile = bool(flags & EVENT_VOLATILE) and not terms.asks
    terms.present = bool(flags & EVENT_PRESENT)
    if event.ttl:
        terms.deadline = terms.expires = sent_at + event.ttl / TICKS_PER_S
    elif terms.volatile:
        terms.deadline = sent_at + VOLATILE_LATE_S
        terms.late = DROPPED_LATE
    if flags & (EVENT_AGAIN | EVENT_QUESTION):
        terms.deadline = inf
    elif flags & EVENT_LATEST:
        to = tuple(event.to) if isinstance(event.to, list) else event.to
        terms.key = (origin, event.topic, to, tuple(event.exclude), event.key)
    return terms


def check_terms(event: UpEvent) -> None:
    """Check that flags, key and payload go with each other.

    Raises:
        ProtocolError: they do not.
    """
    flags = event.flags
    question = bool(flags & EVENT_QUESTION)
    if (
        flags & ~UP_FLAGS
        or (flags & EVENT_VOLATILE and flags & EVENT_LATEST)
        or (question and (event.payload or event.ttl or event.key))
        or (not question and flags & EVENT_LATEST and not event.key)
    ):
        raise ProtocolError(
            ErrorNumber.BAD_BODY,
            f"event {event.number} has flags {flags:#04x}, a key of {len(event.key)} characters and a payload of "
            f"{len(event.payload)} bytes, which do not go together",
        )
