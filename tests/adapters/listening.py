"""A hand that holds the broker's sockets towards a real adapter."""

import time
from collections.abc import Callable
from typing import Any

import zmq
from tests.adapters.down import frame, header_of, welcome

from lanebus.adapters.server import ServerAdapter
from lanebus.adapters.sockets import Socket
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import LaneWelcome

DEADLINE_S = 20.0


class Hand:
    """Three listening sockets."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._context: zmq.Context[Socket] = zmq.Context()
        self.sockets: list[Socket] = []
        self.ports: list[int] = []
        self.routes: dict[Lane, bytes] = {}
        self.incarnation = 0
        for _ in LANES:
            socket = self._context.socket(zmq.ROUTER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVHWM, 4)
            socket.setsockopt(zmq.IPV6, 1 if ":" in host else 0)
            self.sockets.append(socket)
            self.ports.append(socket.bind_to_random_port(f"tcp://{host}"))

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.ports[0]}"

    def take(self, lane: Lane) -> Kind:
        """Wait for a frame of an adapter."""
        assert self.sockets[lane].poll(int(DEADLINE_S * 1000)), f"nothing comes on {lane.label}"
        self.routes[lane], data = self.sockets[lane].recv_multipart()
        header = header_of(data)
        self.incarnation = header.incarnation
        return header.kind

    def say(self, lane: Lane, *frames: bytes) -> None:
        self.sockets[lane].send_multipart([self.routes[lane], *frames])

    def welcome(self, adapter: ServerAdapter, **changes: Any) -> None:
        """Let an adapter come up."""
        adapter.start()
        turn_until(adapter, lambda: bool(self.sockets[Lane.CRITICAL].poll(0)))
        assert self.take(Lane.CRITICAL) is Kind.HELLO
        said = welcome(ports=self.ports, window_batches=4096, window_bytes=1 << 40, **changes)
        self.say(Lane.CRITICAL, frame(Kind.WELCOME, said, incarnation=self.incarnation))
        for lane in (Lane.NORMAL, Lane.LOW):
            turn_until(adapter, lambda: bool(self.sockets[lane].poll(0)))  # noqa: B023 - called at once
            assert self.take(lane) is Kind.HELLO
            self.say(
                lane, frame(Kind.WELCOME, LaneWelcome(lane=lane), lane=lane, incarnation=self.incarnation)
            )
        turn_until(adapter, lambda: adapter.state == "up")

    def close(self) -> None:
        for socket in self.sockets:
            socket.close()
        self._context.term()


def turn_until(adapter: ServerAdapter, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        adapter.wait(0.002)
