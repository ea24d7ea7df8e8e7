"""The arena's server: owns the worlds, tells players what happens there, and shows a game server's loop on the bus.

    python -m lanebus.examples.arena.server

One world step per tick, everything that came of it sent, `flush()` to let it leave now, then `wait()` for the rest of
the tick, which handles what players send.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable

import lanebus
from lanebus.examples.arena import messages
from lanebus.examples.arena.world import HEIGHT_M, TICK_S, TICKS_PER_S, WIDTH_M, World

SCORE_TICKS = TICKS_PER_S
"""Scores are told once a second."""
SILENCE_S = 15.0
"""A player who has said nothing for this long is taken out; a bot says something every other second."""
LATE_S = 0.25
"""A server that is further behind than this gives up the ticks it has missed instead of hurrying after them."""

Observer = Callable[[lanebus.Event], None]
"""Called with every event that arrives, before it is handled."""


class Room:
    """One match: a world of its own, and the group of those who are in it."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.group = messages.group_of(number)
        self.world = World(seed + number)

    @property
    def full(self) -> bool:
        """Whether nobody else fits in."""
        return len(self.world.units) >= messages.ROOM_SIZE


class ArenaServer:
    """The arena on one adapter: as many rooms as its players need."""

    def __init__(
        self, adapter: lanebus.ServerAdapter, seed: int = 0, observe: Observer = lambda event: None
    ) -> None:
        self.adapter = adapter
        self.rooms = [Room(1, seed)]
        self.tick = 0
        self.unsettled: Counter[str] = Counter()
        """Events that ended otherwise than delivered, by lane, topic, outcome and reason."""
        self.frames_reported = 0
        self._seed = seed
        self._observe = observe
        self._room_of: dict[str, Room] = {}
        self._heard_s: dict[str, float] = {}
        """When each player was last heard, on the monotonic clock."""

        adapter.on("player.join")(self._on_join)
        adapter.on("player.leave")(self._on_leave)
        adapter.on("player.move", schema=messages.Move)(self._on_move)
        adapter.on("player.shoot", schema=messages.Shoot)(self._on_shoot)
        adapter.on("player.chat", schema=messages.Chat)(self._on_chat)
        adapter.on("analytics.*", schema=messages.Analytics)(self._on_analytics)
        adapter.on_unsettled(self._on_unsettled)

    @property
    def players(self) -> int:
        """How many play."""
        return len(self._room_of)

    def run(self, running: Callable[[], bool]) -> None:
        """Play, one tick after the other, for as long as `running()` says so."""
        next_tick_s = time.monotonic()
        while running():
            self.step()
            next_tick_s = max(next_tick_s + TICK_S, time.monotonic() - LATE_S)
            self.adapter.wait(until=next_tick_s)

    def step(self) -> None:
        """One tick: let every world move, and send what came of it."""
        self.tick += 1
        for room in self.rooms:
            for happening in room.world.step():
                self._tell(room, messages.TOPICS[type(happening)], happening, lane="critical")
            for unit in room.world.changed():
                self._tell(room, "unit.state", unit.state(), lane="normal")
            if self.tick % SCORE_TICKS == 0:
                self._tell(room, "arena.score", messages.Score(room.world.points()), lane="low")
        if self.tick % SCORE_TICKS == 0:
            self._take_out_the_silent()
        self.adapter.flush()

    def leader(self) -> tuple[str, int]:
        """The best player of all rooms, and the points."""
        scores = (score for room in self.rooms for score in room.world.points().items())
        return max(scores, key=lambda score: score[1], default=("nobody", 0))

    def _tell(self, room: Room, topic: str, payload: object, lane: str) -> None:
        """Send to everybody in a room. A full outbox costs this one message: the next state says more than it."""
        if not room.world.units:
            return
        try:
            self.adapter.send(topic, payload, to=f"group:{room.group}", lane=lane)
        except lanebus.OutboxFull:
            self.unsettled[f"{lane} {topic}: outbox full"] += 1

    def _hear(self, event: lanebus.Event) -> Room:
        """Every event of a player passes here. One who is not in yet is let in, as after a restart of this server."""
        self._observe(event)
        self._heard_s[event.sender] = time.monotonic()
        room = self._room_of.get(event.sender)
        if room is None:
            room = self._room_of[event.sender] = self._room_with_space()
            room.world.join(event.sender)
            # What is sent after a join waits for it: the newcomer's own `unit.spawned` is the first that it hears.
            self.adapter.join(room.group, event.sender)
        return room

    def _room_with_space(self) -> Room:
        for room in self.rooms:
            if not room.full:
                return room
        self.rooms.append(Room(len(self.rooms) + 1, self._seed))
        return self.rooms[-1]

    def _on_join(self, event: lanebus.Event) -> None:
        room = self._hear(event)
        welcome = messages.Welcome(event.sender, room.number, WIDTH_M, HEIGHT_M)
        self.adapter.send("arena.welcome", welcome, to=event.sender, lane="critical")

    def _on_leave(self, event: lanebus.Event) -> None:
        self._observe(event)
        self._take_out(event.sender)

    def _on_move(self, event: lanebus.Event) -> None:
        self._hear(event).world.move(event.sender, event.payload.dx, event.payload.dy)

    def _on_shoot(self, event: lanebus.Event) -> None:
        self._hear(event).world.shoot(event.sender, event.payload.angle)

    def _on_chat(self, event: lanebus.Event) -> None:
        room = self._hear(event)
        self._tell(room, "arena.chat", messages.Said(event.sender, event.payload.text), lane="low")

    def _on_analytics(self, event: lanebus.Event) -> None:
        self._hear(event)
        self.frames_reported += 1

    def _on_unsettled(self, end: lanebus.Unsettled) -> None:
        self.unsettled[f"{end.lane.label} {end.topic}: {end.outcome.label} {end.reason}".rstrip()] += 1

    def _take_out(self, player: str) -> None:
        self._heard_s.pop(player, None)
        room = self._room_of.pop(player, None)
        if room is not None:
            room.world.leave(player)
            self.adapter.leave(room.group, player)

    def _take_out_the_silent(self) -> None:
        limit_s = time.monotonic() - SILENCE_S
        for player in [name for name, heard_s in self._heard_s.items() if heard_s < limit_s]:
            self._take_out(player)


def main() -> int:
    """Run an arena until interrupted, with a line about it every five seconds."""
    parser = argparse.ArgumentParser(prog="python -m lanebus.examples.arena.server", description=__doc__)
    parser.add_argument("--broker", default="tcp://127.0.0.1:5570", help="address of the critical lane")
    parser.add_argument("--name", default="arena-1", help="this server's name (default: arena-1)")
    parser.add_argument("--seed", type=int, default=0, help="for where units appear and how hard shots hit")
    options = parser.parse_args()

    adapter = lanebus.ServerAdapter(options.name, service=messages.SERVICE, broker=options.broker)
    arena = ArenaServer(adapter, options.seed)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, frame: stopping.append(signum))

    try:
        adapter.connect()
    except lanebus.LanebusError as error:
        print(f"no arena: {error}", file=sys.stderr)
        return 69
    print(f"{adapter.name} is open on {options.broker}")
    while not stopping:
        until_s = time.monotonic() + 5.0
        arena.run(lambda until_s=until_s: not stopping and time.monotonic() < until_s)  # type: ignore[misc]
        leader, points = arena.leader()
        print(
            f"tick {arena.tick}: {arena.players} players, {leader} leads with {points} points, "
            f"{adapter.in_flight} events in flight"
        )
    left = adapter.close()
    print(f"closed, {left} events without an answer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
