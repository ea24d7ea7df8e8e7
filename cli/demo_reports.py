"""What the demo's processes tell each other over their pipes: reports up, one line of JSON each, and words down."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

REPORT_S: Final = 0.25
"""Time between two reports of a child."""
ARENA: Final = "server:arena-1"
"""The arena's server on the bus."""
FLOOD_TOPIC: Final = "analytics.flood"
"""What the player sends that floods. The arena's server takes it for telemetry."""


class Word(StrEnum):
    """What the demo says to a child, one word a line. The end of the pipe means that the demo is gone."""

    REST = "rest"
    """Send nothing more of your own; handle what comes and wait for what is under way."""
    FLOOD = "flood"
    """Send far more than you may: for the process of the player that floods."""
    CALM = "calm"
    """Be a player like any other again."""
    CLOSE = "close"
    """Close the adapters, report once more, and end."""


class UnitFigures(msgspec.Struct, frozen=True, array_like=True):
    """One unit of the arena, as its server knows it."""

    name: str
    x_m: float
    y_m: float
    health: int
    score: int
    kills: int
    deaths: int
    room: int


class Silence(msgspec.Struct, frozen=True, array_like=True):
    """A time in which a receiver handled nothing, on the monotonic clock, which all processes share."""

    receiver: str
    from_s: float
    to_s: float


class FloodCounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A flood as its two ends count it so far: the player that sends it, and the arena's server."""

    tried: int = 0
    """Events that the player tried to send; its outbox had no room for most."""
    sent: int = 0
    """Those that were accepted by `send`."""
    held: int = 0
    """Events of the player, on all lanes, that are held back now because it is over a limit."""
    handled: int = 0
    """Those that the server has handled."""
    last_s: float = 0.0
    """When it handled the latest one, on the monotonic clock."""
    longest_wait_ms: float = 0.0
    """The longest time of one of them from `send` to handler."""

    def plus(self, heard: FloodCounts) -> FloodCounts:
        """The player's counts together with those of the server."""
        return msgspec.structs.replace(
            self, handled=heard.handled, last_s=heard.last_s, longest_wait_ms=heard.longest_wait_ms
        )


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One child's report. What is counted per lane stands in lists of three, the critical lane first."""

    connected: int
    """Adapters that are up."""
    playing: int
    """Players in the game."""
    resting: bool
    """Whether it has been told to rest."""
    in_flight: int
    """Events of its adapters that are not settled."""
    latencies: tuple[list[int], list[int], list[int]]
    """Send to handler since the report before: a `Histogram` as a list."""
    books: tuple[list[int], list[int], list[int]]
    """What its adapters have sent so far: a `Book` as a list."""
    unsettled: dict[str, int] = {}
    """Its events that ended otherwise than delivered so far, by lane, topic, outcome and reason."""
    unanswered: int = 0
    """In the last report: events that closing the adapters had to give up."""
    resent: int = 0
    """Events that its adapters have sent more than once."""
    meant: dict[str, list[int]] = {}
    """The server's count of deliveries that each receiver should get, lane by lane."""
    first_meant: dict[str, list[int]] = {}
    """The number of the first event that it meant for each receiver, lane by lane; 0 where there is none."""
    ended_otherwise: int = 0
    """Deliveries that the server's events were meant for which ended otherwise than delivered."""
    handled: dict[str, list[int]] = {}
    """Deliveries that its receivers have handled, lane by lane."""
    firsts: dict[str, list[list[int]]] = {}
    """The numbers that each of its receivers handled first, lane by lane."""
    repeated: int = 0
    """Arrivals that came again or out of order."""
    late_s: float = 0.0
    """When an event that had been held up was handled last, on the monotonic clock."""
    silences: list[Silence] = []
    """Those of its receivers that have ended since the report before."""
    flood: FloodCounts = FloodCounts()
    """Its end of the flood."""
    closed: bool = False
    """Whether this is the last report."""

    ticks: int = 0
    """The server's ticks so far."""
    tick_rate: float = 0.0
    """Its ticks per second since the report before."""
    units: list[UnitFigures] = []
    shots: list[tuple[int, float, float]] = []
    """Where shots are: the room, and metres."""
    witness: str = ""
    """The bot that tells the news; it knows those of its own room."""
    news: list[str] = []
    """What has happened since the report before, one line each."""
