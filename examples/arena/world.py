"""The arena itself: units that walk, shoot, are hit, die and come back. No bus, no clock, no sockets.

The world moves by `step()`, thirty times a second of its own time. The same seed and the same calls in the same order
give the same world, which is what makes it testable.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from lanebus.examples.arena.messages import Died, Happening, Hit, Shot, Spawned, UnitState

TICKS_PER_S: Final = 30
TICK_S: Final = 1 / TICKS_PER_S
WIDTH_M: Final = 60.0
HEIGHT_M: Final = 30.0

UNIT_RADIUS_M: Final = 0.6
UNIT_SPEED_M_S: Final = 5.0
FULL_HEALTH: Final = 100
RESPAWN_TICKS: Final = 3 * TICKS_PER_S

SHOT_SPEED_M_S: Final = 24.0
SHOT_RANGE_M: Final = 18.0
SHOT_DAMAGE: Final = (14, 26)
"""The least and the most that a hit takes away."""
RELOAD_TICKS: Final = 15
KILL_POINTS: Final = 50
"""On top of one point per point of damage."""

STATE_TICKS: Final = 3
"""A moving unit is reported every third tick, ten times a second."""


@dataclass(slots=True)
class UnitBody:
    """One player's unit."""

    name: str
    x_m: float = 0.0
    y_m: float = 0.0
    vx_m_s: float = 0.0
    vy_m_s: float = 0.0
    health: int = FULL_HEALTH
    score: int = 0
    kills: int = 0
    deaths: int = 0
    respawn_tick: int = 0
    """When it comes back; only meaningful while it is dead."""
    loaded_tick: int = 0
    """From when on it can shoot again."""
    report_tick: int = 0
    """From when on its state may be reported again."""
    changed: bool = True
    """Whether it has moved or lost health since its state was last reported."""

    @property
    def alive(self) -> bool:
        """Whether it takes part."""
        return self.health > 0

    def state(self) -> UnitState:
        """The unit as players are told of it."""
        return UnitState(
            self.name,
            round(self.x_m * 100),
            round(self.y_m * 100),
            round(self.vx_m_s * 100),
            round(self.vy_m_s * 100),
            self.health,
        )


@dataclass(slots=True)
class ShotBody:
    """A shot on its way."""

    by: str
    x_m: float
    y_m: float
    dx_m: float
    """How far it flies in one tick, along x."""
    dy_m: float
    last_tick: int


class World:
    """Everything that exists in one arena."""

    def __init__(self, seed: int = 0) -> None:
        self.tick = 0
        self.units: dict[str, UnitBody] = {}
        self.shots: list[ShotBody] = []
        self._random = random.Random(seed)
        self._news: list[Happening] = []
        """What calls between two steps have brought about; the next step hands it out."""

    def join(self, name: str) -> UnitBody:
        """Give the player `name` a unit at a random place, or the one it already has."""
        unit = self.units.get(name)
        if unit is None:
            unit = self.units[name] = UnitBody(name, report_tick=self.tick + len(self.units) % STATE_TICKS)
            self._spawn(unit)
        return unit

    def leave(self, name: str) -> None:
        """Take the unit out; shots it has fired fly on."""
        self.units.pop(name, None)

    def move(self, name: str, dx: float, dy: float) -> None:
        """Let the unit walk along (dx, dy), at full speed if that is 1 or longer."""
        unit = self.units.get(name)
        if unit is not None and unit.alive:
            scale = UNIT_SPEED_M_S / max(1.0, math.hypot(dx, dy))
            unit.vx_m_s, unit.vy_m_s = dx * scale, dy * scale
            unit.changed = True

    def shoot(self, name: str, angle: float) -> bool:
        """Let the unit fire; False while it is dead or still loading."""
        unit = self.units.get(name)
        if unit is None or not unit.alive or self.tick < unit.loaded_tick:
            return False
        unit.loaded_tick = self.tick + RELOAD_TICKS
        dx_m, dy_m = (math.cos(angle) * SHOT_SPEED_M_S * TICK_S, math.sin(angle) * SHOT_SPEED_M_S * TICK_S)
        flight_ticks = int(SHOT_RANGE_M / SHOT_SPEED_M_S * TICKS_PER_S)
        self.shots.append(ShotBody(name, unit.x_m, unit.y_m, dx_m, dy_m, self.tick + flight_ticks))
        self._news.append(Shot(name, round(unit.x_m * 100), round(unit.y_m * 100), round(angle, 3)))
        return True

    def step(self) -> list[Happening]:
        """Let one thirtieth of a second pass; returns what has happened since the last step, in order."""
        self.tick += 1
        for unit in self.units.values():
            if unit.alive:
                self._walk(unit)
            elif self.tick >= unit.respawn_tick:
                self._spawn(unit)
        self.shots = [shot for shot in self.shots if self._fly(shot)]
        news, self._news = self._news, []
        return news

    def changed(self) -> list[UnitBody]:
        """The units whose state is due to be reported, each at most every `STATE_TICKS` ticks; marks them reported."""
        due = [unit for unit in self.units.values() if unit.changed and self.tick >= unit.report_tick]
        for unit in due:
            unit.changed = False
            unit.report_tick = self.tick + STATE_TICKS
        return due

    def points(self) -> dict[str, int]:
        """Every unit's score, the best first."""
        ranked = sorted(self.units.values(), key=lambda unit: (-unit.score, unit.name))
        return {unit.name: unit.score for unit in ranked}

    def _spawn(self, unit: UnitBody) -> None:
        unit.x_m = self._random.uniform(UNIT_RADIUS_M, WIDTH_M - UNIT_RADIUS_M)
        unit.y_m = self._random.uniform(UNIT_RADIUS_M, HEIGHT_M - UNIT_RADIUS_M)
        unit.vx_m_s = unit.vy_m_s = 0.0
        unit.health = FULL_HEALTH
        unit.changed = True
        self._news.append(Spawned(unit.name, round(unit.x_m * 100), round(unit.y_m * 100)))

    def _walk(self, unit: UnitBody) -> None:
        if unit.vx_m_s or unit.vy_m_s:
            x_m, y_m = unit.x_m + unit.vx_m_s * TICK_S, unit.y_m + unit.vy_m_s * TICK_S
            unit.x_m = min(max(x_m, UNIT_RADIUS_M), WIDTH_M - UNIT_RADIUS_M)
            unit.y_m = min(max(y_m, UNIT_RADIUS_M), HEIGHT_M - UNIT_RADIUS_M)
            unit.changed = True

    def _fly(self, shot: ShotBody) -> bool:
        """Move a shot by one tick; returns whether it flies on."""
        target = self._struck_by(shot)
        if target is not None:
            self._wound(target, shot.by)
            return False
        shot.x_m += shot.dx_m
        shot.y_m += shot.dy_m
        inside = 0.0 <= shot.x_m <= WIDTH_M and 0.0 <= shot.y_m <= HEIGHT_M
        return inside and self.tick < shot.last_tick

    def _struck_by(self, shot: ShotBody) -> UnitBody | None:
        """The first unit on the shot's way during this tick. The whole way counts, not only its end: a shot would
        else pass through the edge of somebody between two ticks."""
        length_m = SHOT_SPEED_M_S * TICK_S
        along_x, along_y = shot.dx_m / length_m, shot.dy_m / length_m
        nearest, nearest_m = None, math.inf
        for unit in self.units.values():
            to_x, to_y = unit.x_m - shot.x_m, unit.y_m - shot.y_m
            along_m = min(max(to_x * along_x + to_y * along_y, 0.0), length_m)
            miss_x, miss_y = to_x - along_x * along_m, to_y - along_y * along_m
            if (
                miss_x * miss_x + miss_y * miss_y <= UNIT_RADIUS_M * UNIT_RADIUS_M
                and along_m < nearest_m
                and unit.alive
                and unit.name != shot.by
            ):
                nearest, nearest_m = unit, along_m
        return nearest

    def _wound(self, target: UnitBody, by: str) -> None:
        damage = min(self._random.randint(*SHOT_DAMAGE), target.health)
        target.health -= damage
        target.changed = True
        shooter = self.units.get(by)
        if shooter is not None:
            shooter.score += damage
        self._news.append(Hit(by, target.name, damage, target.health))
        if target.alive:
            return
        target.vx_m_s = target.vy_m_s = 0.0
        target.deaths += 1
        target.respawn_tick = self.tick + RESPAWN_TICKS
        if shooter is not None:
            shooter.score += KILL_POINTS
            shooter.kills += 1
        self._news.append(Died(target.name, by, RESPAWN_TICKS * TICK_S))
