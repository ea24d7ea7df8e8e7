"""Lateness: parts whose time is over before they were sent end here; those that were sent, their receiver judges."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from lanebus.broker.attachment import Entry, Outbound
from lanebus.broker.events import Event
from lanebus.broker.gaps import passes_on
from lanebus.broker.latest import note_all_queued
from lanebus.broker.sessions import Receiving, Session
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason


class Lateness:
    """Ends what is too late to be sent.

    Args:
        part_ended: books the end of a part.
        release: gives a receiver's credit back.
    """

    def __init__(
        self,
        part_ended: Callable[[Event, Outcome, Reason, float], None],
        release: Callable[[Session, Lane, int, float], None],
    ) -> None:
        self._part_ended = part_ended
        self._release = release

    def end_entry(self, out: Outbound, entry: Entry, now: float) -> None:
        """An entry was taken from a link's queue, and is too late."""
        event, sessions = entry
        out.queued_bytes -= event.size
        for session in sessions:
            self._end(session.receiving[out.lane], event, now)
            self._release(session, out.lane, event.size, now)

    def sweep(self, session: Session, now: float) -> None:
        """End what is too late of that which waits for a session's credit."""
        for lane in LANES:
            receiving = session.receiving[lane]
            if receiving.waiting.expires > now:
                continue
            late = receiving.waiting.take(lambda event: _deadline(event) <= now, packed=False)
            for event in late:
                receiving.waiting_bytes -= event.size
                self._end(receiving, event, now)

    def sweep_queue(self, out: Outbound, now: float) -> None:
        """End what is too late in a link's queue, and was not sent on an earlier link."""
        if out.expires > now:
            return
        entries = list(out.queue)
        unsent = entries[out.resent :]
        late = [entry for entry in unsent if _deadline(entry[0]) <= now]
        out.queue.clear()
        out.queue.extend(entries[: out.resent])
        out.queue.extend(entry for entry in unsent if _deadline(entry[0]) > now)
        note_all_queued(out)
        for entry in late:
            self.end_entry(out, entry, now)

    def _end(self, receiving: Receiving, event: Event, now: float) -> None:
        passes_on(receiving, event)
        if event.terms is not None:
            receiving.expired += 1
            self._part_ended(event, *event.terms.late, now)


def _deadline(event: Event) -> float:
    return inf if event.terms is None else event.terms.deadline
