"""The three links of an adapter: its sockets, what is read from and written to them, and the wait for all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import zmq

from lanebus.adapters.actions import Dial, Send, State
from lanebus.adapters.addresses import Address, parse_address
from lanebus.adapters.names import Lookup, is_number, resolver
from lanebus.adapters.sockets import NOBLOCK, POLLIN, POLLOUT, Socket, dial, pending
from lanebus.adapters.turns import Turns
from lanebus.wire.lanes import LANES, Lane

if TYPE_CHECKING:
    from lanebus.adapters.base import Adapter

_READ_FRAMES = 256
_MAX_PREFERRED = 64


class Observer(Protocol):
    """Who drives several adapters in one thread, and must know what they wait for."""

    turns: Turns
    """Its own."""
    in_turn: bool
    """Whether this is inside of a turn of it."""

    def opened(self, adapter: Adapter, what: Socket | Lookup) -> None:
        """`adapter` waits for something new."""

    def closing(self, adapter: Adapter, what: Socket | Lookup) -> None:
        """`adapter` is about to close something that it waited for."""

    def touched(self, adapter: Adapter) -> None:
        """`adapter` has something to do before anybody waits."""

    def turn(self, timeout_s: float) -> int:
        """Give every adapter its turn."""

    def close_within(self, adapter: Adapter, timeout_s: float) -> None:
        """Close `adapter` once all is settled, or that time is over."""


class Attempt:
    """An attempt to connect a lane, until there is an answer: the addresses of its host are gone through in turn."""

    def __init__(self, address: Address) -> None:
        self.address = address
        """As it was given, or as the broker says."""
        self.lookup: Lookup | None = None
        """While the addresses of its name are not known."""
        self.left: list[str] = []
        """Addresses of the host that are still to be tried."""
        self.host = ""
        """The one that is tried."""
        self.frames: list[bytes] = []
        """What was said, and is said again at the next address."""


class Links:
    """One adapter's; it carries out what its core asks for."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.sockets: list[Socket | None] = [None for _ in LANES]
        """By lane."""
        self._poller = zmq.Poller()
        self._attempts: list[Attempt | None] = [None for _ in LANES]
        """By lane; None once it was answered."""
        self._preferred: dict[str, str] = {}
        """By name: which of its addresses to try first."""
        self._here = ("", "")
        """Host of the critical link, as it was given, and its address: a broker's other lanes are at the same one."""

    def waited_for(self) -> list[Socket | Lookup]:
        """What becomes readable when there is something to do."""
        lookups = [each.lookup for each in self._attempts if each is not None and each.lookup is not None]
        return [*(socket for socket in self.sockets if socket is not None), *lookups]

    def read(self) -> None:
        """Give the core what came, the critical lane first, and tell it of a connection that is gone."""
        core = self._adapter.core
        for lane in LANES:
            attempt = self._attempts[lane]
            if attempt is not None and attempt.lookup is not None:
                if attempt.lookup.is_done:
                    self._resolved(lane, attempt, attempt.lookup)
                    self.act()
                continue
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
                if attempt is not None:
                    self._answered(lane, attempt)
                    attempt = None
                core.receive(lane, frame.bytes, time.monotonic(), more=more)
                if self.sockets[lane] is not socket:
                    return
                left -= 1
                events = pending(socket)
            if not events & POLLOUT and not events & POLLIN:
                # No connection is left on the socket: it does not reconnect by itself.
                if self._may_be_gone(lane):
                    continue
                if attempt is not None and attempt.left:
                    self._try(lane, attempt)
                else:
                    core.gone(lane, time.monotonic())
                self.act()
                return

    def act(self) -> None:
        """Carry out what the core asks for."""
        core = self._adapter.core
        observer = self._adapter.observer
        for action in core.take():
            if isinstance(action, Send):
                attempt = self._attempts[action.lane]
                if attempt is not None:
                    attempt.frames.append(action.frame)
                socket = self.sockets[action.lane]
                if socket is None:
                    continue
                try:
                    socket.send(action.frame, NOBLOCK)
                except zmq.Again:
                    if attempt is not None:
                        continue  # it is refused already: the next look finds no connection, and tries another address
                    core.gone(action.lane, time.monotonic())
                    if observer is not None:
                        observer.touched(self._adapter)
            elif isinstance(action, Dial):
                self._dial(action.lane, action.address)
            else:
                self.hang_up(action.linger_s)
        if observer is not None and self.has_news():
            observer.touched(self._adapter)

    def _dial(self, lane: Lane, text: str) -> None:
        core = self._adapter.core
        self._drop(lane, 0.0)
        try:
            address = parse_address(text)
        except (
            ValueError
        ) as error:  # the broker's own word: what the program gives is checked where it is given
            self._fail(str(error))
            return
        attempt = self._attempts[lane] = Attempt(address)
        if lane is not Lane.CRITICAL and address.host == self._here[0]:
            attempt.left = [self._here[1]]
        elif is_number(address.host):
            attempt.left = [address.host]
        else:
            lookup = attempt.lookup = resolver().look_up(address.host, time.monotonic())
            core.brokers.naming(lane, address.host)
            self._watch(lookup)
            return
        self._try(lane, attempt)

    def _resolved(self, lane: Lane, attempt: Attempt, lookup: Lookup) -> None:
        """The addresses of a name are known, or that it has none."""
        self._adapter.core.brokers.naming(lane, "")
        self._forget(attempt)
        if lookup.error:
            self._fail(lookup.error)
            return
        first = self._preferred.get(lookup.host, "")
        attempt.left = sorted(lookup.addresses, key=lambda each: each != first)
        self._try(lane, attempt)

    def _try(self, lane: Lane, attempt: Attempt) -> None:
        """Connect to the next of a host's addresses that there is a way to."""
        old = self.sockets[lane]
        if old is not None:
            self.sockets[lane] = None
            self._close_socket(old, 0.0)
        why = ""
        while attempt.left:
            host = attempt.host = attempt.left.pop(0)
            try:
                socket = dial(
                    str(Address(host, attempt.address.port)), frame_bytes=self._adapter.core.limits.raw_bytes
                )
            except (OSError, ValueError) as error:
                why = str(error)
                continue
            self.sockets[lane] = socket
            if lane is Lane.CRITICAL:
                self._here = (attempt.address.host, host)
            self._watch(socket)
            try:
                for frame in attempt.frames:
                    socket.send(frame, NOBLOCK)
            except zmq.Again:
                pass  # it is refused already, as in `act`
            return
        self._fail(why)

    def _fail(self, why: str) -> None:
        self._adapter.core.lost(time.monotonic(), why)
        if self._adapter.observer is not None:
            self._adapter.observer.touched(self._adapter)

    def _answered(self, lane: Lane, attempt: Attempt) -> None:
        self._attempts[lane] = None
        self._prefer(attempt.address.host, attempt.host)

    def _prefer(self, name: str, host: str) -> None:
        if name != host:
            self._preferred.pop(name, None)
            if len(self._preferred) >= _MAX_PREFERRED:
                del self._preferred[next(iter(self._preferred))]
            self._preferred[name] = host

    def _watch(self, what: Socket | Lookup) -> None:
        # Its descriptor, and not the socket: that wakes for the end of a connection too.
        self._poller.register(what.fileno(), zmq.POLLIN)
        if self._adapter.observer is not None:
            self._adapter.observer.opened(self._adapter, what)

    def _unwatch(self, what: Socket | Lookup) -> None:
        if self._adapter.observer is not None:
            self._adapter.observer.closing(self._adapter, what)
        self._poller.unregister(what.fileno())

    def has_news(self) -> bool:
        """Whether a frame waits, a connection is gone, or a name is known.

        A descriptor is not readable again for what a send, or this look itself, has already taken notice of.
        """
        for lane, socket in zip(LANES, self.sockets, strict=True):
            if socket is None:
                attempt = self._attempts[lane]
                if attempt is not None and attempt.lookup is not None and attempt.lookup.is_done:
                    return True
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
            self._drop(lane, linger_s)

    def _drop(self, lane: Lane, linger_s: float) -> None:
        """Let go of a lane's socket, and of what was asked or tried for it."""
        attempt, self._attempts[lane] = self._attempts[lane], None
        if attempt is not None:
            self._forget(attempt)
            if attempt.left:
                # The one that was tried is silent: next time another one comes first.
                self._prefer(attempt.address.host, attempt.left[0])
            else:
                self._preferred.pop(attempt.address.host, None)
        socket, self.sockets[lane] = self.sockets[lane], None
        if socket is not None:
            self._close_socket(socket, linger_s)

    def _forget(self, attempt: Attempt) -> None:
        lookup, attempt.lookup = attempt.lookup, None
        if lookup is not None:
            self._unwatch(lookup)
            resolver().forget(lookup)

    def _close_socket(self, socket: Socket, linger_s: float) -> None:
        self._unwatch(socket)
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
