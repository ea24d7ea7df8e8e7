"""The three links of an adapter: its sockets, what is read from and written to them, and the wait for all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import zmq

from lanebus.adapters.actions import Dial, Send, State
from lanebus.adapters.sockets import NOBLOCK, POLLIN, POLLOUT, Socket, dial, pending
from lanebus.adapters.turns import Turns
from lanebus.wire.lanes import LANES, Lane

if TYPE_CHECKING:
    from lanebus.adapters.base import Adapter

_READ_FRAMES = 256


class Observer(Protocol):
    """Who drives several adapters in one thread, and must know of their sockets."""

    turns: Turns
    """Its own."""
    in_turn: bool
    """Whether this is inside of a turn of it."""

    def opened(self, adapter: Adapter, socket: Socket) -> None:
        """`adapter` has a new socket."""

    def closing(self, adapter: Adapter, socket: Socket) -> None:
        """`adapter` is about to close a socket."""

    def touched(self, adapter: Adapter) -> None:
        """`adapter` has something to do before anybody waits."""

    def turn(self, timeout_s: float) -> int:
        """Give every adapter its turn."""

    def close_within(self, adapter: Adapter, timeout_s: float) -> None:
        """Close `adapter` once all is settled, or that time is over."""


class Links:
    """One adapter's; it carries out what its core asks for."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.sockets: list[Socket | None] = [None for _ in LANES]
        """By lane."""
        self._poller = zmq.Poller()

    def read(self) -> None:
        """Give the core what came, the critical lane first, and tell it of a connection that is gone."""
        core = self._adapter.core
        for lane in LANES:
            socket = self.sockets[lane]
            if socket is None:
                continue
            events = pending(socket)
            left = _READ_FRAMES
            while events & POLLIN and left:
                frame = socket.recv(NOBLOCK, copy=False)
                more = frame.more
                while more and socket.getsockopt(zmq.RCVMORE):
                    socket.recv(NOBLOCK)
                core.receive(lane, frame.bytes, time.monotonic(), more=more)
                if self.sockets[lane] is not socket:
                    return
                left -= 1
                events = pending(socket)
            if not events & POLLOUT and not events & POLLIN:
                # No connection is left on the socket: it does not reconnect by itself.
                if self._may_be_gone(lane):
                    continue
                core.gone(lane, time.monotonic())
                self.act()
                return

    def act(self) -> None:
        """Carry out what the core asks for."""
        core = self._adapter.core
        observer = self._adapter.observer
        for action in core.take():
            if isinstance(action, Send):
                socket = self.sockets[action.lane]
                if socket is None:
                    continue
                try:
                    socket.send(action.frame, NOBLOCK)
                except zmq.Again:
                    core.gone(action.lane, time.monotonic())
                    if observer is not None:
                        observer.touched(self._adapter)
            elif isinstance(action, Dial):
                old = self.sockets[action.lane]
                if old is not None:
                    self._close_socket(old, 0.0)
                try:
                    socket = dial(action.address, frame_bytes=core.limits.raw_bytes)
                except (OSError, ValueError) as error:
                    core.lost(time.monotonic(), str(error))
                    if observer is not None:
                        observer.touched(self._adapter)
                    return
                self.sockets[action.lane] = socket
                # Its descriptor, and not the socket: that wakes for the end of a connection too.
                self._poller.register(socket.fileno(), zmq.POLLIN)
                if observer is not None:
                    observer.opened(self._adapter, socket)
            else:
                self.hang_up(action.linger_s)
        if observer is not None and self.has_news():
            observer.touched(self._adapter)

    def has_news(self) -> bool:
        """Whether a frame waits, or a connection is gone.

        A descriptor is not readable again for what a send, or this look itself, has already taken notice of.
        """
        for lane, socket in zip(LANES, self.sockets, strict=True):
            if socket is None:
                continue
            events = pending(socket)
            if events & POLLIN or not (events & POLLOUT or self._may_be_gone(lane)):
                return True
        return False

    def _may_be_gone(self, lane: Lane) -> bool:
        """Whether a connection's end means nothing: a broker that drains says its goodbye on the critical link."""
        return self._adapter.core.draining and lane is not Lane.CRITICAL

    def hang_up(self, linger_s: float) -> None:
        """Close all sockets; what was sent last has `linger_s` seconds to leave."""
        for lane in LANES:
            socket = self.sockets[lane]
            if socket is not None:
                self._close_socket(socket, linger_s)
                self.sockets[lane] = None

    def _close_socket(self, socket: Socket, linger_s: float) -> None:
        if self._adapter.observer is not None:
            self._adapter.observer.closing(self._adapter, socket)
        self._poller.unregister(socket.fileno())
        socket.close(linger=int(linger_s * 1000))

    def sleep(self, until: float) -> None:
        """Wait for a socket, a timer of the core, or `until`; not at all once the adapter is closed.

        Between two attempts to connect there is no socket, and a poller of nothing returns at once.
        """
        core = self._adapter.core
        if core.state is State.CLOSED or core.has_work(time.monotonic()) or self.has_news():
            return
        due = core.next_timer()
        if due is not None and due < until:
            until = due
        left_s = until - time.monotonic()
        if left_s <= 0:
            return
        if not self._poller.sockets:
            time.sleep(left_s)
        elif left_s >= 0.001:
            self._poller.poll(int(left_s * 1000))
        elif until is not due and not self._poller.poll(0):
            time.sleep(left_s)
