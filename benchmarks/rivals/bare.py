"""pyzmq with nothing on top: what the sockets themselves can do, as the limit for any bus built on them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import zmq

from benchmarks.lab.load import Inbox, Load
from benchmarks.lab.processes import Child, Words
from benchmarks.rivals.base import HOST, TOPIC, Address, Rival, decode, encode

# Plain integers: building pyzmq's flag enums costs more than the call they go into.
_NOBLOCK = 1
_SNDMORE = 2
_HELLO = b"receiver"
_CONNECT_S = 0.3
"""A bare ROUTER does not say when it has taken a peer in."""


class BarePyzmq(Rival):
    """DEALER, ROUTER, DEALER: one message for each event, forwarded unread."""

    name: ClassVar[str] = "bare"
    title: ClassVar[str] = "bare pyzmq"
    promise: ClassVar[str] = "none: nobody counts, nothing is sent again, no limit to any queue"
    settings: ClassVar[str] = "DEALER, ROUTER in Python, DEALER; one message an event; no high-water marks"

    @contextlib.contextmanager
    def server(self) -> Iterator[Address]:
        with Child("the bare forwarder", forward) as child:
            port = child.hear(5.0)
            try:
                yield Address(f"tcp://{HOST}:{port}", [child.pid])
            finally:
                child.tell("end")

    def receive(self, address: Address, inbox: Inbox) -> None:
        socket = dealer(address.url)
        socket.send(_HELLO)
        time.sleep(_CONNECT_S)
        inbox.ready()
        drain(socket, lambda frame: inbox.handle(decode(frame)), inbox)

    def send(self, address: Address, load: Load) -> None:
        socket = dealer(address.url)
        time.sleep(_CONNECT_S)
        load.begin()
        while (events := load.take()) is not None:
            if not events:
                time.sleep(load.rest())
                continue
            for _, payload in events:
                socket.send(encode(payload))
        socket.close(linger=5000)


class BareBatches(BarePyzmq):
    """The same hops, with a send call, a codec and a handler for each event, and batches of a size that is given."""

    name: ClassVar[str] = "bare_batches"
    title: ClassVar[str] = "bare pyzmq, batched"
    settings: ClassVar[str] = (
        "as bare pyzmq, with `send(topic, payload, to)`, MessagePack and a handler by topic for each event, in "
        "batches as large as lanebus made them in the same run"
    )

    def __init__(self, batch_events: int = 64) -> None:
        self.batch_events = batch_events

    def receive(self, address: Address, inbox: Inbox) -> None:
        handlers: dict[str, Callable[[_Event], None]] = {TOPIC: lambda event: inbox.handle(event.payload)}

        def take(frame: bytes) -> None:
            for topic, to, number, payload in decode(frame):
                handler = handlers.get(topic)
                if handler is not None:
                    handler(_Event(topic, to, number, decode(payload)))

        socket = dealer(address.url)
        socket.send(_HELLO)
        time.sleep(_CONNECT_S)
        inbox.ready()
        drain(socket, take, inbox)

    def send(self, address: Address, load: Load) -> None:
        socket = dealer(address.url)
        time.sleep(_CONNECT_S)
        sender = _Batcher(socket, load.burst or self.batch_events)
        load.begin()
        while (events := load.take()) is not None:
            if not events:
                sender.flush()
                time.sleep(load.rest())
                continue
            for flow, payload in events:
                sender.send(TOPIC, payload, "receiver")
                if flow.urgent:
                    sender.flush()
        sender.flush()
        socket.close(linger=5000)


class _Event:
    __slots__ = ("number", "payload", "to", "topic")

    def __init__(self, topic: str, to: str, number: int, payload: Any) -> None:
        self.topic = topic
        self.to = to
        self.number = number
        self.payload = payload


class _Batcher:
    """A sender that gathers events until there are enough."""

    def __init__(self, socket: zmq.Socket[bytes], most: int) -> None:
        self._socket = socket
        self._most = most
        self._waiting: list[tuple[str, str, int, bytes]] = []
        self._number = 0

    def send(self, topic: str, payload: Any, to: str) -> int:
        """Send one event, now or with those that follow."""
        self._number += 1
        waiting = self._waiting
        waiting.append((topic, to, self._number, encode(payload)))
        if len(waiting) >= self._most:
            self.flush()
        return self._number

    def flush(self) -> None:
        """Everything leaves now."""
        if self._waiting:
            self._socket.send(encode(self._waiting))
            self._waiting = []


def dealer(url: str) -> zmq.Socket[bytes]:
    """A DEALER without limits, connected to `url`."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.connect(url)
    return socket


def drain(socket: zmq.Socket[bytes], take: Callable[[bytes], None], inbox: Inbox) -> None:
    """Give everything that comes to `take`, until the inbox is over."""
    receive = socket.recv
    while not inbox.over():
        if socket.poll(20):
            try:
                for _ in range(1000):
                    take(receive(_NOBLOCK))
            except zmq.Again:
                continue
    socket.close(linger=0)


def forward(words: Words) -> None:
    """A ROUTER that sends on what it gets to the peer that said it is the receiver."""
    router: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    router.setsockopt(zmq.SNDHWM, 0)
    router.setsockopt(zmq.RCVHWM, 0)
    words.say(router.bind_to_random_port(f"tcp://{HOST}"))
    receive, send = router.recv, router.send
    target = b""
    while words.heard() is None:
        if not router.poll(100):
            continue
        try:
            for _ in range(10_000):
                route = receive(_NOBLOCK)
                frame = receive(_NOBLOCK)
                if frame == _HELLO:
                    target = route
                    continue
                send(target, _SNDMORE | _NOBLOCK)
                send(frame, _NOBLOCK)
        except zmq.Again:
            continue
    router.close(linger=0)
