"""Whom the broker has hung up on, and why: counted, and told in the log now and then. Without I/O."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final

log = logging.getLogger("lanebus.broker")

TOLD_EVERY_S: Final = 10.0
"""Least time between two lines of the log."""


class HangUp(StrEnum):
    """Why a connection is ended."""

    UNFINISHED = "unfinished"
    """It has sent more than a message may have, and no end of it; or as much as that without a hello."""
    GARBAGE = "garbage"
    """It goes on to send frames without a hello, though it was told."""
    NO_HELLO = "no_hello"
    """It has said no hello in time."""
    NO_ROOM = "no_room"
    """There were too few open files, and it had no link."""


class HangUps:
    """Counts and tells."""

    def __init__(self) -> None:
        self.totals = dict.fromkeys(HangUp, 0)
        """Since the start."""
        self._untold: dict[HangUp, int] = {}
        self._latest = ""
        self._next_line = 0.0

    def note(self, why: HangUp, far_end: object, now: float) -> None:
        """A connection was ended.

        Args:
            far_end: host and port, or the host alone.
        """
        self.totals[why] += 1
        self._untold[why] = self._untold.get(why, 0) + 1
        self._latest = str(far_end[0]) if isinstance(far_end, tuple) else str(far_end)
        self.tell(now)

    def tell(self, now: float) -> None:
        """Tell what was not told, if it is time to; to be called now and then."""
        if not self._untold or now < self._next_line:
            return
        self._next_line = now + TOLD_EVERY_S
        counts = ", ".join(f"{count} {why}" for why, count in self._untold.items())
        log.warning("! hung up on connections: %s; the latest is from %s", counts, self._latest)
        self._untold.clear()
