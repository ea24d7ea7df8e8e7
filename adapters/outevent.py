"""An event on its way out of an adapter: what `send` was given, and what has become of it so far."""

from __future__ import annotations

import msgspec

from lanebus.adapters.event import Receipt
from lanebus.adapters.terms import Terms
from lanebus.wire.lanes import Lane


class OutEvent(msgspec.Struct, eq=False, gc=False):
    """An event on its way.

    Not watched by the garbage collector: who holds one gives it up when it is settled.
    """

    session: int
    lane: Lane
    number: int
    topic: str
    to: str | list[str] | None
    exclude: list[str]
    payload: bytes
    sent_at: float
    """Since when it waits; a latest value as long as the first one whose place it has."""
    after: int
    """The last request that it depends on."""
    receipt: Receipt | None
    size: int
    terms: Terms | None = None
    """Its mode and time to live, where it is not plainly reliable."""
    transmitted: bool = False
    """Whether it has ever left: a broker may have accepted it."""
    replayed: bool = False
    """Whether the present broker is told so."""

    def become(self, newer: OutEvent) -> None:
        """Give the place in a queue to a newer value of the same key."""
        self.number = newer.number
        self.payload = newer.payload
        self.after = newer.after
        self.receipt = newer.receipt
        self.size = newer.size
        self.terms = newer.terms
