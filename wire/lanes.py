"""The lane table: which priorities exist, and how long each may wait for company."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal, NamedTuple

from lanebus.wire.shown import shown

LaneName = Literal["critical", "normal", "low"]


class Lane(IntEnum):
    """A priority; the value is its number on the wire and its index in every per-lane list."""

    CRITICAL = 0
    NORMAL = 1
    LOW = 2

    @property
    def label(self) -> str:
        """The lane's name as users write it: ``critical``, ``normal`` or ``low``."""
        return LANE_NAMES[self]


LANES: Final = (Lane.CRITICAL, Lane.NORMAL, Lane.LOW)
LANE_NAMES: Final = ("critical", "normal", "low")
_BY_NAME: Final[dict[str, Lane]] = dict(zip(LANE_NAMES, LANES, strict=True))


class LaneTiming(NamedTuple):
    """How a lane coalesces."""

    interval_s: float
    """Shortest time between two batches of one sender to one receiver while traffic is dense, seconds."""
    hold_s: float
    """Longest time an event may be held over both hops together, seconds."""


TIMER_SLACK_S: Final = 0.001
"""What is due within this time is due now: polls count whole milliseconds, and to wait for a fraction is to spin."""

DEFAULT_TIMINGS: Final = (
    LaneTiming(0.016, 0.012),
    LaneTiming(0.050, 0.045),
    LaneTiming(0.200, 0.190),
)


def lane_of(name: str | Lane) -> Lane:
    """The lane called `name`.

    Raises:
        ValueError: there is no such lane; the text lists those that exist.
    """
    if isinstance(name, Lane):
        return name
    try:
        # By its value: the hash of an enumeration's member is that of its name.
        return _BY_NAME[str.__str__(name)]
    except (KeyError, TypeError):
        raise ValueError(f"no lane {shown(name)}: use one of {', '.join(LANE_NAMES)}") from None
