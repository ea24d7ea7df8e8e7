"""libzmq's own proxy: the forwarding of bare sockets without Python in between."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import ClassVar

import zmq

from benchmarks.lab.load import Inbox, Load
from benchmarks.lab.processes import Child, Words
from benchmarks.rivals.bare import BarePyzmq, drain
from benchmarks.rivals.base import HOST, Address, decode, encode


class LibzmqProxy(BarePyzmq):
    """PUSH, `zmq_proxy` from PULL to PUSH, PULL."""

    name: ClassVar[str] = "proxy"
    title: ClassVar[str] = "libzmq proxy"
    promise: ClassVar[str] = "none"
    settings: ClassVar[str] = (
        "`zmq_proxy` from PULL to PUSH in a process of its own; one message an event; no marks"
    )

    @contextlib.contextmanager
    def server(self) -> Iterator[Address]:
        with Child("libzmq's proxy", _proxy) as child:
            front, back, control = child.hear(5.0)
            try:
                yield Address(f"tcp://{HOST}:{front}", [child.pid], {"back": f"tcp://{HOST}:{back}"})
            finally:
                with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
                    socket.connect(f"tcp://{HOST}:{control}")
                    socket.send(b"TERMINATE")

    def receive(self, address: Address, inbox: Inbox) -> None:
        socket = _open(zmq.PULL)
        socket.connect(address.extra["back"])
        time.sleep(0.3)
        inbox.ready()
        drain(socket, lambda frame: inbox.handle(decode(frame)), inbox)

    def send(self, address: Address, load: Load) -> None:
        socket = _open(zmq.PUSH)
        socket.connect(address.url)
        time.sleep(0.3)
        load.begin()
        while (events := load.take()) is not None:
            if not events:
                time.sleep(load.rest())
                continue
            for _, payload in events:
                socket.send(encode(payload))
        socket.close(linger=5000)


def _open(kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    return socket


def _proxy(words: Words) -> None:
    front, back = _open(zmq.PULL), _open(zmq.PUSH)
    control = _open(zmq.PAIR)
    ports = [socket.bind_to_random_port(f"tcp://{HOST}") for socket in (front, back, control)]
    words.say(ports)
    zmq.proxy_steerable(front, back, None, control)
    for socket in (front, back, control):
        socket.close(linger=0)
