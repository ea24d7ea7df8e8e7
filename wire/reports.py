"""What pings report of sessions beside their books: how fast they handle, what they cannot, and what cannot leave."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final

from msgspec import Meta, Struct

from lanebus.wire.batches import Positive, Unsigned
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.fields import Name
from lanebus.wire.histogram import BUCKETS
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import MAX_TOPIC_BYTES

MAX_REPORTS: Final = 1024
"""Sessions that one ping reports of."""
MAX_UNHANDLED_TOPICS: Final = 16
"""Topics of one session that a ping names."""

MAX_TOPIC_TIMES: Final = 16
"""Topics of one process whose handler times are in one ping."""

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


class LaneTimes(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """How long events on one lane took from their senders' programs to their handlers, since the last ping."""

    lane: Lane
    sum_us: Unsigned
    max_us: Unsigned
    counts: Annotated[list[Unsigned], Meta(max_length=2 * BUCKETS)]
    """A bucket of the histogram and how many events are in it, again and again, in the order of buckets."""


class TopicTimes(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """How long the handlers of one topic on one lane take, since the start of their program."""

    topic: Topic
    lane: Lane
    events: Positive
    over_budget: Unsigned
    """Events whose handlers took longer than they may."""
    budget_us: Unsigned
    """How long they may take; 0 for as long as they like."""
    mean_us: Unsigned
    p50_us: Unsigned
    p99_us: Unsigned
    max_us: Unsigned


class SessionReport(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One session, as its process sees it; of a session that a ping does not name there is nothing to say."""

    session: Unsigned
    """Its index."""
    unhandled: Annotated[list[UnhandledTopic], Meta(max_length=MAX_UNHANDLED_TOPICS)] = []
    """What waits for a handler; the most, if there are too many."""
    waiting: Annotated[list[WaitingLane], Meta(max_length=len(LANES))] = []
    """What waits at this sender, each lane at most once."""
    handled: Annotated[list[LaneTimes], Meta(max_length=len(LANES))] = []
    """What it has handled since the last ping, each lane at most once."""


def check_times(reports: Sequence[SessionReport]) -> None:
    """Check that the histograms in reports are such.

    Raises:
        ProtocolError: a bucket does not exist, or they are in no order, or one has no count.
    """
    for report in reports:
        for times in report.handled:
            buckets = times.counts[::2]
            if (
                len(times.counts) % 2
                or any(bucket >= BUCKETS for bucket in buckets)
                or any(one >= other for one, other in pairwise(buckets))
            ):
                raise ProtocolError(ErrorNumber.BAD_BODY, "a histogram whose buckets are not in order")
