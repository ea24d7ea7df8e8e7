"""What servers are told of players: who there is, who comes and goes, and how their connections are."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from lanebus.wire.batches import Unsigned
from lanebus.wire.quality import Degree

MAX_PRESENCE_ENTRIES: Final = 1024
"""Entries in one message; the rest follows in others."""


After = Annotated[list[Unsigned], Meta(max_length=3)]
"""By lane: the number of the last batch that has left for the watcher; empty: none on any lane."""


class What(StrEnum):
    """What has become of a player."""

    JOINED = "joined"
    """Its session began; in a list: it is there."""
    LEFT = "left"
    """Its session ended."""
    AWAY = "away"
    """It has lost its links; its session waits for it."""
    RESUMED = "resumed"
    """It has links again."""
    QUALITY = "quality"
    """Its connection has become better or worse."""


class PresenceEntry(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One player, and what has become of it."""

    player: Annotated[str, Meta(min_length=1, max_length=160)]
    what: What
    quality: Degree
    before: Degree
    """What the quality was before, where that has changed; else as `quality`."""
    reason: Annotated[str, Meta(max_length=512)]
    """Why it has left, is away, or has that quality."""
    age_ms: Unsigned
    """Since its session began."""
    resumes: Unsigned
    """How often it came back on fresh links."""
    outages: Unsigned
    """How often it lost its links."""
    longest_outage_ms: Unsigned


class Presence(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What has become of players, in order; or, from `begins` to `ends`, a list of all."""

    entries: Annotated[list[PresenceEntry], Meta(max_length=MAX_PRESENCE_ENTRIES)]
    begins: bool = False
    """A list of all players begins: until it ends, `joined` and `away` say where each is."""
    ends: bool = False
    """The list is complete: who is not in it has left, or is away where the broker is `recovering`."""
    recovering: bool = False
    """Whether players of an earlier broker may still come back."""
    after: After = []
    """Who has left here sent nothing that comes behind these."""
