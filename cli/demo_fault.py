"""One fault of the demo: how far it is, what is seen while it is done, and what people are told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from lanebus.cli.demo_reports import FloodCounts, Silence

QUIET_S: Final = 0.75
"""A fault is over once no event that it had held up has come for so long."""
RECOVERY_TIMEOUT_S: Final = 10.0
"""After so long the match goes on, whatever has not come back; the final books will tell."""


@dataclass(frozen=True, kw_only=True)
class FloodSeen:
    """What is seen of the player that floods, and of what the others notice."""

    counts: FloodCounts = field(default_factory=FloodCounts)
    """What it has sent and the arena's server has handled of it."""
    limit: str = ""
    """The limit that the broker holds it to now; empty for none."""
    calm_p99_ms: float | None = None
    """The others' critical lane, from send to handler, while nothing is done to the match."""
    p99_ms: float | None = None
    """The same during the flood."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the processes of the match say at one moment."""

    players: int
    """Players that should be there."""
    connected: int
    """Those that have a broker."""
    server_connected: bool
    in_flight: int
    """Events that their senders know to be unsettled."""
    resent: int
    """Events that were sent more than once so far."""
    waiting: int
    """Events that the broker holds for the one player, or has sent it without an answer."""
    late_s: float
    """When an event that had been held up was last handled by anybody; on the clock of `now_s`, as the silences."""
    silences: Sequence[Silence] = ()
    """Those that have ended since the moment before."""
    flood: FloodSeen = FloodSeen()


class State(Enum):
    """How far a fault is."""

    COMING = "coming"
    ACTIVE = "active"
    RECOVERING = "recovering"
    OVER = "over"


@dataclass(kw_only=True)
class Fault:
    """One fault: when it began, ended and was got over, on the clock of `now_s`; None before that."""

    at_s: float
    """When in the match it is due."""
    began_s: float | None = None
    ended_s: float | None = None
    """When what was done was undone: the process goes on, the broker serves again."""
    over_s: float | None = None
    """When the last event that it had held up was handled."""
    silences: list[Silence] = field(default_factory=list)
    is_complete: bool = True
    """Whether everybody came back."""

    @property
    def state(self) -> State:
        """How far it is."""
        if self.began_s is None:
            return State.COMING
        if self.ended_s is None:
            return State.ACTIVE
        return State.RECOVERING if self.over_s is None else State.OVER

    @property
    def lasted_s(self) -> float | None:
        """From the deed until it was undone."""
        return None if self.began_s is None or self.ended_s is None else self.ended_s - self.began_s

    @property
    def recovery_s(self) -> float | None:
        """From then until the last event that had been held up was handled."""
        return None if self.ended_s is None or self.over_s is None else self.over_s - self.ended_s


@dataclass(frozen=True, kw_only=True)
class FaultFigures:
    """One fault as people see it."""

    state: State
    text: str
    """How it stands, with its figures."""
    deed: str
    """What was done last; empty before anything was."""
