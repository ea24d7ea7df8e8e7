"""An event under way in the broker, and its encoded form with other flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from lanebus.wire.batches import (
    EVENT_LATEST,
    EVENT_PRESENT,
    EVENT_REDELIVERED,
    EVENT_REPLAYED,
    EVENT_VOLATILE,
    DownEvent,
)
from lanebus.wire.bodies import encode_body
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

if TYPE_CHECKING:
    from lanebus.broker.sessions import Session
    from lanebus.broker.terms import Terms

_decoder: Final = msgspec.msgpack.Decoder(DownEvent)


class Event(msgspec.Struct, eq=False, gc=False):
    """An accepted event while any of its parts is not settled.

    Not watched by the garbage collector: who holds one gives it up when its part ends.
    """

    origin: Session
    lane: Lane
    number: int
    wire: bytes
    """The event as every receiver gets it, encoded once."""
    size: int
    """Of `wire` as it was accepted, in bytes."""
    to: str | None
    """What its sender wrote, for `pause`; None where the sender left the choice to the broker."""
    arrived: float
    hold_until: float
    """When it must have left the broker to keep its lane's hold over both hops."""
    terms: Terms | None = None
    """Its mode and time to live, where it is not plainly reliable."""
    shared: bool = False
    """Whether it went to a group, to all, or to a list: such parts are dropped for a slow receiver."""
    remaining: int = 0
    answered: bool = False
    """Whether the end of a part is known that says something of how the event ends."""
    worst: Outcome = Outcome.DELIVERED
    reason: Reason = Reason.NONE
    sent: float = 0.0
    """When it was sent to a receiver last."""

    def topic(self) -> str:
        """What it is about; it is read from the encoded form, where few ask for it."""
        return _decoder.decode(self.wire).topic

    def question_wire(self, flags: int) -> bytes:
        """The question that is sent instead of the event: as the event, without its payload and time to live."""
        shown = _decoder.decode(self.wire)
        flags |= shown.flags & ~(EVENT_PRESENT | EVENT_LATEST | EVENT_VOLATILE)
        return encode_body((shown.origin, shown.number, shown.stamp, flags, shown.topic, b""))


def flagged_wire(wire: bytes, flags: int) -> bytes:
    """An event with further flags, for one receiver to whom more has to be said of it."""
    shown = _decoder.decode(wire)
    return _with_flags(shown, shown.flags | flags)


def moved_wire(wire: bytes) -> bytes:
    """An event that goes to another instance: one that was replayed is new there, and may have been handled."""
    shown = _decoder.decode(wire)
    if not shown.flags & EVENT_REPLAYED:
        return wire
    return _with_flags(shown, (shown.flags | EVENT_REDELIVERED) & ~EVENT_REPLAYED)


def _with_flags(shown: DownEvent, flags: int) -> bytes:
    row = (shown.origin, shown.number, shown.stamp, flags, shown.topic, shown.payload)
    return encode_body((*row, shown.ttl) if shown.ttl else row)
