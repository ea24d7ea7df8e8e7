"""The state of a world for whoever looks on: `python -m lanebus.examples.state_sync`, with a broker running.

A server steps a world 30 times a second and sends where its units are; a player draws the newest it knows, once a
second. Both run in this process; `state_sync server` and `state_sync player NAME` run one of them. Three things are
shown:

- An outdated position is not worth sending. `mode="latest"`, with the unit as key, lets a newer value take the place of
  one that still waits, so whoever is slow gets fewer values, and never old ones.
- That a unit has left must not be missed: it is a reliable event, behind the values on the same lane.
- A player that falls behind by more than the broker holds for it is told (`on_gap`), asks for a snapshot, and is right
  again. `--nap-s 5` lets the player stop polling for so long, as for a loading screen; how long it takes to a gap is
  what the broker's settings `egress.credit_bytes`, `egress.queue_bytes` and `egress.age_s` say.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from contextlib import suppress
from typing import Final

import msgspec

import lanebus

TICKS_PER_S: Final = 30
UNITS: Final = 12
WIDTH_M: Final = 40
ROOM: Final = "sync"
"""The group of those who look on."""
SILENCE_S: Final = 2.0
"""Without news for so long, a player asks to be let in again: the server may have started anew."""
NAP_AT_TICK: Final = 3 * TICKS_PER_S


class State(msgspec.Struct, frozen=True, array_like=True):
    """``unit.state``: where a unit is at a tick."""

    unit: int
    tick: int
    x_m: float


class Snapshot(msgspec.Struct, frozen=True):
    """``unit.snapshot``, to one player: all units there are at a tick."""

    tick: int
    states: list[State]


class World:
    """Units that walk to and fro. Once a second the oldest leaves, and another comes; no number is used twice."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self.tick = 0
        self._next = 1
        self._units: dict[int, tuple[float, float]] = {}
        """Position in metres, and metres per second."""
        for _ in range(UNITS):
            self._come()

    def _come(self) -> None:
        self._units[self._next] = self._random.uniform(0, WIDTH_M), self._random.uniform(-8, 8)
        self._next += 1

    def step(self) -> list[int]:
        """Go on to the next tick; the units that have left."""
        self.tick += 1
        for unit, (x_m, speed) in self._units.items():
            moved = x_m + speed / TICKS_PER_S
            if not 0 <= moved < WIDTH_M:
                moved, speed = x_m, -speed
            self._units[unit] = moved, speed
        if self.tick % TICKS_PER_S:
            return []
        oldest = min(self._units)
        del self._units[oldest]
        self._come()
        return [oldest]

    def states(self) -> list[State]:
        """Where all units are."""
        return [State(unit, self.tick, round(x_m, 2)) for unit, (x_m, _) in self._units.items()]


class StateServer:
    """Owns the world, and tells everybody in the room."""

    def __init__(self, adapter: lanebus.ServerAdapter, world: World) -> None:
        self.adapter = adapter
        self.world = world
        self.watchers: set[str] = set()
        adapter.on("sync.enter")(self.enter)
        adapter.on("sync.snapshot")(self.snapshot)
        adapter.on_player_left(self.left)

    def enter(self, event: lanebus.Event) -> None:
        """A player wants to look on: it gets all there is, and from then on what changes."""
        self.watchers.add(event.sender)
        self.adapter.join(ROOM, event.sender)
        print(f"{self.adapter.name}: {event.sender} looks on", flush=True)
        self._send_snapshot(event.sender)

    def snapshot(self, event: lanebus.Event) -> None:
        """A player has missed something."""
        print(f"{self.adapter.name}: {event.sender} has a gap and gets a snapshot", flush=True)
        self._send_snapshot(event.sender)

    def left(self, change: lanebus.PlayerChange) -> None:
        """A player is gone."""
        if change.player.name in self.watchers:
            self.watchers.discard(change.player.name)
            self.adapter.leave(ROOM, change.player.name)

    def step(self) -> None:
        """One tick; all that it says leaves together."""
        gone = self.world.step()
        if self.watchers:
            with suppress(lanebus.OutboxFull):  # the next tick has newer values
                for state in self.world.states():
                    self.adapter.send("unit.state", state, to=f"group:{ROOM}", mode="latest", key=state.unit)
            for unit in gone:
                self.adapter.send("unit.left", unit, to=f"group:{ROOM}")
        self.adapter.flush()

    def _send_snapshot(self, player: str) -> None:
        self.adapter.send("unit.snapshot", Snapshot(self.world.tick, self.world.states()), to=player)


class Viewer:
    """A player's picture of the world."""

    def __init__(self, adapter: lanebus.ClientAdapter) -> None:
        self.adapter = adapter
        self.units: dict[int, State] = {}
        self.values = self.snapshots = self.gaps = 0
        self.tick = 0
        self.age_ms = 0.0
        self._gone: set[int] = set()
        """Units that have left since the last snapshot."""
        self._heard_s = -SILENCE_S
        adapter.on("unit.state", schema=State)(self.state)
        adapter.on("unit.left", schema=int)(self.left)
        adapter.on("unit.snapshot", schema=Snapshot)(self.snapshot)
        adapter.on_gap(self.gap)

    def state(self, event: lanebus.Event) -> None:
        """A unit is there. A value in the place of an older one can be newer than the snapshot behind it."""
        self.values += 1
        self._take(event.payload)
        self._note(event, event.payload.tick)

    def left(self, event: lanebus.Event) -> None:
        """A unit is there no more."""
        self._gone.add(event.payload)
        self.units.pop(event.payload, None)

    def snapshot(self, event: lanebus.Event) -> None:
        """All there was at a tick: what is not in it, and not newer, is gone."""
        self.snapshots += 1
        found: Snapshot = event.payload
        self.units = {unit: state for unit, state in self.units.items() if state.tick > found.tick}
        for state in found.states:
            if state.unit not in self._gone:
                self._take(state)
        self._gone.clear()
        self._note(event, found.tick)

    def gap(self, gap: lanebus.Gap) -> None:
        """Events of the server were dropped on their way here."""
        self.gaps += 1
        self.adapter.send("sync.snapshot", to=gap.sender)

    def look(self, now_s: float) -> None:
        """Ask to be let in where there is no news; to be called in every round of the program's loop."""
        if now_s - self._heard_s > SILENCE_S:
            self._heard_s = now_s
            self.adapter.send("sync.enter")

    def _take(self, state: State) -> None:
        known = self.units.get(state.unit)
        if known is None or known.tick < state.tick:
            self.units[state.unit] = state

    def _note(self, event: lanebus.Event, tick: int) -> None:
        self._heard_s = time.monotonic()
        self.tick = max(self.tick, tick)
        self.age_ms = event.age_ms

    def drawn(self) -> str:
        """The world on one line."""
        cells = [" "] * WIDTH_M
        for state in self.units.values():
            cells[int(state.x_m)] = "o"
        return f"tick {self.tick:5}  |{''.join(cells)}|  {len(self.units)} units, {self.age_ms:.1f} ms old"


def main() -> int:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m lanebus.examples.state_sync", description="State synchronisation with latest values."
    )
    parser.add_argument("role", nargs="?", choices=["both", "server", "player"], default="both")
    parser.add_argument("name", nargs="?", default="42", help="the player's name (default: 42)")
    parser.add_argument("--broker", default="tcp://127.0.0.1:5570", help="address of its critical lane")
    parser.add_argument("--nap-s", type=float, default=0.0, help="how long the player stops polling, once")
    options = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGINT, lambda signum, frame: stopping.append(signum))
    loop = lanebus.Loop()
    server = viewer = None
    try:
        if options.role != "player":
            adapter = lanebus.ServerAdapter("sync-1", service="sync", broker=options.broker)
            server = StateServer(adapter, World())
            adapter.connect()
            loop.add(adapter)
        if options.role != "server":
            client = lanebus.ClientAdapter(options.name, broker=options.broker)
            viewer = Viewer(client)
            client.connect()
            loop.add(client)
    except lanebus.LanebusError as error:
        print(f"no world: {error}", file=sys.stderr)
        return 69
    nap_ends = NAP_AT_TICK + int(options.nap_s * TICKS_PER_S)
    tick, next_tick_s = 0, time.monotonic()
    while not stopping:
        tick += 1
        next_tick_s = max(next_tick_s + 1 / TICKS_PER_S, time.monotonic())
        if server is not None:
            server.step()
        while (left_s := next_tick_s - time.monotonic()) > 0:
            loop.turn(left_s)
        if viewer is None:
            continue
        if tick == NAP_AT_TICK < nap_ends:
            print(f"{viewer.adapter.name}: does not poll for {options.nap_s:g} s", flush=True)
            loop.remove(viewer.adapter)
        elif tick == nap_ends > NAP_AT_TICK:
            loop.add(viewer.adapter)
        elif not NAP_AT_TICK < tick < nap_ends:
            viewer.look(time.monotonic())
            if not tick % TICKS_PER_S:
                print(viewer.drawn(), flush=True)
    loop.close_all()
    if viewer is not None:
        print(f"closed: {viewer.values} values, {viewer.snapshots} snapshots, {viewer.gaps} gaps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
