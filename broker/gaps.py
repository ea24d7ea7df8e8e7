"""Gaps: a receiver some of whose parts were dropped is told so by the first part of the same sender behind them.

Parts are dropped where they wait. So the first one of their sender that leaves those that wait, or need not wait, tells
of them: it travels in the order of the data, and again when it is sent again.
"""

from __future__ import annotations

from lanebus.broker.events import Event, flagged_wire
from lanebus.broker.sessions import Receiving
from lanebus.wire.batches import EVENT_AFTER_GAP, EVENT_REDELIVERED


def dropped(receiving: Receiving, event: Event) -> None:
    """A part was dropped that waited: the next one of its sender tells of it."""
    receiving.gaps.add(event.origin)


def leaves(receiving: Receiving, event: Event) -> None:
    """A part goes into its link's queue: it tells of what was dropped before it."""
    if event.origin in receiving.gaps:
        receiving.gaps.discard(event.origin)
        receiving.tellers[event] = None


def replaces(receiving: Receiving, older: Event, newer: Event) -> None:
    """A newer value has taken a part's place in its link's queue, and what that one was to tell."""
    if older in receiving.tellers:
        del receiving.tellers[older]
        receiving.tellers[newer] = None


def passes_on(receiving: Receiving, event: Event) -> None:
    """No handler gets a part: what it was to tell, the next one of its sender tells that is sent."""
    if event in receiving.tellers:
        del receiving.tellers[event]
        receiving.untold.add(event.origin)


def forget_ended(receiving: Receiving) -> None:
    """Events that every receiver has settled tell nobody any more."""
    receiving.tellers = {event: None for event in receiving.tellers if event.remaining}


def flagged(receiving: Receiving, event: Event, wire: bytes, *, asks: bool) -> bytes:
    """An event as it leaves for one receiver: marked as redelivered, or as the first one behind a gap.

    Args:
        wire: the event, or the question that is sent instead.
        asks: whether it is a question.
    """
    flags = EVENT_REDELIVERED if receiving.deliveries.get(event, 1) > 1 else 0
    if asks:
        passes_on(receiving, event)
    else:
        if event.origin in receiving.untold:
            receiving.untold.discard(event.origin)
            receiving.tellers[event] = None
        if event in receiving.tellers:
            flags |= EVENT_AFTER_GAP
    return flagged_wire(wire, flags) if flags else wire
