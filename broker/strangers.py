"""Strangers: connections that send frames and have no link, since they never said hello, or their link has ended.

Each is told so, but not for every frame, nor is every frame worth a line in the log. A ROUTER cannot hang up: who goes
on all the same is named to the driver, which can.
"""

from __future__ import annotations

from math import inf
from typing import Final

from lanebus.wire.lanes import Lane

TOLD_EVERY_S: Final = 1.0
"""Least time between two answers to one of them."""
MAX_FRAMES: Final = 512
MAX_BYTES: Final = 16 << 20
PATIENCE_S: Final = 1.0
"""After so much, or so many, one that goes on for so long is hung up on: by then it could have read why."""
STRANGERS_REMEMBERED: Final = 4096


class _Stranger:
    __slots__ = ("frames", "is_unwanted", "since", "size_bytes", "told_at")

    def __init__(self, now: float) -> None:
        self.since = now
        self.frames = 0
        self.size_bytes = 0
        self.is_unwanted = False
        self.told_at = -inf


class Strangers:
    """All of them; past a number they are all forgotten, and known anew by their next frame."""

    def __init__(self) -> None:
        self._known: dict[tuple[Lane, bytes], _Stranger] = {}
        self.unwanted = False
        """Whether the connection that the latest frame came on is to be hung up on; the driver takes it back."""

    def sent(self, lane: Lane, route: bytes, size_bytes: int, now: float) -> bool:
        """One of them has sent a frame; whether it is looked at."""
        stranger = self._of(lane, route, now)
        stranger.frames += 1
        stranger.size_bytes += size_bytes
        if stranger.frames <= MAX_FRAMES and stranger.size_bytes <= MAX_BYTES:
            return True
        if not stranger.is_unwanted and now - stranger.since > PATIENCE_S:
            # Once: what is read of it after that came before its end, and its descriptor may be another's.
            stranger.is_unwanted = self.unwanted = True
        return False

    def frames(self, lane: Lane, route: bytes) -> int:
        """How many frames one of them has sent."""
        stranger = self._known.get((lane, route))
        return 0 if stranger is None else stranger.frames

    def is_told(self, lane: Lane, route: bytes, now: float) -> bool:
        """One of them has done something wrong; whether it is answered, and logged."""
        stranger = self._of(lane, route, now)
        if now - stranger.told_at < TOLD_EVERY_S:
            return False
        stranger.told_at = now
        return True

    def _of(self, lane: Lane, route: bytes, now: float) -> _Stranger:
        stranger = self._known.get((lane, route))
        if stranger is None:
            if len(self._known) >= STRANGERS_REMEMBERED:
                self._known.clear()
            stranger = self._known[lane, route] = _Stranger(now)
        return stranger
