"""What every measure is told: which events, how many rounds, how long."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.lab.events import Events

PAUSE_S: Final = 0.5
"""Between two runs, so that one's last work is not the next one's."""


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
    full_matches: bool = False
    """Play whole matches at speed 1; else a minute of them."""

    def say(self, text: str) -> None:
        """Tell who waits what is being done."""
        print(f"  {text}", file=sys.stderr, flush=True)

    def pause(self) -> None:
        """Let what was measured come to rest."""
        time.sleep(PAUSE_S)
