"""Terms: the mode, key and time to live that an event was sent on, and what they mean when it leaves."""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Any

from lanebus.adapters.given import number, text
from lanebus.wire.batches import (
    EVENT_AGAIN,
    EVENT_LATEST,
    EVENT_PRESENT,
    EVENT_QUESTION,
    EVENT_VOLATILE,
    MAX_KEY_CHARACTERS,
    TICKS_PER_S,
)
from lanebus.wire.lanes import Lane
from lanebus.wire.modes import DROPPED_LATE, EXPIRED, MAX_TTL_MS, MODES, VOLATILE_LATE_S, End
from lanebus.wire.shown import shown

if TYPE_CHECKING:
    from lanebus.adapters.outevent import OutEvent

ValueKey = tuple[Lane, str, str | tuple[str, ...] | None, tuple[str, ...], str]
"""What the values of one session replace each other by: lane, topic, destinations, exclusions and key."""


class Terms:
    """What an event carries that is not plainly reliable."""

    __slots__ = (
        "bounced",
        "deadline",
        "key",
        "late",
        "outdated",
        "paused",
        "present",
        "replaces",
        "sent_at",
        "ttl_ticks",
        "value_key",
        "volatile",
    )

    def __init__(
        self, mode: str, key: str, ttl_ms: float | None, sent_at: float, *, present: bool = False
    ) -> None:
        self.volatile = mode == "volatile"
        self.present = present
        """Whether it is for the process that its receiver has, and for no later one."""
        self.key = key
        self.value_key: ValueKey | None = None
        self.sent_at = sent_at
        self.ttl_ticks = 0 if ttl_ms is None else ceil(ttl_ms * TICKS_PER_S / 1e3)
        self.late: End = EXPIRED
        """How it ends if it has not left by its deadline."""
        self.deadline = inf
        if ttl_ms is not None:
            self.deadline = sent_at + ttl_ms / 1e3
        elif self.volatile:
            self.deadline = sent_at + VOLATILE_LATE_S
            self.late = DROPPED_LATE
        self.replaces: OutEvent | None = None
        """The older value whose place it takes; it has not left."""
        self.outdated = False
        """Whether a newer value was sent."""
        self.paused = False
        """Whether it is held for a paused destination, or by a limit."""
        self.bounced = False
        """Whether the broker has said that it did not accept it when it left last."""

    def row(self, event: OutEvent, stamp: int, now: float) -> tuple[Any, ...]:
        """The event as it travels. What has left before may have been handled, and may be no more than asked for."""
        session, number, topic, to, exclude = (
            event.session,
            event.number,
            event.topic,
            event.to,
            event.exclude,
        )
        flags = 0
        bounced, self.bounced = self.bounced, False
        if event.transmitted:
            question = (
                EVENT_VOLATILE
                if self.volatile and not (bounced and now < self.deadline)
                else EVENT_LATEST
                if self.outdated
                else 0
                if self.ttl_ticks and now >= self.deadline
                # Another broker cannot know which process had it.
                else EVENT_PRESENT
                if self.present and event.replayed
                else None
            )
            if question is not None:
                return session, number, stamp, topic, to, b"", exclude, question | EVENT_QUESTION
            flags = 0 if bounced else EVENT_AGAIN
        if self.present:
            flags |= EVENT_PRESENT
        if self.volatile:
            flags |= EVENT_VOLATILE
        elif self.value_key is not None:
            flags |= EVENT_LATEST
        return session, number, stamp, topic, to, event.payload, exclude, flags, self.ttl_ticks, self.key


def terms_of(
    mode: str,
    key: str | int | None,
    ttl_ms: float | None,
    sent_at: float,
    lane: Lane,
    topic: str,
    to: str | list[str] | None,
    exclude: list[str],
    *,
    present_process: bool = False,
) -> Terms | None:
    """The terms of an event; None where it is plainly reliable.

    Args:
        ttl_ms: milliseconds after `sent_at` when it is of no use any more; None for never.
        present_process: whether it is for the process that each receiver has, and for no later one.

    Raises:
        ValueError: there is no such mode, a key is missing, too long or given for nothing, or the time is none.
        TypeError: the key or the time is of another kind.
    """
    if mode not in MODES:
        raise ValueError(f"no mode {shown(mode)}: use one of {', '.join(MODES)}")
    if (key is not None) is not (mode == "latest"):
        raise ValueError(
            "mode='latest' needs key=, the name of what this is the latest value of"
            if key is None
            else f"key={shown(key)} goes with mode='latest' alone, not with {shown(mode)}"
        )
    name = "" if key is None else _key(key)
    if key is not None and not 0 < len(name) <= MAX_KEY_CHARACTERS:
        raise ValueError(f"a key of {len(name)} characters: 1 to {MAX_KEY_CHARACTERS} are allowed")
    if ttl_ms is not None:
        ttl_ms = number(ttl_ms, "ttl_ms")
        if not 0 < ttl_ms <= MAX_TTL_MS:
            raise ValueError(
                f"ttl_ms={ttl_ms!r}: a time to live is more than 0 and at most a day ({MAX_TTL_MS})"
            )
    if mode == "reliable" and ttl_ms is None and not present_process:
        return None
    terms = Terms(mode, name, ttl_ms, sent_at, present=bool(present_process))
    if key is not None:
        terms.value_key = (lane, topic, tuple(to) if isinstance(to, list) else to, tuple(exclude), name)
    return terms


def _key(key: object) -> str:
    """A key as it travels: a text, or a whole number's digits."""
    if isinstance(key, int) and not isinstance(key, bool):
        try:
            return int.__repr__(key)
        except ValueError:
            raise ValueError(f"a key of more digits than {MAX_KEY_CHARACTERS}") from None
    return text(key, "key")
