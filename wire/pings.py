"""Pings and their answers: signs of life, with what only the peer knows. Arrays, since they travel all the time."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from lanebus.wire.batches import Unsigned
from lanebus.wire.fields import SessionBooks, Text
from lanebus.wire.outboxes import MAX_OUTBOXES, OutboxReport
from lanebus.wire.quality import Degree
from lanebus.wire.reports import MAX_REPORTS, MAX_TOPIC_TIMES, SessionReport, TopicTimes


class Ping(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Asks for a sign of life; carries what only the peer knows."""

    clock_us: Unsigned
    """The peer's clock, given back by the pong."""
    rtt_us: Unsigned
    """The last round trip that the peer measured; 0 before the first."""
    books: Annotated[list[SessionBooks], Meta(max_length=1024)]
    """Books of the sessions whose figures have changed since the last ping."""
    quality: Degree | None = None
    """How good the peer finds its connection; None if it does not say."""
    reason: Text = ""
    """Why it finds it so."""
    outboxes: Annotated[list[OutboxReport], Meta(max_length=MAX_OUTBOXES)] = []
    """All sessions whose outbox is near its limit, or was at it; the fullest, if there are too many."""
    reports: Annotated[list[SessionReport], Meta(max_length=MAX_REPORTS)] = []
    """Sessions of which there is more to say."""
    late_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    """How much later than it should have this ping leaves, because the peer's program did something else."""
    topics: Annotated[list[TopicTimes], Meta(max_length=MAX_TOPIC_TIMES)] = []
    """Topics whose handler times have changed: those on which most time is spent, if there are too many."""


class Pong(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Answers a ping."""

    clock_us: Unsigned
    """As the ping gave it."""
    clock: Unsigned
    """Ticks since the broker's start."""
