"""The next batch of a link: which entries of its queue go into it, how they travel, and what they count as then."""

from __future__ import annotations

from typing import Final, NamedTuple

from lanebus.broker.attachment import Entry, Outbound
from lanebus.broker.events import Event
from lanebus.broker.gaps import flagged, passes_on
from lanebus.broker.lateness import Lateness
from lanebus.broker.latest import forget_queued
from lanebus.broker.outgoing import Counters
from lanebus.broker.sessions import Receiving, Session, is_unsettled
from lanebus.wire.batches import targeted_event

_NOBODY: Final = Receiving()


class Taken(NamedTuple):
    """What goes into one batch; nothing if all that was queued had ended."""

    entries: list[Entry]
    events: list[bytes]
    """Encoded, one for each entry."""
    origins: dict[Session, None]
    """Who sent them."""
    size: int
    """Of the events, bytes."""


class NextBatch:
    """Takes entries from the queues of links; from then on their parts are sent, and not settled.

    Args:
        lateness: ends what is too late to leave.
        size_bytes: of a batch; it ends with the event that reaches it.
        most_events: in a batch.
    """

    def __init__(self, counters: Counters, lateness: Lateness, size_bytes: int, most_events: int) -> None:
        self._counters = counters
        self._lateness = lateness
        self._size_bytes = size_bytes
        self._most_events = most_events

    def take(self, out: Outbound, now: float) -> Taken:
        """Take what goes into the next batch of a link out of its queue."""
        lane, queue = out.lane, out.queue
        targeted = out.attachment.targeted
        batch = self._counters.lanes_out[lane].batches + 1
        before = len(queue)
        late: list[Entry] = []
        entries: list[Entry] = []
        events: list[bytes] = []
        origins: dict[Session, None] = {}
        size = 0
        # Of the part before: most of a batch is from one sender to one receiver.
        origin = last = None
        receiving, unsettled = _NOBODY, {}
        while queue and size < self._size_bytes and len(entries) < self._most_events:
            entry = queue.popleft()
            wire, asks = entry[0].wire, False
            if out.resent or entry[0].terms is not None:
                left = self._left_of(out, entry, now, late)
                if left is None:
                    continue
                entry, wire, asks = left
            event, sessions = entry
            event.sent = now
            entries.append(entry)
            size += event.size
            if event.origin is not origin:
                origin, last = event.origin, None
                origins[origin] = None
            for session in sessions:
                if session is not last:
                    last = session
                    receiving = session.receiving[lane]
                    unsettled = _unsettled_of(receiving, event)
                if receiving.tellers or receiving.deliveries or receiving.untold:
                    wire = flagged(receiving, event, wire, asks=asks)
                unsettled[event.number] = event
                session.traffic[lane].sent(batch, event.size)
            events.append(targeted_event([each.index for each in sessions], wire) if targeted else wire)
        out.places.moved(before - len(queue))
        for entry in late:
            self._lateness.end_entry(out, entry, now)
        return Taken(entries, events, origins, size)

    def _left_of(
        self, out: Outbound, entry: Entry, now: float, late: list[Entry]
    ) -> tuple[Entry, bytes, bool] | None:
        """What is left of an entry that has terms, or may have been delivered; how it travels, and whether it asks.

        None if nothing of it is to leave; what came too late is added to `late`.
        """
        lane = out.lane
        event, sessions = entry
        wire, asks = event.wire, False
        if event.terms is not None:
            asks = event.terms.asks
            if out.resent:
                question = event.terms.question(now)
                if question is not None:
                    asks = True
                    wire = event.question_wire(question)
            else:
                forget_queued(out, entry)
                if event.terms.deadline <= now:
                    late.append(entry)
                    # Now, and not when it ends: the next one may go into the same batch.
                    for session in sessions:
                        passes_on(session.receiving[lane], event)
                    return None
        if out.resent:
            out.resent -= 1
            left = [session for session in sessions if is_unsettled(session.receiving[lane], event)]
            if not left:
                out.queued_bytes -= event.size
                return None
            if len(left) < len(sessions):
                sessions = tuple(left)
            for session in sessions:
                retried = session.receiving[lane].retried
                retried[event] = retried.get(event, 1) + 1
                session.traffic[lane].resent += 1
        return (event, sessions), wire, asks


def _unsettled_of(receiving: Receiving, event: Event) -> dict[int, Event]:
    """By number: what a receiver holds of an event's sender."""
    numbers = receiving.unsettled.get(event.origin.origin)
    if numbers is None:
        numbers = receiving.unsettled[event.origin.origin] = {}
    return numbers
