"""Alerts on the bus: what servers that watch are told of episodes as they begin and end."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from lanebus.wire.batches import Unsigned
from lanebus.wire.lanes import Lane

ALERT_TOPIC: Final = "bus.alert"
"""What handlers of alerts are filed under; no peer can send events of this topic to them."""
ALERT_ENTRIES: Final = 64
"""Alerts in one message; the rest follows in others."""
MAX_FIGURES: Final = 32
"""Figures of one alert."""

FigureName = Annotated[str, Meta(min_length=1, max_length=64)]


class AlertEntry(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One episode, as it begins, lasts or ends."""

    kind: Annotated[str, Meta(min_length=1, max_length=64)]
    """Any text: a newer broker may know kinds that its peers do not."""
    peer: Annotated[str, Meta(max_length=160)]
    """Whom it is about, by full name; empty for the broker itself."""
    lane: Lane | None
    """The lane that it is about, where it is about one."""
    is_over: bool
    lasted_ms: Unsigned
    """From its beginning to its end, or to now."""
    held_back: Unsigned
    """Episodes of the same kind, peer and lane before this one that were not told, since they came too soon."""
    figures: Annotated[dict[FigureName, int | float], Meta(max_length=MAX_FIGURES)]
    """By names that carry their units; as they are now, and the worst as `peak_...`."""


class AlertNews(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Alerts that have begun or ended, in order; or, from `begins` to `ends`, a list of those that last."""

    entries: Annotated[list[AlertEntry], Meta(max_length=ALERT_ENTRIES)]
    begins: bool = False
    """A list of those that last begins."""
    ends: bool = False
    """The list is complete: what is not in it is over."""
