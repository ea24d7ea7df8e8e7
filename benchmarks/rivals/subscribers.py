"""Subscribers that do nothing but read: plain sockets which speak as little of each protocol as a subscription takes.

Their only work is to find a mark in what they read, and where the server has to know what has arrived to say so: a
thousand of them leave the machine to the server.
"""

from __future__ import annotations

import json
import re
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


def jetstream(number: int) -> tuple[bytes, ...]:
    """Be a push consumer of a stream; the first one makes the stream."""
    hello = b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB _made.%d 1\r\n' % number
    stream = {"name": "bench", "subjects": ["bench.*"], "storage": "memory", "num_replicas": 1}
    config = {"deliver_subject": f"_to.{number}", "ack_policy": "all", "max_ack_pending": -1}
    wanted = _request(b"CONSUMER.CREATE.bench", number, {"stream_name": "bench", "config": config})
    subscribe = b"SUB _to.%d 2\r\n" % number
    # Each piece is sent once the one before it was answered: with the server's greeting, and with the stream.
    make = (_request(b"STREAM.CREATE.bench", number, stream),) if number == 0 else ()
    return (hello, *make, subscribe + wanted)


def _request(what: bytes, number: int, body: object) -> bytes:
    text = json.dumps(body).encode()
    return b"PUB $JS.API.%s _made.%d %d\r\n%s\r\n" % (what, number, len(text), text)


def streams(number: int) -> tuple[bytes, ...]:
    """Wait for what a Redis stream gets from now on."""
    return (_XREAD % b"$",)


def mqtt1(number: int) -> tuple[bytes, ...]:
    """Connect and subscribe at an MQTT server, QoS 1."""
    return (mqtt(number)[0][:-1] + b"\x01",)


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


def jetstream_answer(piece: bytes) -> tuple[bytes, int]:
    """Acknowledge all whole messages by the last of them."""
    last, at = b"", 0
    while (end := piece.find(b"\r\n", at)) >= 0:
        words = piece[at:end].split(b" ")
        after = end + 2
        if words[0] == b"MSG":
            after += int(words[-1]) + 2
            if after > len(piece):
                break
            # What the server itself answers has no subject for a reply.
            if len(words) == 5:
                last = words[3]
        at = after
    return (b"PUB %s 4\r\n+ACK\r\n" % last if last else b""), at


def streams_answer(piece: bytes) -> tuple[bytes, int]:
    """Wait for what comes after the last entry, once the answer is whole: a reader asks again each time."""
    numbers = _ENTRY.findall(piece)
    end = _end_of_reply(piece, 0)
    if not numbers or end is None:
        return b"", 0
    return _XREAD % numbers[-1], end


def _end_of_reply(piece: bytes, at: int) -> int | None:
    """Where a reply of Redis ends: arrays and strings, one in the other; None if it is not whole."""
    end = piece.find(b"\r\n", at)
    if end < 0:
        return None
    kind, size = piece[at : at + 1], int(piece[at + 1 : end])
    if kind == b"$":
        return end + 2 + size + 2 if end + 2 + size + 2 <= len(piece) else None
    position: int | None = end + 2
    for _ in range(size):
        if position is not None:
            position = _end_of_reply(piece, position)
    return position


def mqtt1_answer(piece: bytes) -> tuple[bytes, int]:
    """A PUBACK for each whole PUBLISH."""
    answers, at = b"", 0
    while True:
        size, shift, body = 0, 0, at + 1
        while body < len(piece):
            size |= (piece[body] & 0x7F) << shift
            shift += 7
            body += 1
            if not piece[body - 1] & 0x80:
                break
        else:
            return answers, at
        if body + size > len(piece):
            return answers, at
        if piece[at] & 0xF6 == 0x32:
            topic = int.from_bytes(piece[body : body + 2], "big")
            answers += b"\x40\x02" + piece[body + 2 + topic : body + 4 + topic]
        at = body + size


_XREAD: Final = b"XREAD COUNT 1000 BLOCK 0 STREAMS bench. %s\r\n"
_ENTRY: Final = re.compile(rb"\r\n(\d+-\d+)\r\n")
GREETINGS: Final[dict[str, Callable[[int], tuple[bytes, ...]]]] = {
    "nats": nats,
    "jetstream": jetstream,
    "redis_pubsub": redis,
    "redis_streams": streams,
    "mqtt0": mqtt,
    "mqtt1": mqtt1,
    "bare": zmtp,
}
"""What a subscriber says, by name of the bus: piece by piece, each once the one before it was answered."""
ANSWERS: Final[dict[str, Callable[[bytes], tuple[bytes, int]]]] = {
    "jetstream": jetstream_answer,
    "redis_streams": streams_answer,
    "mqtt1": mqtt1_answer,
}
"""What it says to what it has read, and how much of that is dealt with. Buses that are not here want no answer."""
SETTINGS: Final = {
    "jetstream": "one stream in memory; a push consumer for each client, AckPolicy ALL, an acknowledgement a read",
    "redis_streams": "one stream, no groups; each client waits in XREAD and asks again after the last entry it has",
    "mqtt1": "a PUBACK for each message",
}
"""Of those that promise more than once at most."""


def no_answer(piece: bytes) -> tuple[bytes, int]:
    """Nothing is said, and no message is told from another: all is dealt with, but what may be the start of a mark."""
    last = piece.rfind(MARK)
    return b"", max(0 if last < 0 else last + len(MARK), len(piece) - len(MARK) + 1, 0)


def drain(words: Words, host: str, port: int, bus: str, count: int) -> tuple[int, float]:
    """Read on `count` connections to a bus until told to stop; how many messages came, and when the last one did."""
    greeting, answer_to = GREETINGS[bus], ANSWERS.get(bus, no_answer)
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
            said, end = answer_to(piece)
            if said:
                sockets[descriptor].sendall(said)
            marks = piece.count(MARK, 0, end)
            if marks:
                found += marks
                last_s = now
            tails[descriptor] = piece[end:]
    for connection in sockets.values():
        connection.close()
    return found, last_s
