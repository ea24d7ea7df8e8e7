"""How a bot plays: from what it has been told of the arena to what it wants to do. No bus, no clock, no sockets."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Final

from lanebus.examples.arena.messages import UnitState
from lanebus.examples.arena.world import HEIGHT_M, SHOT_RANGE_M, SHOT_SPEED_M_S, WIDTH_M

WALL_M: Final = 3.0
"""Nearer to a wall than this, a bot turns away from it."""
WALL_PUSH: Final = 1.5
"""How hard; more than the 1.0 with which it may be drawn there."""


@dataclass(frozen=True)
class Temperament:
    """What kind of player a bot is."""

    name: str
    distance_m: float
    """How far from its target it likes to be."""
    fire_m: float
    """From how far away it shoots."""
    aim_error_rad: float
    """Standard deviation of its aim."""
    courage: float
    """Below this share of health it runs."""
    talk: float
    """How likely it is to say something when there is something to say."""


TEMPERAMENTS: Final = (
    Temperament("hunter", distance_m=4.0, fire_m=12.0, aim_error_rad=0.11, courage=0.15, talk=0.25),
    Temperament("sniper", distance_m=14.0, fire_m=SHOT_RANGE_M, aim_error_rad=0.045, courage=0.50, talk=0.10),
    Temperament("dancer", distance_m=8.0, fire_m=11.0, aim_error_rad=0.08, courage=0.30, talk=0.45),
    Temperament("rabbit", distance_m=16.0, fire_m=9.0, aim_error_rad=0.06, courage=0.80, talk=0.60),
)

AFTER_A_KILL: Final = (
    "sit down, {other}",
    "and stay down, {other}",
    "{other}, the door is that way",
    "that one was for my sister",
    "thanks for coming, {other}",
    "who is next?",
    "did you even see me, {other}?",
)
AFTER_A_DEATH: Final = (
    "lucky shot, {other}",
    "I was typing!",
    "respect, {other}",
    "the sun was in my eyes",
    "count to three, {other}",
    "nice aim, {other}",
    "again?!",
)


@dataclass(slots=True)
class Seen:
    """What a bot knows of one unit."""

    x_m: float
    y_m: float
    vx_m_s: float
    vy_m_s: float
    health: int

    @classmethod
    def of(cls, state: UnitState) -> Seen:
        """From what the server has sent."""
        return cls(state.x_cm / 100, state.y_cm / 100, state.vx_cm_s / 100, state.vy_cm_s / 100, state.health)


@dataclass(frozen=True)
class Intent:
    """What a bot wants to do now."""

    dx: float
    dy: float
    angle: float | None = None
    """Where to shoot, or None for holding fire."""


@dataclass
class Brain:
    """One bot's mind. Two with the same seed that see the same act the same."""

    name: str
    temperament: Temperament
    chance: random.Random
    units: dict[str, Seen] = field(default_factory=dict)
    """Every unit it has been told of, itself included."""
    _target: str = ""
    _side: float = 1.0
    """Which way it circles its target: 1 or -1."""
    _goal: tuple[float, float] = (WIDTH_M / 2, HEIGHT_M / 2)
    """Where it wanders while there is nobody to fight."""

    def decide(self) -> Intent:
        """What to do next; meant to be asked about ten times a second."""
        me = self.units.get(self.name)
        if me is None or me.health <= 0:
            return Intent(0.0, 0.0)
        target = self._choose_target(me)
        if target is None:
            return self._wander(me)
        to_x, to_y = target.x_m - me.x_m, target.y_m - me.y_m
        away_m = max(math.hypot(to_x, to_y), 0.01)
        if self.chance.random() < 0.04:
            self._side = -self._side
        # Towards the distance it likes, and around the target the more the nearer it is to that distance.
        scared = me.health < 100 * self.temperament.courage
        wanted_m = 2 * SHOT_RANGE_M if scared else self.temperament.distance_m
        pull = min(max((away_m - wanted_m) / 4.0, -1.0), 1.0)
        around = (1.0 - abs(pull)) * self._side
        dx = (to_x * pull - to_y * around) / away_m
        dy = (to_y * pull + to_x * around) / away_m
        dx, dy = self._mind_the_walls(me, dx, dy)
        return Intent(dx, dy, self._aim(target, to_x, to_y, away_m))

    def remark(self, lines: tuple[str, ...], other: str) -> str | None:
        """Something to say about `other`, or nothing."""
        if self.chance.random() >= self.temperament.talk:
            return None
        return self.chance.choice(lines).format(other=other.partition(":")[2])

    def _choose_target(self, me: Seen) -> Seen | None:
        """The nearest living unit; the present target counts as nearer than it is, so that it does not waver."""
        best_name, best, best_m = "", None, math.inf
        for name, unit in self.units.items():
            if name == self.name or unit.health <= 0:
                continue
            away_m = math.hypot(unit.x_m - me.x_m, unit.y_m - me.y_m)
            if name == self._target:
                away_m *= 0.7
            if away_m < best_m:
                best_name, best, best_m = name, unit, away_m
        self._target = best_name
        return best

    def _wander(self, me: Seen) -> Intent:
        to_x, to_y = self._goal[0] - me.x_m, self._goal[1] - me.y_m
        away_m = math.hypot(to_x, to_y)
        if away_m < 2.0:
            self._goal = (self.chance.uniform(0, WIDTH_M), self.chance.uniform(0, HEIGHT_M))
            return Intent(0.0, 0.0)
        return Intent(0.6 * to_x / away_m, 0.6 * to_y / away_m)

    def _mind_the_walls(self, me: Seen, dx: float, dy: float) -> tuple[float, float]:
        if me.x_m < WALL_M:
            dx += WALL_PUSH
        elif me.x_m > WIDTH_M - WALL_M:
            dx -= WALL_PUSH
        if me.y_m < WALL_M:
            dy += WALL_PUSH
        elif me.y_m > HEIGHT_M - WALL_M:
            dy -= WALL_PUSH
        length = max(math.hypot(dx, dy), 1.0)
        return dx / length, dy / length

    def _aim(self, target: Seen, to_x: float, to_y: float, away_m: float) -> float | None:
        """At where the target will be when the shot arrives, as well as this bot can."""
        if away_m > self.temperament.fire_m:
            return None
        flight_s = away_m / SHOT_SPEED_M_S
        angle = math.atan2(to_y + target.vy_m_s * flight_s, to_x + target.vx_m_s * flight_s)
        return self.chance.gauss(angle, self.temperament.aim_error_rad)
