"""Players for the arena: bots that move, aim, shoot, talk and report, each a client of its own on the bus.

    python -m lanebus.examples.arena.bot --count 5

A bot uses all three lanes: it shoots on the critical one, moves on the normal one, and talks on the low one.
"""

from __future__ import annotations

import argparse
import math
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import lanebus
from lanebus.examples.arena import messages
from lanebus.examples.arena.brain import AFTER_A_DEATH, AFTER_A_KILL, TEMPERAMENTS, Brain, Seen
from lanebus.examples.arena.world import RELOAD_TICKS, TICK_S

THINK_S: Final = 0.1
"""Time between two decisions of a bot."""
REPORT_S: Final = 2.0
"""Time between two reports of how the game runs on its machine."""
JOIN_S: Final = 1.0
"""Time between two tries to get in."""
TURNED: Final = 0.15
"""A new direction is sent when it differs by more than this from the one sent before."""

# fmt: off
NAMES: Final = (
    "ivy", "rook", "moss", "fern", "otto", "vera", "nemo", "luna", "rufus", "mika", "tilda", "bruno", "pixel",
    "sable", "hugo", "wren", "juno", "basil", "quinn", "zora", "felix", "indra", "koda", "maple", "onyx", "pablo",
    "rhea", "sten", "umbra", "yara", "ziggy", "cleo",
)
# fmt: on

Observer = Callable[[lanebus.Event], None]
"""Called with every event that arrives, before it is handled."""


def bot_name(index: int, prefix: str = "") -> str:
    """The name of a swarm's bot number `index`: ``ivy``, and ``ivy-2`` once the names are used up."""
    again, position = divmod(index, len(NAMES))
    return f"{prefix}{NAMES[position]}" + (f"-{again + 1}" if again else "")


class Bot:
    """One player: an adapter and a brain."""

    def __init__(
        self, adapter: lanebus.ClientAdapter, brain: Brain, observe: Observer = lambda event: None
    ) -> None:
        self.adapter = adapter
        self.brain = brain
        self.welcome = False
        self.unsettled: Counter[str] = Counter()
        """Events that ended otherwise than delivered, by lane, topic, outcome and reason."""
        self._observe = observe
        self._direction = (0.0, 0.0)
        self._think_s = self._report_s = self._join_s = self._loaded_s = 0.0
        """When the next one is due, on the monotonic clock."""
        self._remarks: list[str] = []

        adapter.on("arena.welcome", schema=messages.Welcome)(self._on_welcome)
        adapter.on("unit.state", schema=messages.UnitState)(self._on_state)
        adapter.on("unit.spawned", schema=messages.Spawned)(self._on_spawned)
        adapter.on("unit.died", schema=messages.Died)(self._on_died)
        adapter.on("combat.hit", schema=messages.Hit)(self._on_hit)
        adapter.on("combat.shot", schema=messages.Shot)(self._observe)
        adapter.on("arena.score", schema=messages.Score)(self._observe)
        adapter.on("arena.chat", schema=messages.Said)(self._observe)
        adapter.on_unsettled(self._on_unsettled)

    def act(self, now_s: float) -> None:
        """Do what is due at `now_s`; called once per turn of the loop.

        What the outbox has no room for is not sent: a later thought says how things are by then.
        """
        try:
            self._act(now_s)
        except lanebus.OutboxFull:
            pass

    def _act(self, now_s: float) -> None:
        if not self.welcome:
            if now_s >= self._join_s:
                self._join_s = now_s + JOIN_S
                self.adapter.send("player.join")
            return
        if now_s >= self._think_s:
            # Thinking times wander a little, as people do; else all bots would send in the same instant.
            self._think_s = now_s + THINK_S * self.brain.chance.uniform(0.8, 1.2)
            self._play(now_s)
        if now_s >= self._report_s:
            frame_ms = self.brain.chance.gauss(16.7, 1.5)
            self.adapter.send(
                "analytics.frame", messages.Analytics(frame_ms, len(self.brain.units)), lane="low"
            )
            self._report_s = now_s + REPORT_S

    def leave(self) -> None:
        """Say goodbye; nothing is sent afterwards."""
        if self.welcome:
            self.welcome = False
            self._join_s = math.inf
            self.adapter.send("player.leave", flush=True)

    def _play(self, now_s: float) -> None:
        intent = self.brain.decide()
        if math.dist((intent.dx, intent.dy), self._direction) > TURNED:
            self.adapter.send("player.move", messages.Move(intent.dx, intent.dy), lane="normal")
            self._direction = (intent.dx, intent.dy)
        if intent.angle is not None and now_s >= self._loaded_s:
            self.adapter.send("player.shoot", messages.Shoot(intent.angle), lane="critical", flush=True)
            self._loaded_s = now_s + RELOAD_TICKS * TICK_S
        if self._remarks:
            self.adapter.send("player.chat", messages.Chat(self._remarks[0]), lane="low")
            self._remarks.pop(0)

    def _on_welcome(self, event: lanebus.Event) -> None:
        self._observe(event)
        self.welcome = True

    def _on_state(self, event: lanebus.Event) -> None:
        self._observe(event)
        self.brain.units[event.payload.unit] = Seen.of(event.payload)

    def _on_spawned(self, event: lanebus.Event) -> None:
        self._observe(event)
        said: messages.Spawned = event.payload
        self.brain.units[said.unit] = Seen(said.x_cm / 100, said.y_cm / 100, 0.0, 0.0, 100)
        if said.unit == self.adapter.name:
            self._direction = (0.0, 0.0)

    def _on_died(self, event: lanebus.Event) -> None:
        self._observe(event)
        said: messages.Died = event.payload
        if said.unit in self.brain.units:
            self.brain.units[said.unit].health = 0
        remark = None
        if said.by == self.adapter.name:
            remark = self.brain.remark(AFTER_A_KILL, said.unit)
        elif said.unit == self.adapter.name:
            remark = self.brain.remark(AFTER_A_DEATH, said.by)
        if remark is not None:
            self._remarks.append(remark)

    def _on_hit(self, event: lanebus.Event) -> None:
        self._observe(event)
        said: messages.Hit = event.payload
        if said.target in self.brain.units:
            self.brain.units[said.target].health = said.health

    def _on_unsettled(self, end: lanebus.Unsettled) -> None:
        self.unsettled[f"{end.lane.label} {end.topic}: {end.outcome.label} {end.reason}".rstrip()] += 1


class Swarm:
    """Many bots in one thread: each has its own adapter, and a `Loop` waits for all of them at once."""

    def __init__(
        self,
        count: int,
        broker: str,
        seed: int = 0,
        prefix: str = "",
        observe: Callable[[int], Observer] = lambda index: lambda event: None,
        *,
        first: int = 0,
        **options: Any,
    ) -> None:
        """Make `count` bots, from number `first` on.

        Args:
            observe: gives the observer of each.
            options: more arguments for their adapters.
        """
        self.loop = lanebus.Loop()
        self.bots: list[Bot] = []
        for index in range(first, first + count):
            adapter = lanebus.ClientAdapter(bot_name(index, prefix), broker=broker, **options)
            temperament = TEMPERAMENTS[index % len(TEMPERAMENTS)]
            brain = Brain(adapter.name, temperament, random.Random(f"{seed}/{index}"))
            self.bots.append(Bot(adapter, brain, observe(index)))
            self.loop.add(adapter)

    @property
    def in_flight(self) -> int:
        """Events of all bots that are not settled."""
        return sum(bot.adapter.in_flight for bot in self.bots)

    @property
    def up(self) -> int:
        """Bots that are connected."""
        return sum(bot.adapter.state == "up" for bot in self.bots)

    def start(self) -> None:
        """Let every bot dial the broker; they come up while the loop turns."""
        for bot in self.bots:
            bot.adapter.start()

    def turn(self, timeout_s: float = 0.01, playing: bool = True) -> None:
        """One turn of the loop: let every bot act that wants to, send it, and handle what has come."""
        if playing:
            now_s = time.monotonic()
            for bot in self.bots:
                if bot.adapter.state == "up":
                    bot.act(now_s)
        self.loop.turn(timeout_s)

    def rest(self, timeout_s: float) -> int:
        """Let no bot send any more and wait for what is under way; returns how many events are still in flight."""
        until_s = time.monotonic() + timeout_s
        while self.in_flight and time.monotonic() < until_s:
            self.turn(playing=False)
        return self.in_flight

    def close(self) -> int:
        """Close all adapters; returns how many events ended without an answer."""
        return self.loop.close_all(timeout_s=1.0)


def main() -> int:
    """Play until interrupted, with a line about it every five seconds."""
    parser = argparse.ArgumentParser(prog="python -m lanebus.examples.arena.bot", description=__doc__)
    parser.add_argument("--broker", default="tcp://127.0.0.1:5570", help="address of the critical lane")
    parser.add_argument("--count", type=int, default=5, help="how many bots (default: 5)")
    parser.add_argument("--prefix", default="", help="put before each name: two swarms must not share names")
    parser.add_argument("--seed", type=int, default=0, help="for how they play")
    options = parser.parse_args()

    swarm = Swarm(options.count, options.broker, options.seed, options.prefix)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, frame: stopping.append(signum))

    swarm.start()
    report_s = time.monotonic() + 5.0
    while not stopping:
        swarm.turn()
        if time.monotonic() >= report_s:
            report_s += 5.0
            playing = sum(bot.welcome for bot in swarm.bots)
            print(
                f"{swarm.up} of {options.count} connected, {playing} playing, {swarm.in_flight} events in flight"
            )
    for bot in swarm.bots:
        bot.leave()
    swarm.rest(timeout_s=2.0)
    print(f"closed, {swarm.close()} events without an answer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
