"""What the demo does to itself: a player floods, another one's process is stopped, and the broker is killed.

Only the order of events and what is seen of them; the time is an argument, and the deeds are somebody else's.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from lanebus.cli.demo_fault import QUIET_S, RECOVERY_TIMEOUT_S, Fault, FaultFigures, Seen, State
from lanebus.cli.demo_flood import Flood, FloodDeeds
from lanebus.cli.text import human_time

STOP_AT: Final = 0.32
"""How far into the match the player's process is stopped."""
STOP_SHARE: Final = 0.14
STOP_LEAST_S: Final = 0.5
STOP_MOST_S: Final = 4.0
"""It is stopped for this share of the match, within these bounds."""
KILL_AT: Final = 0.5
RESTART_S: Final = 1.0
"""How long a killed broker is left dead; the systemd unit waits as long."""


class Deeds(FloodDeeds, Protocol):
    """What can be done to the processes of a match."""

    def stop_player(self) -> None:
        """Send SIGSTOP to the process of one player."""

    def continue_player(self) -> None:
        """Send it SIGCONT."""

    def kill_broker(self) -> None:
        """Send SIGKILL to the broker."""

    def launch_broker(self) -> None:
        """Begin to start it again."""

    def broker_is_ready(self) -> bool:
        """Whether it serves again."""


class Faults:
    """The faults of a match, one after the other. `turn` is called again and again while the match runs."""

    def __init__(self, deeds: Deeds, player: str, length_s: float, flooder: str | None = None) -> None:
        """Hurt a match of `length_s`: `player` is the one whose process is stopped, `flooder` another that floods."""
        self._deeds = deeds
        self._player = player
        self._stop_s = min(max(STOP_SHARE * length_s, STOP_LEAST_S), STOP_MOST_S)
        self._flood = Flood(deeds, flooder, length_s) if flooder is not None else None
        self._stop = Fault(at_s=STOP_AT * length_s)
        self._kill = Fault(at_s=KILL_AT * length_s)
        self._relaunched = False
        self._resent_before = 0
        self._resent = 0
        self._waited = 0
        self._seen: Seen | None = None
        self._now_s = self._elapsed_s = 0.0

    @property
    def is_over(self) -> bool:
        """Whether all have been got over."""
        return self._kill.state is State.OVER

    @property
    def is_disturbing(self) -> bool:
        """Whether one of them is being done, or is not got over yet."""
        states = [self._stop.state, self._kill.state, *([self._flood.state] if self._flood else [])]
        return any(state in (State.ACTIVE, State.RECOVERING) for state in states)

    @property
    def floods(self) -> bool:
        """Whether a player floods now."""
        return self._flood is not None and self._flood.state is State.ACTIVE

    @property
    def stops_player(self) -> bool:
        """Whether the player's process is stopped now."""
        return self._stop.state is State.ACTIVE

    @property
    def kills_broker(self) -> bool:
        """Whether the broker is dead now because it was meant to be."""
        return self._kill.state is State.ACTIVE

    @property
    def broker_down_s(self) -> float | None:
        """How long it has been dead; None while it lives."""
        return self._now_s - (self._kill.began_s or 0.0) if self.kills_broker else None

    @property
    def outage_s(self) -> float | None:
        """The longest time for which anybody heard nothing because of the broker's end; None before that is known."""
        if self._kill.lasted_s is None:
            return None
        return max([self._kill.lasted_s, *(each.to_s - each.from_s for each in self._kill.silences)])

    def turn(self, now_s: float, elapsed_s: float, seen: Seen) -> None:
        """Do what is due at `now_s`, `elapsed_s` into the match, and take in what is seen."""
        self._now_s, self._elapsed_s, self._seen = now_s, elapsed_s, seen
        stop, kill = self._stop, self._kill
        for fault in (stop, kill):
            if fault.began_s is not None and fault.state is not State.OVER:
                fault.silences += [each for each in seen.silences if each.to_s > fault.began_s]
        if self._flood is not None and self._flood.state is not State.OVER:
            self._flood.turn(now_s, elapsed_s, seen)
        elif stop.state is State.COMING:
            if elapsed_s >= stop.at_s:
                self._deeds.stop_player()
                stop.began_s = now_s
        elif stop.state is State.ACTIVE:
            self._waited = max(self._waited, seen.waiting)
            if now_s - (stop.began_s or 0.0) >= self._stop_s:
                self._let_player_go_on(now_s)
        elif stop.state is State.RECOVERING:
            self._look_if_over(stop, now_s, seen)
        elif kill.state is State.COMING:
            if elapsed_s >= kill.at_s:
                self._resent_before = seen.resent
                self._deeds.kill_broker()
                kill.began_s = now_s
        elif kill.state is State.ACTIVE:
            if now_s - (kill.began_s or 0.0) >= RESTART_S:
                self.heal(now_s)
        elif kill.state is State.RECOVERING:
            self._resent = max(seen.resent - self._resent_before, 0)
            self._look_if_over(kill, now_s, seen)

    def see(self, seen: Seen) -> None:
        """Take in what is seen once the match is over, and all of it has been handled."""
        if self._flood is not None:
            self._flood.see(seen)

    def heal(self, now_s: float) -> bool:
        """Undo at once whatever is being done; to be called again until it says that all is undone."""
        if self._flood is not None:
            self._flood.stop(now_s)
        if self.stops_player:
            self._let_player_go_on(now_s)
        if self.kills_broker:
            if not self._relaunched:
                self._relaunched = True
                self._deeds.launch_broker()
            elif self._deeds.broker_is_ready():
                self._kill.ended_s = now_s
        return not self.kills_broker

    def figures(self) -> list[FaultFigures]:
        """What people are told of each."""
        return [
            *([self._flood.figures()] if self._flood else []),
            FaultFigures(state=self._stop.state, text=self._stop_text(), deed=self._deed(self._stop)),
            FaultFigures(state=self._kill.state, text=self._kill_text(), deed=self._deed(self._kill)),
        ]

    def as_list(self) -> list[dict[str, Any]]:
        """What was done and what came of it, as plain figures; only of what was done."""
        flood = self._flood.as_dict() if self._flood else None
        done: list[dict[str, Any]] = [flood] if flood else []
        if self._stop.began_s is not None:
            done.append(
                {
                    "kind": "stop",
                    "target": self._player,
                    "lasted_s": self._stop.lasted_s,
                    "recovery_s": self._stop.recovery_s,
                    "waiting_events": self._waited,
                }
            )
        if self._kill.began_s is not None:
            done.append(
                {
                    "kind": "kill",
                    "target": "broker",
                    "lasted_s": self._kill.lasted_s,
                    "recovery_s": self._kill.recovery_s,
                    "outage_s": self.outage_s,
                    "resent_events": self._resent,
                }
            )
        return done

    def _let_player_go_on(self, now_s: float) -> None:
        self._deeds.continue_player()
        self._stop.ended_s = now_s

    def _look_if_over(self, fault: Fault, now_s: float, seen: Seen) -> None:
        ended_s = fault.ended_s or 0.0
        heard = [each.to_s for each in fault.silences]
        last_s = max([ended_s, *heard, *([seen.late_s] if seen.late_s > ended_s else [])])
        everybody = seen.connected == seen.players and seen.server_connected
        if everybody and heard and now_s - last_s >= QUIET_S:
            fault.over_s = last_s
        elif now_s - ended_s >= RECOVERY_TIMEOUT_S:
            fault.over_s = now_s
            fault.is_complete = everybody

    def _stop_text(self) -> str:
        fault, player = self._stop, self._player.partition(":")[2]
        if fault.state is State.COMING:
            return f"{player} will be stopped (SIGSTOP) in {self._due_in_s(fault):.0f} s"
        if fault.state is State.ACTIVE:
            since_s = self._now_s - (fault.began_s or 0.0)
            return f"{player} stopped (SIGSTOP) {since_s:.1f} s ago: {_events(self._waited)} wait for it"
        head = f"{player} was stopped for {fault.lasted_s:.1f} s: {_events(self._waited)} waited"
        if fault.state is State.RECOVERING:
            return f"{head}, it is catching up"
        if not fault.is_complete:
            return f"{head}, it has not come back"
        return f"{head}, caught up in {human_time(fault.recovery_s or 0.0)}"

    def _kill_text(self) -> str:
        fault, seen = self._kill, self._seen
        if fault.state is State.COMING or seen is None:
            return f"the broker will be killed (SIGKILL) in {self._due_in_s(fault):.0f} s"
        if fault.state is State.ACTIVE:
            since_s = self._now_s - (fault.began_s or 0.0)
            return (
                f"broker killed (SIGKILL) {since_s:.1f} s ago: senders keep {_events(seen.in_flight)} for it"
            )
        head = f"broker killed, back after {fault.lasted_s:.1f} s"
        if fault.state is State.RECOVERING:
            return (
                f"{head}: {seen.connected} of {seen.players} players are back, {_events(self._resent)} resent"
            )
        if not fault.is_complete:
            return f"{head}: not everybody has come back"
        return f"{head}: all play on after {self.outage_s:.1f} s, {_events(self._resent)} resent"

    def _deed(self, fault: Fault) -> str:
        name = self._player.partition(":")[2]
        stopped, going, killed, back = (
            f"{name} is stopped (SIGSTOP)",
            f"{name} may go on (SIGCONT)",
            "the broker is killed (SIGKILL)",
            f"the broker is back after {self._kill.lasted_s or 0.0:.1f} s",
        )
        done, undone = (stopped, going) if fault is self._stop else (killed, back)
        if fault.state is State.COMING:
            return ""
        return done if fault.state is State.ACTIVE else undone

    def _due_in_s(self, fault: Fault) -> float:
        return max(fault.at_s - self._elapsed_s, 0.0)


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"
