"""Monitors: what libzmq says of the connections of the broker's sockets, read now and then.

A socket monitor that nobody reads blocks libzmq's thread, and with it every connection: so its queue has no limit of
its own, and holds what happens between two looks. Attempts to accept that failed are not asked for, since libzmq makes
them without a pause while descriptors are used up.
"""

from __future__ import annotations

import struct
from typing import Final

import zmq

from lanebus.broker.connections import Connections, Doubts
from lanebus.broker.core import BrokerCore
from lanebus.wire.lanes import Lane

LOOK_S: Final = 0.1
"""Time between two looks."""
PORTION: Final = 512
"""Of what happened, how much is read of one socket in one go."""

_EVENT: Final = struct.Struct("=Hi")
_ACCEPTED: Final = int(zmq.EVENT_ACCEPTED)
_DISCONNECTED: Final = int(zmq.EVENT_DISCONNECTED)
_NOBLOCK: Final = 1


class Monitors:
    """The monitors of all lanes' sockets.

    Args:
        context: that of the sockets.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], core: BrokerCore) -> None:
        self._context = context
        self._core = core
        self._watched: list[zmq.Socket[bytes]] = []
        self._monitors: dict[Lane, zmq.Socket[bytes]] = {}
        self._connections: dict[Lane, Connections] = {}
        self._doubts = Doubts()
        self.due = 0.0
        """When the next look is to be."""

    def watch(self, lane: Lane, socket: zmq.Socket[bytes]) -> None:
        """Watch the socket of a lane; to be called before it is bound."""
        address = f"inproc://monitor-{lane.label}"
        socket.monitor(address, _ACCEPTED | _DISCONNECTED)
        monitor = self._context.socket(zmq.PAIR)
        monitor.setsockopt(zmq.LINGER, 0)
        monitor.setsockopt(zmq.RCVHWM, 0)
        monitor.connect(address)
        self._watched.append(socket)
        self._monitors[lane] = monitor
        self._connections[lane] = Connections()

    def close(self) -> None:
        """Watch no more; to be called before the sockets are closed."""
        # In this order: libzmq's thread would wait for whoever is to read.
        for socket in self._watched:
            socket.disable_monitor()
        self._watched.clear()
        for monitor in self._monitors.values():
            monitor.close()
        self._monitors.clear()

    def said_hello(self, lane: Lane, route: bytes, descriptor: int, now: float) -> None:
        """A hello has come by the connection of a descriptor, just now; it may have been refused."""
        if self._core.links.get(lane, route) is None:
            return
        self._read(lane, now)
        doubtful = self._connections[lane].said_hello(descriptor, route)
        if lane is Lane.CRITICAL:
            self._doubts.note(doubtful)

    def look(self, now: float, *, critical_is_read: bool) -> None:
        """Look what has happened, and who is gone by it.

        Args:
            critical_is_read: whether all that had come on the critical lane was read since the last look: whoever has
                said goodbye is not lost.
        """
        if critical_is_read:
            self._speak()
        has_more = [lane for lane in self._monitors if self._read(lane, now)]
        self.due = now if has_more or self._doubts.has_new else now + LOOK_S

    def _speak(self) -> None:
        """Let those in doubt be spoken to."""
        core = self._core
        for route in self._doubts.take():
            if not core.links.probe(route) and not core.stalls.probe(route):
                self._doubts.settled(route)

    def _read(self, lane: Lane, now: float) -> bool:
        """Read what has happened on a socket; whether there may be more."""
        monitor, connections = self._monitors[lane], self._connections[lane]
        try:
            for _ in range(PORTION):
                event, descriptor = _EVENT.unpack(monitor.recv(_NOBLOCK))
                monitor.recv(_NOBLOCK)
                if event == _ACCEPTED:
                    connections.accepted(descriptor, now)
                elif event == _DISCONNECTED:
                    routes = connections.ended(descriptor)
                    if lane is Lane.CRITICAL:
                        self._doubts.note(routes)
        except zmq.Again:
            return False
        return True
