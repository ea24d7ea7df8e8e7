"""What pings report of a session beside its books: what it cannot handle, and what cannot leave it."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from lanebus.wire.batches import Positive, Unsigned
from lanebus.wire.fields import Name
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import MAX_TOPIC_BYTES

MAX_REPORTS: Final = 1024
"""Sessions that one ping reports of."""
MAX_UNHANDLED_TOPICS: Final = 16
"""Topics of one session that a ping names."""

Topic = Annotated[str, Meta(min_length=1, max_length=MAX_TOPIC_BYTES)]


class UnhandledTopic(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Events of a topic that wait because there is no handler for it."""

    topic: Topic
    sender: Name
    """Who sent the latest of them."""
    events: Positive


class WaitingLane(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A session's own events on one lane that may not leave: a limit, a pause or a full window holds them."""

    lane: Lane
    events: Positive
    size_bytes: Unsigned


class SessionReport(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One session, as its process sees it; of a session that a ping does not name there is nothing to say."""

    session: Unsigned
    """Its index."""
    unhandled: Annotated[list[UnhandledTopic], Meta(max_length=MAX_UNHANDLED_TOPICS)] = []
    """What waits for a handler; the most, if there are too many."""
    waiting: Annotated[list[WaitingLane], Meta(max_length=len(LANES))] = []
    """What waits at this sender, each lane at most once."""
