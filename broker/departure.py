"""Departures: what becomes of a receiver's parts when its session ends. They go to its successor, or they end."""

from __future__ import annotations

from collections import deque
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from lanebus.broker.egress import Egress, PartEnded
from lanebus.broker.sessions import Entry, Event, Session
from lanebus.wire.batches import DownEvent
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason

MAX_DELIVERIES: Final = 5
"""Deliveries of one part to processes that ended without settling it; after that it is refused as poison."""
DEAD_REMEMBERED: Final = 1000
"""Poisonous parts that are remembered for `lanebus dead`."""

_decoder: Final = msgspec.msgpack.Decoder(DownEvent)


class Dead(NamedTuple):
    """A part that its receiver's processes did not survive."""

    at: float
    """When it was given up, on the broker's clock."""
    sender: str
    receiver: str
    lane: Lane
    number: int
    topic: str
    payload_bytes: int
    deliveries: int


class Departures:
    """Ends sessions as receivers."""

    def __init__(self, egress: Egress, part_ended: PartEnded) -> None:
        self._egress = egress
        self._part_ended = part_ended
        self.dead: deque[Dead] = deque(maxlen=DEAD_REMEMBERED)

    def end(self, session: Session, now: float, unsent: Reason) -> None:
        """Nobody comes after `session`: what it was sent ends as unknown, the rest as refused, for `unsent`."""
        for lane in LANES:
            receiving = session.receiving[lane]
            sent, queued = _withdraw(session, lane)
            for event in (*sent, *receiving.suspects):
                self._part_ended(event, Outcome.UNKNOWN, Reason.RECEIVER_GONE, now)
            for event in (*queued, *receiving.waiting):
                self._part_ended(event, Outcome.REFUSED, unsent, now)
            self._egress.unpause(receiving, lane)
            receiving.clear()

    def inherit(self, old: Session, new: Session, now: float) -> None:
        """A new process has taken the name: it gets what the old one had not settled, in order, before anything newer.

        What the old process had been sent may be what ended it. It comes marked as redelivered, and one at a time, so
        that only the one that ends a process again is counted towards poison.
        """
        for lane in LANES:
            before, after = old.receiving[lane], new.receiving[lane]
            sent, queued = _withdraw(old, lane)
            for event in sent:
                after.deliveries[event] = before.deliveries.get(event, 1)
            # The one that was to be tried next had not left yet.
            untried = [event for event in queued if event in before.deliveries]
            for event in untried:
                after.deliveries[event] = before.deliveries[event] - 1
            for event in before.suspects:
                after.deliveries[event] = before.deliveries[event]
            for event in (*sent, *untried, *before.suspects):
                if after.deliveries[event] >= MAX_DELIVERIES:
                    self._poison(event, new, after.deliveries.pop(event), now)
                else:
                    after.suspects.append(event)
            after.waiting.extend(event for event in queued if event not in before.deliveries)
            after.waiting.extend(before.waiting)
            after.waiting_bytes = sum(event.size for event in after.waiting)
            after.paused = before.paused
            after.dropped = before.dropped
            after.gaps = before.gaps
            before.paused = {}
            before.clear()
            after.gated = bool(after.suspects or after.waiting)
            self._egress.refill(new, lane)

    def _poison(self, event: Event, receiver: Session, deliveries: int, now: float) -> None:
        shown = _decoder.decode(event.wire)
        self.dead.append(
            Dead(
                now,
                event.origin.name,
                receiver.name,
                event.lane,
                event.number,
                shown.topic,
                len(shown.payload),
                deliveries,
            )
        )
        self._part_ended(event, Outcome.REFUSED, Reason.POISON, now)


def _withdraw(session: Session, lane: Lane) -> tuple[list[Event], list[Event]]:
    """Take a session's parts off its link: those that it was sent, oldest first, and those that were queued for it."""
    receiving = session.receiving[lane]
    out = session.attachment.outbound[lane]
    sent = sorted(
        chain.from_iterable(numbers.values() for numbers in receiving.unsettled.values()),
        key=attrgetter("arrived"),
    )
    queued: list[Event] = []
    kept: list[Entry] = []
    resent = 0
    for position, (event, sessions) in enumerate(out.queue):
        if session in sessions:
            others = tuple(other for other in sessions if other is not session)
            if others:
                kept.append((event, others))
                resent += position < out.resent
            else:
                out.queued_bytes -= event.size
            # One that is to be sent again was transmitted, or was settled while it waited for that.
            if position >= out.resent:
                queued.append(event)
        else:
            kept.append((event, sessions))
            resent += position < out.resent
    out.resent = resent
    out.queue.clear()
    out.queue.extend(kept)
    return sent, queued
