"""The message kinds, and which of them are legal in which state of a link: the whole state machine as data."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final

from lanebus.wire.lanes import LANES, Lane


class Kind(IntEnum):
    """What a frame is; the number in its header."""

    HELLO = 1
    WELCOME = 2
    BATCH = 3
    ACK = 4
    SETTLE = 5
    PING = 6
    PONG = 7
    OPEN = 8
    CLOSE = 9
    REGISTER = 10
    ASSIGN = 11
    JOIN = 12
    LEAVE = 13
    DONE = 14
    PAUSE = 15
    UNPAUSE = 16
    BYE = 17
    ERROR = 18
    SERVED = 19
    KEPT = 20
    DRAIN = 21
    THROTTLE = 22
    WATCH = 23
    PRESENCE = 24
    HEALTH = 25
    SERVICES = 26
    ALERTS = 27
    GONE = 28

    @property
    def label(self) -> str:
        """The word used in documents and logs."""
        return self.name.lower()


class LinkState(Enum):
    """Where a link is in its life."""

    NEW = "new"
    """Connected; no hello has been accepted."""
    READY = "ready"
    """Welcomed: data and control may flow."""
    CLOSED = "closed"
    """Ended by bye, by error, or by a newer link; nothing is legal any more."""


class Side(Enum):
    """Who sends a message."""

    PEER = "peer"
    BROKER = "broker"


REQUESTS: Final = frozenset(
    {
        Kind.OPEN,
        Kind.CLOSE,
        Kind.REGISTER,
        Kind.ASSIGN,
        Kind.JOIN,
        Kind.LEAVE,
        Kind.HEALTH,
        Kind.WATCH,
    }
)
"""Numbered requests of a peer; each is answered with one `done`."""

_NOTHING: Final[frozenset[Kind]] = frozenset()
ANSWERS: Final = frozenset({Kind.ACK, Kind.SETTLE})
"""What a peer says of batches that it was sent."""
_PEER_CONTROL: Final = frozenset({Kind.ACK, Kind.SETTLE, Kind.PING, Kind.BYE, Kind.ERROR}) | REQUESTS
_BROKER_CONTROL: Final = frozenset(
    {
        Kind.ACK,
        Kind.SETTLE,
        Kind.PONG,
        Kind.DONE,
        Kind.PAUSE,
        Kind.UNPAUSE,
        Kind.THROTTLE,
        Kind.SERVED,
        Kind.KEPT,
        Kind.DRAIN,
        Kind.SERVICES,
        Kind.PRESENCE,
        Kind.ALERTS,
        Kind.GONE,
        Kind.BYE,
        Kind.ERROR,
    }
)


def _table(greeting: Kind, control: frozenset[Kind]) -> dict[LinkState, dict[Lane, frozenset[Kind]]]:
    # Control of all lanes travels on the critical link, so that it is merged and is never stuck behind bulk.
    return {
        LinkState.NEW: dict.fromkeys(LANES, frozenset({greeting, Kind.ERROR})),
        LinkState.READY: {
            Lane.CRITICAL: control | {Kind.BATCH},
            Lane.NORMAL: frozenset({Kind.BATCH, Kind.ERROR}),
            Lane.LOW: frozenset({Kind.BATCH, Kind.ERROR}),
        },
        LinkState.CLOSED: dict.fromkeys(LANES, _NOTHING),
    }


LEGAL: Final[dict[Side, dict[LinkState, dict[Lane, frozenset[Kind]]]]] = {
    Side.PEER: _table(Kind.HELLO, _PEER_CONTROL),
    Side.BROKER: _table(Kind.WELCOME, _BROKER_CONTROL),
}
"""Sender, state of the link and its lane, to the kinds that are legal; anything not in it is an error 201."""
