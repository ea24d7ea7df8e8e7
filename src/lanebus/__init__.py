"""A message bus for game backends: three priority lanes, limits for every player, and no event lost in silence."""

from msgspec import Raw

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import (
    Closed,
    HelloRefused,
    LanebusError,
    NotConnected,
    OutboxFull,
    TooLarge,
    WrongProcess,
    WrongThread,
)
from lanebus.adapters.event import Event, Gap, Receipt, Unsettled
from lanebus.adapters.gateway import GatewayAdapter, GatewaySession
from lanebus.adapters.loop import Loop
from lanebus.adapters.players import Player, PlayerChange
from lanebus.adapters.quality import ConnectionQuality
from lanebus.adapters.retry import Retry
from lanebus.adapters.server import ServerAdapter
from lanebus.adapters.services import ServiceChange
from lanebus.adapters.throttle import ThrottledLane
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Book, Outcome, Reason
from lanebus.wire.services import Instance, ServiceState

__version__ = "0.1.0"

__all__ = [
    "Book",
    "ClientAdapter",
    "Closed",
    "ConnectionQuality",
    "Event",
    "Gap",
    "GatewayAdapter",
    "GatewaySession",
    "HelloRefused",
    "Instance",
    "Lane",
    "LanebusError",
    "Loop",
    "NotConnected",
    "OutboxFull",
    "Outcome",
    "Player",
    "PlayerChange",
    "Raw",
    "Reason",
    "Receipt",
    "Retry",
    "ServerAdapter",
    "ServiceChange",
    "ServiceState",
    "ThrottledLane",
    "TooLarge",
    "Unsettled",
    "WrongProcess",
    "WrongThread",
]
