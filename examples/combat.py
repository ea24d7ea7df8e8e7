"""A server that has the say in a fight: `python -m lanebus.examples.combat`, with a broker running.

Players say what they do, never what comes of it; the server decides, in the order in which it hears of it, and tells
everybody at once. A server and two players run in this process until one of them is down; `combat server` and
`combat player NAME` run one each, in as many terminals as you like. Four things are shown:

- `schema=` checks what players send before a handler sees it. An attack that states its own damage does not fit: it
  ends as `refused: bad_payload`, its sender is told, and the server goes on. The first of the two players tries it.
- Rules that a schema cannot state are the handler's: who attacks too fast, or whom nobody has met, is told why not.
- Attacks and hits travel on the critical lane. A sender's attacks are handled in its order, and every receiver gets the
  hits in the server's.
- `handler_stats()` says what the handlers took, which is what the players waited for.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

import lanebus

ARENA: Final = "fight"
"""The group of everybody in the fight."""
HEALTH: Final = 100
COOLDOWN_S: Final = {"sword": 0.2, "bow": 0.4}
"""Shortest time between two attacks with a weapon."""
DAMAGE: Final = {"sword": (8, 14), "bow": (12, 24)}
"""Least and most that a weapon takes."""
ATTACK_INTERVAL_S: Final = 0.5
FORGIVEN_S: Final = 0.05
"""How much too soon an attack may come: the time from player to server is not always the same."""


class Attack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``combat.attack``, from a player."""

    target: Annotated[str, Meta(max_length=160)]
    """A full name, as in ``player:oak``."""
    weapon: Literal["sword", "bow"]


class Hit(msgspec.Struct, frozen=True):
    """``combat.hit``, to everybody in the fight."""

    number: int
    """Counts the hits of the fight."""
    by: str
    target: str
    damage: int
    health: int
    """What is left."""


class CombatServer:
    """Decides what comes of attacks."""

    def __init__(self, adapter: lanebus.ServerAdapter, seed: int = 0) -> None:
        self.adapter = adapter
        self.health: dict[str, int] = {}
        self.hits = 0
        self._random = random.Random(seed)
        self._ready_s: dict[str, float] = {}
        """When a player may attack again."""
        adapter.on("combat.enter")(self.enter)
        adapter.on("combat.attack", schema=Attack)(self.attack)
        adapter.on_player_left(self.left)

    def enter(self, event: lanebus.Event) -> None:
        """A player comes into the fight, or wants to know again who is in it."""
        if event.sender not in self.health:
            self.health[event.sender] = HEALTH
            self.adapter.join(ARENA, event.sender)
        self._tell("combat.fighters", self.health)

    def attack(self, event: lanebus.Event) -> None:
        """A player attacks another; its payload is an `Attack`, whatever was sent."""
        now_s = time.monotonic()
        attack: Attack = event.payload
        why_not = self._why_not(event.sender, attack, now_s)
        if why_not:
            self.adapter.send("combat.denied", why_not, to=event.sender, lane="critical")
            return
        self._ready_s[event.sender] = now_s + COOLDOWN_S[attack.weapon] - FORGIVEN_S
        damage = self._random.randint(*DAMAGE[attack.weapon])
        left = self.health[attack.target] = max(0, self.health[attack.target] - damage)
        self.hits += 1
        self._tell("combat.hit", Hit(self.hits, event.sender, attack.target, damage, left))

    def left(self, change: lanebus.PlayerChange) -> None:
        """A player is gone."""
        if self.health.pop(change.player.name, None) is not None:
            self._ready_s.pop(change.player.name, None)
            self.adapter.leave(ARENA, change.player.name)
            self._tell("combat.fighters", self.health)

    def _why_not(self, sender: str, attack: Attack, now_s: float) -> str:
        if not self.health.get(sender):
            return "you are not in the fight"
        if attack.target == sender:
            return "you cannot attack yourself"
        if not self.health.get(attack.target):
            return f"{attack.target} is not in the fight"
        if now_s < self._ready_s.get(sender, 0.0):
            return f"your {attack.weapon} is not ready"
        return ""

    def _tell(self, topic: str, payload: Any) -> None:
        if self.health:
            self.adapter.send(topic, payload, to=f"group:{ARENA}", lane="critical")


class Fighter:
    """A player who attacks whoever is there; one that cheats states its own damage now and then."""

    def __init__(self, adapter: lanebus.ClientAdapter, *, cheats: bool = False, speaks: bool = True) -> None:
        self.adapter = adapter
        self.fighters: dict[str, int] = {}
        self.hits: list[int] = []
        """Numbers of the hits it has heard of, as they came."""
        self.refused: list[str] = []
        self.attacks = 0
        self._cheats = cheats
        self._speaks = speaks
        self._next_s = 0.0
        adapter.on("combat.fighters", schema=dict[str, int])(self.told)
        adapter.on("combat.hit", schema=Hit)(self.hit)
        adapter.on("combat.denied", schema=str)(self.denied)
        adapter.on_unsettled(self.unsettled)

    @property
    def is_over(self) -> bool:
        """Whether it is down, or nobody else stands."""
        return len(self.fighters) > 1 and sum(health > 0 for health in self.fighters.values()) < 2

    def told(self, event: lanebus.Event) -> None:
        """Who is in the fight."""
        self.fighters = event.payload

    def hit(self, event: lanebus.Event) -> None:
        """Somebody was hit."""
        hit: Hit = event.payload
        self.hits.append(hit.number)
        self.fighters[hit.target] = hit.health
        if self._speaks:
            print(f"{hit.by} hits {hit.target} for {hit.damage}: {hit.health or 'nothing'} left", flush=True)

    def denied(self, event: lanebus.Event) -> None:
        """The server has a rule against it."""
        self.refused.append(event.payload)
        print(f"{self.adapter.name} is denied an attack: {event.payload}", flush=True)

    def unsettled(self, end: lanebus.Unsettled) -> None:
        """The bus says that something did not reach a handler, and why."""
        self.refused.append(end.reason.value)
        print(
            f"{self.adapter.name} sent {end.topic}, which is {end.outcome.label}: {end.reason.value}",
            flush=True,
        )

    def act(self, now_s: float) -> None:
        """One round of the player's loop."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + ATTACK_INTERVAL_S
        others = [name for name, health in self.fighters.items() if health and name != self.adapter.name]
        if not self.fighters.get(self.adapter.name):
            if self.adapter.name not in self.fighters:
                self.adapter.send("combat.enter", lane="critical")
        elif others:
            self.attacks += 1
            attack = {
                "target": others[self.attacks % len(others)],
                "weapon": ("sword", "bow")[self.attacks % 2],
            }
            damage = {"damage": 9999} if self._cheats and self.attacks % 5 == 3 else {}
            self.adapter.send("combat.attack", attack | damage, lane="critical", flush=True)


def main() -> int:
    """Run until the fight is over, or Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m lanebus.examples.combat", description="A fight in which the server has the say."
    )
    parser.add_argument("role", nargs="?", choices=["all", "server", "player"], default="all")
    parser.add_argument("name", nargs="?", default="ivy", help="the player's name (default: ivy)")
    parser.add_argument("--broker", default="tcp://127.0.0.1:5570", help="address of its critical lane")
    options = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGINT, lambda signum, frame: stopping.append(signum))
    loop = lanebus.Loop()
    adapters: list[lanebus.ServerAdapter | lanebus.ClientAdapter] = []
    fighters: list[Fighter] = []
    if options.role != "player":
        server = lanebus.ServerAdapter("combat-1", service="combat", broker=options.broker)
        CombatServer(server)
        adapters.append(server)
    for name in {"all": ["ivy", "oak"], "server": [], "player": [options.name]}[options.role]:
        client = lanebus.ClientAdapter(name, broker=options.broker)
        # Everybody hears of the same hits; in one terminal it is enough that one of them says so.
        fighters.append(Fighter(client, cheats=options.role == "all" and not fighters, speaks=not fighters))
        adapters.append(client)
    try:
        for adapter in adapters:
            adapter.connect()
            loop.add(adapter)
    except lanebus.LanebusError as error:
        print(f"no fight: {error}", file=sys.stderr)
        return 69
    while not stopping and not (fighters and all(fighter.is_over for fighter in fighters)):
        for fighter in fighters:
            fighter.act(time.monotonic())
        loop.turn(0.02)
    loop.close_all()
    for adapter in adapters:
        for row in adapter.handler_stats():
            if row["topic"] == "combat.attack":
                print(
                    f"{adapter.name}: {row['count']} attacks, {row['mean_ms']:.2f} ms each, at most "
                    f"{row['max_ms']:.2f} ms of {row['budget_ms']:g}"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
