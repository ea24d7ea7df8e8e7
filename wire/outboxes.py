"""What pings say of outboxes that are full, or nearly so."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from lanebus.wire.batches import Positive, Unsigned

MAX_OUTBOXES: Final = 1024
"""Outboxes in one ping."""


class OutboxReport(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A session whose outbox is at least half full, or had no room for an event since the last ping."""

    session: Unsigned
    """Its index."""
    held_bytes: Unsigned
    """Accepted and not settled."""
    limit_bytes: Positive
    turned_away: Unsigned
    """Events since the last ping that found no room."""
