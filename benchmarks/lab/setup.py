"""What every measure is told: which events, how many rounds, how long."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.lab.events import Events

PAUSE_S: Final = 0.5
"""Between two runs, so that one's last work is not the next one's."""


class MatchTime(NamedTuple):
    """From when to when matches are played, in seconds of their own time."""

    from_s: float = 0.0
    until_s: float | None = None
    """None for their end."""

    def options(self) -> list[str]:
        """For `lanebus replay`."""
        until = [] if self.until_s is None else ["--until", f"{self.until_s:g}"]
        return ["--from", f"{self.from_s:g}", *until]

    def __str__(self) -> str:
        return (
            f"match time {self.from_s:g} s to {'the end' if self.until_s is None else f'{self.until_s:g} s'}"
        )


def match_time(text: str) -> MatchTime:
    """`FROM-UNTIL`, each a number of seconds; without one of them it is the beginning or the end.

    Raises:
        ValueError: it is neither.
    """
    first, dash, last = text.partition("-")
    found = MatchTime(float(first or 0.0), float(last) if last else None)
    if not dash or (found.until_s is not None and found.until_s <= found.from_s):
        raise ValueError(f"{text!r} is no time from and until")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How to measure."""

    events: Events
    traces: Sequence[Path]
    recorded: bool
    """Whether the traces are recorded matches, or made-up ones."""
    rounds: int
    run_s: float
    """How long one run takes."""
    soak_s: float
    full_matches: MatchTime | None = None
    """Play matches once, the whole of them or that part; else a minute of them."""

    def say(self, text: str) -> None:
        """Tell who waits what is being done."""
        print(f"  {text}", file=sys.stderr, flush=True)

    def pause(self) -> None:
        """Let what was measured come to rest."""
        time.sleep(PAUSE_S)
