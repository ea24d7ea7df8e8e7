"""How an event can end, and why: the outcomes, the reasons, and the book that must balance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum, StrEnum
from typing import Final


class Outcome(IntEnum):
    """A part's end. Ordered from best to worst: an event ends as its worst part."""

    DELIVERED = 0
    SUPERSEDED = 1
    EXPIRED = 2
    DROPPED = 3
    REFUSED = 4
    UNKNOWN = 5

    @property
    def label(self) -> str:
        """The word used in books, metrics and documents."""
        return OUTCOME_NAMES[self]


OUTCOMES: Final = tuple(Outcome)
OUTCOME_NAMES: Final = ("delivered", "superseded", "expired", "dropped", "refused", "unknown")


class Reason(StrEnum):
    """Why a part ended other than `delivered`. `NONE` goes with `delivered` alone."""

    NONE = ""
    UNKNOWN_DESTINATION = "unknown_destination"
    """No such peer, service or group."""
    NO_SERVICE = "no_service"
    """A client's topic that no registered service handles."""
    NOBODY = "nobody"
    """The group or list has no member besides those excluded."""
    NOT_ALLOWED = "not_allowed"
    """The sender may not address that destination, or not send on that topic."""
    NO_HANDLER = "no_handler"
    """The receiver has no handler for the topic, and its waiting room for such events was full."""
    HANDLER_ERROR = "handler_error"
    """The receiver's handler raised."""
    BAD_PAYLOAD = "bad_payload"
    """The payload does not fit the handler's schema."""
    POISON = "poison"
    """Five processes of the receiver ended without having settled it."""
    NEWER_VALUE = "newer_value"
    """A newer value of the same key took its place before it was handled."""
    TOO_LATE = "too_late"
    """Its time to live was over before it was handled; a volatile event waited for too long to leave."""
    NO_ROOM = "no_room"
    """A volatile event found its sender's outbox full."""
    LINK_LOST = "link_lost"
    """A volatile event went down with a link, a broker or a queue, and is not sent again."""
    PASSED_OVER = "passed_over"
    """Replayed to a receiver that has been given later events: an earlier process had it, or it was for others."""
    SLOW_RECEIVER = "slow_receiver"
    """The receiver's egress queue was past its limit in bytes or age, or without credit for a volatile part."""
    RECEIVER_GONE = "receiver_gone"
    """The receiver's session ended first."""
    PROCESS_ENDED = "process_ended"
    """It was for the receiver's process of its time alone, and another one has taken that one's place."""
    SENDER_GONE = "sender_gone"
    """The sender's session ended before the part did."""
    TOO_LARGE = "too_large"
    """Its payload was past a limit of the broker, or of its sender's own."""
    BAD_TOPIC = "bad_topic"
    """Its topic is none."""
    BAD_DESTINATION = "bad_destination"
    """What it is for cannot be a destination, or it has more of them than the broker allows."""
    TOPIC_LIMIT = "topic_limit"
    """Its sender was over a limit that the configuration sets for the topic."""
    BROKER_FULL = "broker_full"
    """The broker's budget for all queues was used up."""
    FENCED = "fenced"
    """A newer process took the sender's name."""
    CLOSED = "closed"
    """The sender's adapter was closed before the event was settled."""


LEGAL_REASONS: Final[dict[Outcome, frozenset[Reason]]] = {
    Outcome.DELIVERED: frozenset({Reason.NONE}),
    Outcome.SUPERSEDED: frozenset({Reason.NEWER_VALUE}),
    Outcome.EXPIRED: frozenset({Reason.TOO_LATE}),
    Outcome.DROPPED: frozenset(
        {
            Reason.SLOW_RECEIVER,
            Reason.TOPIC_LIMIT,
            Reason.BROKER_FULL,
            Reason.TOO_LATE,
            Reason.NO_ROOM,
            Reason.LINK_LOST,
        }
    ),
    Outcome.REFUSED: frozenset(
        {
            Reason.UNKNOWN_DESTINATION,
            Reason.NO_SERVICE,
            Reason.NOBODY,
            Reason.NOT_ALLOWED,
            Reason.NO_HANDLER,
            Reason.HANDLER_ERROR,
            Reason.BAD_PAYLOAD,
            Reason.RECEIVER_GONE,
            Reason.PROCESS_ENDED,
            Reason.POISON,
            Reason.TOO_LARGE,
            Reason.TOPIC_LIMIT,
            Reason.BAD_TOPIC,
            Reason.BAD_DESTINATION,
        }
    ),
    Outcome.UNKNOWN: frozenset(
        {
            Reason.PASSED_OVER,
            Reason.RECEIVER_GONE,
            Reason.PROCESS_ENDED,
            Reason.SENDER_GONE,
            Reason.FENCED,
            Reason.CLOSED,
        }
    ),
}
"""Which reasons go with which outcome; a settlement from a receiver outside this table is malformed."""

RECEIVER_REASONS: Final = frozenset(
    {
        Reason.NONE,
        Reason.NO_HANDLER,
        Reason.HANDLER_ERROR,
        Reason.BAD_PAYLOAD,
        Reason.PASSED_OVER,
        Reason.PROCESS_ENDED,
        Reason.NEWER_VALUE,
        Reason.TOO_LATE,
        Reason.LINK_LOST,
        Reason.SLOW_RECEIVER,
    }
)
"""The reasons that a receiver may give; all others are the broker's or the sender's own."""

WITHHELD: Final = (Outcome.SUPERSEDED, Outcome.EXPIRED, Outcome.DROPPED, Outcome.REFUSED)
"""How an event may end at its sender, before it was ever sent."""
BOOK_FIGURES: Final = 1 + len(OUTCOMES)
"""Figures of a book as it travels; those of what its sender withheld may follow."""


class Book:
    """One account of one lane: what was accepted, and how it ended.

    `accepted = delivered + superseded + expired + dropped + refused + unknown + in_flight` at all times; whether
    `in_flight` is also what is really held is for the audit to compare.
    """

    __slots__ = ("accepted", "ended")

    def __init__(self, accepted: int = 0, ended: Iterable[int] = ()) -> None:
        self.accepted = accepted
        self.ended = list(ended) or [0] * len(OUTCOMES)

    @property
    def in_flight(self) -> int:
        """Accepted and not yet ended."""
        return self.accepted - sum(self.ended)

    def add(self, other: Book) -> None:
        """Add another account's figures to this one."""
        self.accepted += other.accepted
        for index, count in enumerate(other.ended):
            self.ended[index] += count

    def as_list(self) -> list[int]:
        """The account as it travels: accepted, then the outcomes in their order."""
        return [self.accepted, *self.ended]

    @classmethod
    def from_list(cls, figures: Sequence[int]) -> Book:
        """The account that `as_list` gave."""
        return cls(figures[0], figures[1:])

    def as_dict(self) -> dict[str, int]:
        """The account by name, with `in_flight`."""
        named = {"accepted": self.accepted}
        named.update(zip(OUTCOME_NAMES, self.ended, strict=True))
        named["in_flight"] = self.in_flight
        return named

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Book) and self.as_list() == other.as_list()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Book {' '.join(f'{name}={count}' for name, count in self.as_dict().items() if count)}>"
