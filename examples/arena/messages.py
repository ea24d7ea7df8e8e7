"""What the arena's server and its players say to each other: one class per topic, and the topic each travels under.

A class given to `adapter.on(topic, schema=...)` is checked before the handler runs: a payload that does not fit ends
as `refused: bad_payload`, and the handler never sees it.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

SERVICE: Final = "arena"
"""The service that players' events go to."""
ROOM_SIZE: Final = 24
"""Players in one room. Everybody in a room hears of everything there, so its traffic grows with the square of them."""

Unit = Annotated[str, Meta(max_length=80)]
"""A player's unit, called by the player's full name, as in ``player:ivy``."""
Share = Annotated[float, Meta(ge=-1.0, le=1.0)]
Angle = Annotated[float, Meta(ge=-2 * math.pi, le=2 * math.pi)]


# From a player to the server.


class Move(msgspec.Struct, frozen=True):
    """``player.move``: walk this way from now on. A vector of length 1 is full speed, of length 0 is standing still."""

    dx: Share
    dy: Share


class Shoot(msgspec.Struct, frozen=True):
    """``player.shoot``: fire one shot."""

    angle: Angle
    """Radians, counted from the x axis towards the y axis."""


class Chat(msgspec.Struct, frozen=True):
    """``player.chat``: say something to everybody."""

    text: Annotated[str, Meta(min_length=1, max_length=120)]


class Analytics(msgspec.Struct, frozen=True):
    """``analytics.frame``: how the game runs on the player's machine."""

    frame_ms: float
    """Mean time between two of its frames."""
    units_seen: int
    """Units it has heard of."""


# From the server to the players of a room.


def group_of(room: int) -> str:
    """The group of everybody in a room."""
    return f"arena:{room}"


class Welcome(msgspec.Struct, frozen=True):
    """``arena.welcome``, to one player: you are in this room."""

    unit: Unit
    room: int
    width_m: float
    height_m: float


class UnitState(msgspec.Struct, frozen=True, array_like=True):
    """``unit.state``: where a unit is.

    The most frequent message by far, hence the most compact: an array instead of a map, and whole centimetres, which
    MessagePack writes in 1 to 3 bytes where a float takes 9.
    """

    unit: Unit
    x_cm: int
    y_cm: int
    vx_cm_s: int
    vy_cm_s: int
    health: int


class Shot(msgspec.Struct, frozen=True, array_like=True):
    """``combat.shot``: somebody has fired."""

    by: Unit
    x_cm: int
    y_cm: int
    angle: float


class Hit(msgspec.Struct, frozen=True):
    """``combat.hit``: a shot has found somebody."""

    by: Unit
    target: Unit
    damage: int
    health: int
    """What is left of the target's health."""


class Died(msgspec.Struct, frozen=True):
    """``unit.died``: a unit is out of the game for a while."""

    unit: Unit
    by: Unit
    respawn_s: float


class Spawned(msgspec.Struct, frozen=True):
    """``unit.spawned``: a unit has come into the game, or back into it."""

    unit: Unit
    x_cm: int
    y_cm: int


class Score(msgspec.Struct, frozen=True):
    """``arena.score``: the points of everybody in the room."""

    points: dict[str, int]


class Said(msgspec.Struct, frozen=True):
    """``arena.chat``: somebody has said something."""

    by: Unit
    text: str


Happening = Shot | Hit | Died | Spawned
"""What a step of a world can bring about besides movement."""

TOPICS: Final[dict[type[Happening], str]] = {
    Shot: "combat.shot",
    Hit: "combat.hit",
    Died: "unit.died",
    Spawned: "unit.spawned",
}
"""The topic of each; all of them travel on the critical lane."""
