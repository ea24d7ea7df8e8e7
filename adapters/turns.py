"""Turns: whether the program gives its adapter any. One that it forgets neither sends nor handles."""

from __future__ import annotations

import logging
from math import inf
from typing import Final

log = logging.getLogger("lanebus.adapters")

FORGOTTEN_S: Final = 5.0
"""Time without a turn after which the program is warned that it seems to have forgotten to poll."""
LOOK_S: Final = 0.005
"""Shortest time after a turn, or after another look, in which `send` does not look for what has waited too long."""
STALL_S: Final = 1.0
"""Time without a turn after which what has waited says nothing of the network."""
WARNING_INTERVAL_S: Final = 60.0
"""Shortest time between two such warnings."""
SMOOTHING: Final = 0.2
"""Weight of a new gap in the mean."""


class Turns:
    """The turns of one adapter, or of a loop of them.

    Args:
        what: who has turns and what was not done, for warnings: ``server:a was not polled``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._ended = inf
        self._warned = -inf
        self.look_at = inf
        """From when on `send` looks for what has waited too long: a program that does not poll may send on."""
        self.mean_gap_s = 0.0
        """From the end of a turn to the beginning of the next one, smoothed."""
        self.longest_gap_s = 0.0
        self.stalls = 0
        """How often that was longer than `FORGOTTEN_S`."""

    def begin(self, now: float) -> bool:
        """The program gives a turn.

        Returns:
            Whether it gave none for longer than `STALL_S`.
        """
        self.look_at = inf
        if self._ended == inf:
            return False
        gap_s = now - self._ended
        self.mean_gap_s += SMOOTHING * (gap_s - self.mean_gap_s)
        if gap_s > self.longest_gap_s:
            self.longest_gap_s = gap_s
        if gap_s > FORGOTTEN_S:
            self.stalls += 1
            self._warn(gap_s, now)
        return gap_s > STALL_S

    def end(self, now: float) -> None:
        """The turn is over: the program goes on with something else."""
        self._ended = now
        self.look_at = now + LOOK_S

    def stop(self) -> None:
        """Nobody expects turns from here on: somebody else gives them, or none are needed any more."""
        self._ended = self.look_at = inf

    def look(self, now: float) -> None:
        """Something is sent, and there was no turn for a while; the program is warned if it seems to forget them."""
        self.look_at = now + LOOK_S
        if now - self._ended > FORGOTTEN_S:
            self._warn(now - self._ended, now)

    def _warn(self, gap_s: float, now: float) -> None:
        if now - self._warned < WARNING_INTERVAL_S:
            return
        self._warned = now
        log.warning(
            "= %s for %.1f s: nothing is sent or handled meanwhile; poll in every round of the program's loop",
            self._what,
            gap_s,
        )
