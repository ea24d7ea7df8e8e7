"""Subscribers that do nothing but read: plain sockets which speak as little of each protocol as a subscription takes.

Their only work is to find a mark in what they read, so that a thousand of them leave the machine to the server.
"""

from __future__ import annotations

import resource
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

from benchmarks.lab.processes import Words

MARK: Final = b"fan-out!"
_ZMTP_GREETING_BYTES: Final = 64
"""What is more than that in an answer is the peer's first command."""
_QUIET_S: Final = 0.3
"""How long nothing may come, once told to stop, before what has not come is missing."""


def raise_descriptors() -> None:
    """Let this process have as many files open as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def nats(number: int) -> tuple[bytes, ...]:
    """Subscribe at a NATS server."""
    return (b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB bench.normal 1\r\nPING\r\n',)


def redis(number: int) -> tuple[bytes, ...]:
    """Subscribe at a Redis server."""
    return (b"SUBSCRIBE bench.normal\r\n",)


def mqtt(number: int) -> tuple[bytes, ...]:
    """Connect and subscribe at an MQTT server, QoS 0."""
    name = f"c{number}".encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack(">H", len(name)) + name
    topic = b"bench/normal"
    wanted = b"\x00\x01" + struct.pack(">H", len(topic)) + topic + b"\x00"
    return (bytes((0x10, len(body))) + body + bytes((0x82, len(wanted))) + wanted,)


def zmtp(number: int) -> tuple[bytes, ...]:
    """Be a DEALER, and, once the ROUTER has said that it is one, say that this is a receiver."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\x00" + bytes(31)
    ready = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    ready += b"\x08Identity" + struct.pack(">I", 0)
    hello = b"receiver"
    return greeting + bytes((0x04, len(ready))) + ready, bytes((0x00, len(hello))) + hello


GREETINGS: Final[dict[str, Callable[[int], tuple[bytes, ...]]]] = {
    "nats": nats,
    "redis_pubsub": redis,
    "mqtt0": mqtt,
    "bare": zmtp,
}


def drain(
    words: Words, host: str, port: int, greeting: Callable[[int], tuple[bytes, ...]], count: int
) -> tuple[int, float]:
    """Read on `count` connections until told to stop; how many messages came, and when the last one did."""
    raise_descriptors()
    epoll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    tails: dict[int, bytes] = {}
    for number in range(count):
        connection = socket.create_connection((host, port), 10.0)
        first, *later = greeting(number)
        connection.sendall(first)
        for piece in later:
            answer = b""
            while len(answer) <= _ZMTP_GREETING_BYTES:
                answer += connection.recv(1024)
            connection.sendall(piece)
        connection.setblocking(False)
        sockets[connection.fileno()] = connection
        tails[connection.fileno()] = b""
        epoll.register(connection.fileno(), select.EPOLLIN)
    found, last_s = 0, 0.0
    is_ready = False
    quiet_since_s = time.monotonic()
    ending = False
    while True:
        ending = ending or words.heard() is not None
        ready = epoll.poll(_QUIET_S if ending else 0.05)
        if ending and not ready:
            break
        now = time.monotonic()
        if ready:
            quiet_since_s = now
        elif not is_ready and now - quiet_since_s > 0.5:
            is_ready = True
            words.say("ready")
        for descriptor, _ in ready:
            try:
                piece = sockets[descriptor].recv(262_144)
            except BlockingIOError:
                continue
            if not piece:
                epoll.unregister(descriptor)
                continue
            piece = tails[descriptor] + piece
            marks = piece.count(MARK)
            if marks:
                found += marks
                last_s = now
            # A mark may be cut in two; what follows the last whole one is too short to be one.
            tails[descriptor] = piece[max(piece.rfind(MARK) + len(MARK), len(piece) - len(MARK) + 1) :]
    for connection in sockets.values():
        connection.close()
    return found, last_s
