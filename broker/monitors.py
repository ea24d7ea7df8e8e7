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
from lanebus.broker.descriptors import count_open_files, limit_of_open_files
from lanebus.broker.lookout import Lookout
from lanebus.broker.open_files import OpenFiles
from lanebus.wire.lanes import LANES, Lane

PORTION: Final = 512
"""Of what happened, how much is read of one socket in one go."""

_EVENT: Final = struct.Struct("=Hi")
_ACCEPTED: Final = int(zmq.EVENT_ACCEPTED)
_DISCONNECTED: Final = int(zmq.EVENT_DISCONNECTED)
_NOBLOCK: Final = 1


class _Watched:
    """A socket, and what is known of its connections."""

    def __init__(self, socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes], lane: Lane | None) -> None:
        self.socket = socket
        self.monitor = monitor
        self.connections = Connections(lane)


class Monitors:
    """The monitors of all sockets that peers and people connect to.

    Args:
        context: that of the sockets.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], core: BrokerCore) -> None:
        self._context = context
        self._core = core
        self._watched: dict[Lane | None, _Watched] = {}
        self._most_bytes: dict[Lane | None, int] = {}
        self._doubts = Doubts()
        self._lookout: Lookout | None = None
        self.due = 0.0
        """When the next look is to be."""

    def watch(self, socket: zmq.Socket[bytes], lane: Lane | None, frame_bytes: int) -> None:
        """Watch the socket of a lane, or that of the control endpoint; to be called before it is bound.

        Args:
            frame_bytes: the largest frame that it takes.
        """
        address = f"inproc://monitor-{'control' if lane is None else lane.label}"
        socket.monitor(address, _ACCEPTED | _DISCONNECTED)
        monitor = self._context.socket(zmq.PAIR)
        monitor.setsockopt(zmq.LINGER, 0)
        monitor.setsockopt(zmq.RCVHWM, 0)
        monitor.connect(address)
        self._watched[lane] = _Watched(socket, monitor, lane)
        self._most_bytes[lane] = frame_bytes

    def begin(self, now: float) -> None:
        """All sockets are watched: look from now on."""
        connections = [watched.connections for watched in self._watched.values()]
        # Some may have come since the sockets were bound.
        for watched in self._watched.values():
            while self._read(watched, now):
                pass
        own = count_open_files() - sum(map(len, connections))
        self._core.bus.open_files = OpenFiles(limit_of_open_files(), own)
        self._lookout = Lookout(self._core, connections, self._most_bytes)
        self.due = now

    def close(self) -> None:
        """Watch no more; to be called before the sockets are closed."""
        for watched in self._watched.values():
            # In this order: libzmq's thread would wait for whoever is to read.
            watched.socket.disable_monitor()
            watched.monitor.close()
        self._watched.clear()

    def said_hello(self, lane: Lane, route: bytes, descriptor: int, now: float) -> None:
        """A hello has come by the connection of a descriptor, just now; it may have been refused."""
        if self._core.links.get(lane, route) is None:
            return
        watched = self._watched[lane]
        while self._read(watched, now):
            pass
        doubtful = watched.connections.said_hello(descriptor, route)
        if lane is Lane.CRITICAL:
            self._doubts.note(doubtful)

    def asked(self, descriptor: int) -> None:
        """A request has come by a connection of the control endpoint."""
        self._watched[None].connections.spoke(descriptor)

    def look(self, now: float, unread: list[bool]) -> None:
        """Look what has happened, who is gone by it, and who is to be hung up on.

        Args:
            unread: whether there may be frames that had come by the last look, on each lane and the control endpoint.
        """
        # Whoever has said goodbye is not lost.
        if not unread[Lane.CRITICAL]:
            self._speak()
        has_more = [True for watched in self._watched.values() if self._read(watched, now)]
        wait_s = 0.0
        if self._lookout is not None and not has_more:
            is_read = {lane: not left for lane, left in zip((*LANES, None), unread, strict=True)}
            wait_s = self._lookout.look(now, is_read)
        self.due = now if self._doubts.has_new else now + wait_s

    def _speak(self) -> None:
        """Let those in doubt be spoken to."""
        core = self._core
        for route in self._doubts.take():
            if not core.links.probe(route) and not core.stalls.probe(route):
                self._doubts.settled(route)

    def _read(self, watched: _Watched, now: float) -> bool:
        """Read what has happened on a socket; whether there may be more."""
        monitor, connections = watched.monitor, watched.connections
        try:
            for _ in range(PORTION):
                event, descriptor = _EVENT.unpack(monitor.recv(_NOBLOCK))
                monitor.recv(_NOBLOCK)
                if event == _ACCEPTED:
                    connections.accepted(descriptor, now)
                elif event == _DISCONNECTED:
                    routes = connections.ended(descriptor)
                    if connections.lane is Lane.CRITICAL:
                        self._doubts.note(routes)
        except zmq.Again:
            return False
        return True
