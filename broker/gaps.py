"""Gaps: a receiver some of whose parts were dropped is told so by the next event of the same sender and lane."""

from __future__ import annotations

from lanebus.broker.events import Event, flagged_wire
from lanebus.broker.sessions import Receiving, is_unsettled
from lanebus.wire.batches import EVENT_AFTER_GAP, EVENT_REDELIVERED


def flagged(receiving: Receiving, event: Event, wire: bytes, *, asks: bool) -> bytes:
    """An event as it leaves for one receiver: marked as redelivered, or as the first one behind a gap.

    Args:
        wire: the event, or the question that is sent instead.
        asks: whether it is a question.
    """
    flags = EVENT_REDELIVERED if receiving.deliveries.get(event, 1) > 1 else 0
    if asks:
        # No handler gets it: another event has to tell of the gap.
        if receiving.gaps.get(event.origin) is event:
            receiving.gaps[event.origin] = None
    elif event.origin in receiving.gaps:
        # A gap travels in the order of the data, on the next event; that one carries it again when it is sent again.
        carrier = receiving.gaps[event.origin]
        if carrier is None or carrier is event:
            receiving.gaps[event.origin] = event
            flags |= EVENT_AFTER_GAP
        elif not is_unsettled(receiving, carrier):
            del receiving.gaps[event.origin]
    return flagged_wire(wire, flags) if flags else wire
