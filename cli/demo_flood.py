"""The demo's flood: one player sends far more than it may for a while, and its limit holds that back.

Only what is done when, and what is seen of it; the time is an argument, and the deeds are somebody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from lanebus.cli.demo_fault import QUIET_S, RECOVERY_TIMEOUT_S, Fault, FaultFigures, FloodSeen, Seen, State
from lanebus.cli.demo_flooder import EVERY_S, TRIES

FLOOD_AT: Final = 0.1
"""How far into the match the flood begins: what was before it is what it is compared with."""
FLOOD_SHARE: Final = 0.14
FLOOD_LEAST_S: Final = 0.8
FLOOD_MOST_S: Final = 4.0
"""It lasts for this share of the match, within these bounds."""
ASK_AT: Final = 0.5
"""How far into the flood the broker is first asked why the player's events wait."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What the broker says of one player at one moment."""

    accepted: int
    """Events of it that it has accepted."""
    events_per_s: float
    """What it may send in a second; 0 for no limit."""
    events_burst: int
    """What it may send at once."""
    limit: str = ""
    """The limit that it is held to now; empty for none."""


class FloodDeeds(Protocol):
    """What a flood takes."""

    def begin_flood(self) -> Account:
        """Let the player flood; returns how it stands with the broker now."""

    def end_flood(self) -> Account:
        """Let it stop; returns how it stands with the broker now."""

    def ask_why(self) -> None:
        """Ask the broker why the player's events wait, and keep the answer."""


class Flood:
    """The flood of a match. `turn` is called again and again while it is not over."""

    def __init__(self, deeds: FloodDeeds, player: str, length_s: float) -> None:
        """Let `player` flood a match of `length_s`."""
        self._deeds = deeds
        self._player = player
        self._most_s = min(max(FLOOD_SHARE * length_s, FLOOD_LEAST_S), FLOOD_MOST_S)
        self._fault = Fault(at_s=FLOOD_AT * length_s)
        self._before: Account | None = None
        self._after: Account | None = None
        self._asked = False
        self._limit = ""
        self._held = 0
        self._seen = FloodSeen()
        self._calm_p99_ms: float | None = None
        self._p99_ms: float | None = None
        self._elapsed_s = 0.0

    @property
    def state(self) -> State:
        """How far it is."""
        return self._fault.state

    def turn(self, now_s: float, elapsed_s: float, seen: Seen) -> None:
        """Do what is due at `now_s`, `elapsed_s` into the match, and take in what is seen."""
        self._elapsed_s = elapsed_s
        self.see(seen)
        fault = self._fault
        if fault.state is State.COMING:
            if elapsed_s >= fault.at_s:
                self._calm_p99_ms = seen.flood.calm_p99_ms
                self._before = self._deeds.begin_flood()
                fault.began_s = now_s
        elif fault.state is State.ACTIVE:
            self._p99_ms = seen.flood.p99_ms
            since_s = now_s - (fault.began_s or 0.0)
            if since_s >= self._most_s * ASK_AT:
                self._ask_why(seen.flood.limit)
            if since_s >= self._most_s:
                self.stop(now_s)
        elif fault.state is State.RECOVERING:
            self._look_if_over(now_s, seen)

    def see(self, seen: Seen) -> None:
        """Take in what is seen; after the match too, when the last of it has been handled."""
        self._seen = seen.flood
        self._limit = seen.flood.limit or self._limit
        self._held = max(self._held, seen.flood.counts.held)

    def stop(self, now_s: float) -> None:
        """End it, if it is going on."""
        if self._fault.state is State.ACTIVE:
            self._after = self._deeds.end_flood()
            self._fault.ended_s = now_s
            self._ask_why(self._after.limit)

    def figures(self) -> FaultFigures:
        """What people are told of it."""
        return FaultFigures(state=self._fault.state, text=self._text(), deed=self._deed())

    def as_dict(self) -> dict[str, Any] | None:
        """What was done and what came of it, as plain figures; None if nothing was done."""
        fault, before, after, counts = self._fault, self._before, self._after, self._seen.counts
        if before is None:
            return None
        lasted_s = fault.lasted_s
        allowed = None
        if before.events_per_s and lasted_s is not None:
            allowed = before.events_burst + round(before.events_per_s * lasted_s)
        return {
            "kind": "flood",
            "target": self._player,
            "lasted_s": lasted_s,
            "recovery_s": fault.recovery_s,
            "limit": self._limit or None,
            "events_per_s": before.events_per_s,
            "events_burst": before.events_burst,
            "tried_events": counts.tried,
            "sent_events": counts.sent,
            "handled_events": counts.handled,
            "accepted_events": after.accepted - before.accepted if after else None,
            "allowed_events": allowed,
            "most_held_events": self._held,
            "longest_wait_ms": counts.longest_wait_ms,
        }

    def _ask_why(self, limit: str) -> None:
        """Ask once, while it is held to a limit: afterwards there would be nothing to say."""
        if limit and not self._asked:
            self._asked = True
            self._limit = limit
            self._deeds.ask_why()

    def _look_if_over(self, now_s: float, seen: Seen) -> None:
        fault, counts = self._fault, seen.flood.counts
        ended_s = fault.ended_s or 0.0
        last_s = max(ended_s, counts.last_s)
        # What the player itself has sent behind the flood is late too.
        quiet_since_s = max(last_s, seen.late_s)
        is_handled = counts.handled >= counts.sent and not counts.held
        if is_handled and now_s - quiet_since_s >= QUIET_S:
            fault.over_s = last_s
        elif now_s - ended_s >= RECOVERY_TIMEOUT_S:
            fault.over_s = now_s
            fault.is_complete = False

    def _text(self) -> str:
        fault, counts, player = self._fault, self._seen.counts, self._name
        if fault.state is State.COMING:
            return f"{player} will flood in {max(fault.at_s - self._elapsed_s, 0.0):.0f} s"
        # Where few play there may be no others of whom anything is known.
        others = ""
        if self._calm_p99_ms is not None:
            others = f"; others' critical p99 {_ms(self._p99_ms)} ms (was {_ms(self._calm_p99_ms)})"
        if fault.state is State.ACTIVE:
            return f"{player} floods, {counts.handled:,} of {counts.tried:,} handled{others}"
        head = f"{player} flooded {fault.lasted_s:.1f} s"
        if fault.state is State.RECOVERING:
            return f"{head}, {counts.held:,} held back{others}"
        if not fault.is_complete:
            return f"{head}, {counts.handled:,} of {counts.sent:,} handled{others}"
        return f"{head}, all {counts.sent:,} handled{others}"

    def _deed(self) -> str:
        if self._fault.state is State.COMING:
            return ""
        if self._fault.state is State.ACTIVE:
            return f"{self._name} floods: it tries to send {TRIES / EVERY_S:,.0f} events a second"
        held = self._seen.counts.held
        return f"{self._name} stops flooding, {held:,} event{'' if held == 1 else 's'} held back"

    @property
    def _name(self) -> str:
        return self._player.partition(":")[2]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
