"""Connections: what one socket says of those that it has accepted, and which links came by them. Without I/O.

libzmq names a connection by its descriptor, which the next one may be given; a frame names the one that it came by, and
may have waited until that is another's. So the end of a connection is a hint to which links have ended, and no more:
`Doubts` has them spoken to, and whoever is gone is found out by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lanebus.wire.lanes import Lane

DOUBTS: Final = 3
"""How often a link is spoken to whose connection may have ended: libzmq tells of an end a little before it is one."""
CLAIMS: Final = 4
"""Links that may have come by one connection: it was that of one, and the others are of earlier ones."""


class Connection:
    """One that a socket has accepted."""

    __slots__ = (
        "accepted_at",
        "descriptor",
        "far_end",
        "heard",
        "is_over",
        "lane",
        "mark_bytes",
        "marked_at",
        "messages",
        "routes",
    )

    def __init__(self, lane: Lane | None, descriptor: int, now: float) -> None:
        self.lane = lane
        """None for those of the control endpoint."""
        self.descriptor = descriptor
        self.accepted_at = now
        self.is_over = False
        """Whether it has ended, or was hung up on and is about to."""
        self.far_end: object = None
        """Its address and port; None while nobody has looked."""
        self.routes: list[bytes] = []
        """Of those who said hello by it, the latest last."""
        self.messages = 0
        """Those that were read of it, on the control endpoint."""
        self.heard = 0.0
        """What told, when it was marked, how much was read of it: it changes with every message."""
        self.mark_bytes = 0
        """What had come by it when it was marked."""
        self.marked_at = now


class Connections:
    """Those of one socket that have not ended.

    Args:
        lane: of the socket; None for the control endpoint.
    """

    def __init__(self, lane: Lane | None) -> None:
        self.lane = lane
        self._open: dict[int, Connection] = {}
        self._strangers: dict[int, Connection] = {}
        self._going = 0
        """Those that were hung up on and have not ended."""

    def __len__(self) -> int:
        """How many there are that were not hung up on."""
        return len(self._open) - self._going

    def __iter__(self) -> Iterator[Connection]:
        """All of them, the earliest first, as they are now."""
        return iter(list(self._open.values()))

    def strangers(self) -> list[Connection]:
        """Those by which no hello has made a link, the earliest first."""
        return list(self._strangers.values())

    def accepted(self, descriptor: int, now: float) -> None:
        """There is a new one."""
        self.ended(descriptor)
        self._open[descriptor] = self._strangers[descriptor] = Connection(self.lane, descriptor, now)

    def said_hello(self, descriptor: int, route: bytes) -> list[bytes]:
        """A hello has come by one, and made a link; the routes of those that are in doubt because of it."""
        connection = self._open.get(descriptor)
        if connection is None:
            # It was that of a connection that has ended since.
            return [route]
        self._strangers.pop(descriptor, None)
        routes = connection.routes
        if route not in routes:
            routes.append(route)
            del routes[:-CLAIMS]
        return list(routes) if len(routes) > 1 else []

    def spoke(self, descriptor: int) -> None:
        """A message was read that had come by one."""
        connection = self._open.get(descriptor)
        if connection is not None:
            connection.messages += 1

    def hung_up(self, connection: Connection) -> None:
        """One of them is about to end."""
        if not connection.is_over:
            connection.is_over = True
            self._going += 1
            self._strangers.pop(connection.descriptor, None)

    def ended(self, descriptor: int) -> list[bytes]:
        """One has ended; the routes of those who said hello by it."""
        connection = self._open.pop(descriptor, None)
        if connection is None:
            return []
        self._strangers.pop(descriptor, None)
        self._going -= connection.is_over
        connection.is_over = True
        return connection.routes


class Doubts:
    """Links whose connections may have ended, by their routes."""

    def __init__(self) -> None:
        self._left: dict[bytes, int] = {}
        self.has_new = False
        """Whether some of them have not been spoken to."""

    def note(self, routes: list[bytes]) -> None:
        """These are in doubt."""
        for route in routes:
            self._left[route] = DOUBTS
            self.has_new = True

    def take(self) -> list[bytes]:
        """Those to be spoken to now: each `DOUBTS` times, if it is there so long."""
        self.has_new = False
        routes = list(self._left)
        for route in routes:
            self._left[route] -= 1
            if not self._left[route]:
                del self._left[route]
        return routes

    def settled(self, route: bytes) -> None:
        """There is nobody there any more."""
        self._left.pop(route, None)
