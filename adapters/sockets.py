"""DEALER sockets of adapters: every option, and why it is set."""

from __future__ import annotations

import atexit
import errno
import os
import socket as plain
from functools import lru_cache
from threading import get_ident
from weakref import WeakKeyDictionary

import zmq

Socket = zmq.Socket[bytes]

EVENTS = 15
"""``zmq.EVENTS`` as a plain integer: building pyzmq's enums costs more than the call."""
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
NOBLOCK = 1
POLLIN = 1
POLLOUT = 2


_THREADS: WeakKeyDictionary[Socket, int] = WeakKeyDictionary()
"""By socket: the thread that uses it."""


@lru_cache(maxsize=1)
def _context_of(process_id: int) -> zmq.Context[Socket]:
    context: zmq.Context[Socket] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 16_384)
    atexit.register(_end, context, process_id)
    return context


def _end(context: zmq.Context[Socket], process_id: int) -> None:
    # The last words of adapters that were closed, a second at most; without this they end with libzmq's threads.
    # Sockets of another thread, which may be waiting on them, are left alone, and end with the process.
    if process_id != os.getpid():
        return
    here = get_ident()
    if all(thread == here or socket.closed for socket, thread in list(_THREADS.items())):
        context.destroy(linger=0)


def context() -> zmq.Context[Socket]:
    """This process' ZeroMQ context; a forked child gets one of its own, since sockets do not survive a fork."""
    return _context_of(os.getpid())


def pending(socket: Socket) -> int:
    """What the socket is ready for: a sum of `POLLIN` and `POLLOUT`."""
    return socket.getsockopt(EVENTS)  # type: ignore[return-value]


def _check_way(address: str) -> None:
    """Ask the kernel for a way, without sending anything: libzmq would say nothing of it, and wait."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    is_six = host.startswith("[")
    try:
        with plain.socket(plain.AF_INET6 if is_six else plain.AF_INET, plain.SOCK_DGRAM) as probe:
            probe.connect((host.strip("[]"), int(port)))
    except OSError as error:
        if error.errno in _NO_WAY:
            raise OSError(error.errno, f"there is no way to {address} from here: {error.strerror}") from None
    except ValueError:
        pass  # it is no address; libzmq says so


def dial(address: str, *, frame_bytes: int) -> Socket:
    """A fresh DEALER that connects to `address` once: a lost link gets another socket, never a second life.

    Args:
        frame_bytes: largest frame that is accepted.

    Raises:
        ValueError: the address is malformed.
        OSError: the process has no descriptor left, or there is no way to the address from here.
    """
    _check_way(address)
    try:
        socket = context().socket(zmq.DEALER)
    except zmq.ZMQError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise OSError(
            error.errno,
            "no descriptor or socket is left for another connection: an adapter needs six descriptors; "
            "raise the limit of open files (ulimit -n, LimitNOFILE=)",
        ) from None
    _THREADS[socket] = get_ident()
    socket.setsockopt(zmq.LINGER, 0)
    # libzmq would flush what it had queued into the new connection, in front of any hello.
    socket.setsockopt(zmq.RECONNECT_IVL, -1)
    # A refused connection ends like a lost one. Otherwise it would look as if it were still being made.
    socket.setsockopt(zmq.RECONNECT_STOP, zmq.RECONNECT_STOP_CONN_REFUSED)
    socket.setsockopt(zmq.SNDHWM, 4096)
    socket.setsockopt(zmq.RCVHWM, 4096)
    socket.setsockopt(zmq.MAXMSGSIZE, frame_bytes + 65_536)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 5000)
    # One lane alone can fall silent, on a path that swallows its frames: pings of the critical lane do not show it.
    socket.setsockopt(zmq.HEARTBEAT_IVL, 5000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10_000)
    if "[" in address:
        socket.setsockopt(zmq.IPV6, 1)
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        socket.close()
        raise ValueError(
            f"{address!r} is no address to connect to, such as tcp://127.0.0.1:5570: {error}"
        ) from None
    return socket
