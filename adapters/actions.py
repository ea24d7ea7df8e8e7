"""What an attachment's core asks of its driver, and where an adapter is in its life."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from lanebus.wire.lanes import Lane


class State(Enum):
    """Where an adapter is in its life."""

    NEW = "new"
    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"
    """Its links are lost; it comes back by itself."""
    CLOSED = "closed"


class Dial(NamedTuple):
    """The driver is to make a fresh socket for a lane and connect it."""

    lane: Lane
    address: str


class Send(NamedTuple):
    """The driver is to send a frame."""

    lane: Lane
    frame: bytes


class HangUp(NamedTuple):
    """The driver is to close all sockets; `linger_s` seconds are left for what was sent last."""

    linger_s: float


Action = Dial | Send | HangUp
