"""ZeroMQ sockets of the broker: every option, and why it is set."""

from __future__ import annotations

import ctypes
import errno
import os
from urllib.parse import urlsplit

import zmq


class BindError(Exception):
    """An address could not be bound; the text names it and the cause."""


def make_router(
    context: zmq.Context[zmq.Socket[bytes]], *, high_water_mark: int, frame_bytes: int
) -> zmq.Socket[bytes]:
    """A ROUTER for peers.

    Args:
        high_water_mark: messages per peer and direction; at least twice the window, since libzmq frees half at a time.
        frame_bytes: largest frame that libzmq hands over.
    """
    _seed_routing_ids()
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 500)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an unknown or full peer is an error, not a silent loss
    socket.setsockopt(zmq.SNDHWM, high_water_mark)
    socket.setsockopt(zmq.RCVHWM, high_water_mark)
    # A little above our own limit, so that a frame just past it gets an answer instead of a cut.
    socket.setsockopt(zmq.MAXMSGSIZE, frame_bytes + 4096)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 2000)  # a mute connection is closed after 2 s, not 30
    socket.setsockopt(zmq.BACKLOG, 4096)  # after a restart everybody comes back at once
    socket.setsockopt(zmq.HEARTBEAT_IVL, 5000)  # half-open connections go, though no frame is due on them
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15000)
    return socket


def _seed_routing_ids() -> None:
    # libzmq starts its automatic routing ids at an unseeded rand(): the same in every process, and a peer that claims
    # the next one aborts the process. A random start makes them a secret.
    try:
        ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), "little"))
    except (OSError, AttributeError):  # a C library without srand: the ids stay guessable
        return


def bind(socket: zmq.Socket[bytes], host: str, port: int, what: str) -> str:
    """Bind to `host` and `port` (0: one that is free) and return the address with the real port.

    Raises:
        BindError: the address is in use, not of this machine, or not to be had.
    """
    shown = f"[{host}]" if ":" in host else host
    address = f"tcp://{shown}:{port or '*'}"
    if ":" in host:
        socket.setsockopt(zmq.IPV6, 1)
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        cause = {
            errno.EADDRINUSE: "the port is in use; is another broker running?",
            errno.EADDRNOTAVAIL: "no network interface has this address",
            errno.ENODEV: "no network interface has this address",
            errno.EACCES: "not permitted; ports below 1024 need a privilege",
        }.get(error.errno or 0, str(error))
        raise BindError(f"cannot bind the {what} socket to {address}: {cause}") from None
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def port_of(address: str) -> int:
    """The port in a TCP address."""
    port = urlsplit(address).port
    if port is None:
        raise ValueError(f"{address} has no port")
    return port
