"""Real cores on a link that is not: frames take a time, connections can be cut, and the clock is a number.

A `Net` carries the frames between one broker's core and the cores of its peers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import Enum
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from lanebus.broker.core import BrokerCore
from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.lanes import LANES, Lane

if TYPE_CHECKING:
    from tests.link.process import Peer

ADDRESS = "tcp://broker:1"
PORTS = [1, 2, 3]
HEARTBEAT_S = 15.0
"""How long after its last sign of life ZeroMQ closes a connection at either end."""
TURNS_AT_ONE_INSTANT = 1000
"""More turns of one core without time passing are no progress: a driver would spin."""

encode = msgspec.msgpack.encode


class Reaches(Enum):
    """What answers when a peer dials."""

    BROKER = "broker"
    REFUSAL = "refusal"
    """A machine without a broker."""
    NOTHING = "nothing"
    """A network that swallows everything."""


class Connection:
    """One peer's connection on one lane, from its dial on."""

    __slots__ = ("broker", "broker_knows", "cut", "down_at", "lane", "peer", "peer_knows", "route", "up_at")

    def __init__(self, peer: Peer, lane: Lane, route: bytes, broker: BrokerCore | None) -> None:
        self.peer = peer
        self.lane = lane
        self.route = route
        self.broker = broker
        """Who listens; None if nobody does."""
        self.cut = broker is None
        """Nothing gets through any more, in either direction; what was under way is lost."""
        self.peer_knows = False
        """The peer's driver sees that the connection is gone."""
        self.broker_knows = False
        """The broker's next frame on it raises."""
        self.up_at = 0.0
        self.down_at = 0.0


class Net:
    """A broker, its peers, and what is under way between them.

    Args:
        random: decides what a real network decides: how long a frame takes, and what is lost with a connection.
    """

    def __init__(
        self, config: Config | None = None, *, delay_s: float = 0.0005, random: Random | None = None
    ) -> None:
        self.config = config or Config(sessions=SessionsConfig(recovery_s=0.0))
        self.delay_s = delay_s
        self.jitter_s = 0.0
        self.slower_s = [0.0 for _ in LANES]
        """By lane: what a frame takes beyond `delay_s`."""
        self.loss = 0.5
        """How likely what a peer had sent is lost with the connection that it closes."""
        self.random = random or Random(1)
        self.watch: Callable[[Peer, bytes], None] | None = None
        """Sees every frame that a peer sends."""
        self.now = 1000.0
        self.steps = 0
        self.peers: list[Peer] = []
        self._count = count(1)
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._routes: dict[tuple[Lane, bytes], Connection] = {}
        self._spins = 0
        self.broker: BrokerCore | None = None
        self.start_broker()

    @property
    def core(self) -> BrokerCore:
        """The broker that is running."""
        assert self.broker is not None, "the broker is down"
        return self.broker

    # The broker's life

    def start_broker(self, *, age_s: float = 0.0) -> None:
        """A new broker, which knows nothing of an earlier one.

        Args:
            age_s: how long ago it has started, without anybody.
        """
        self.broker = BrokerCore(
            self.config,
            epoch=self.random.randbytes(16),
            random=self.random.randbytes,
            started=self.now - age_s,
        )
        self.broker.ports = PORTS

    def kill_broker(self) -> None:
        """The broker is gone from one moment to the next; its peers see their connections end."""
        self.broker = None
        for connection in list(self._routes.values()):
            self.cut(connection)

    def restart_broker(self, *, down_s: float = 0.2) -> None:
        """The broker dies, and another one starts on the same ports."""
        self.kill_broker()
        self.run(down_s)
        self.start_broker()

    # Connections

    def dial(self, peer: Peer, lane: Lane) -> Connection:
        """A fresh connection; one to nobody is seen to fail a moment later."""
        route = next(self._count).to_bytes(5, "big")
        connection = Connection(peer, lane, route, self.broker if peer.reaches is Reaches.BROKER else None)
        if connection.broker is not None:
            self._routes[lane, route] = connection
        else:
            self.at(
                self.delay_s if peer.reaches is Reaches.REFUSAL or self.broker is None else HEARTBEAT_S,
                self._peer_learns,
                connection,
            )
        return connection

    def cut(
        self, connection: Connection, *, peer_after_s: float | None = 0.0, broker_after_s: float | None = 0.0
    ) -> None:
        """End a connection; what is under way is lost.

        Args:
            peer_after_s: when the peer learns of it; None for a path that swallows frames: when a heartbeat is missed.
            broker_after_s: when the broker would learn of it by sending; None likewise.
        """
        connection.cut = True
        self.at(HEARTBEAT_S if peer_after_s is None else peer_after_s, self._peer_learns, connection)
        self.at(HEARTBEAT_S if broker_after_s is None else broker_after_s, self._broker_learns, connection)

    def hang_up(self, connection: Connection) -> None:
        """The peer closes a connection; what it had sent may arrive or not, and the broker learns of it later."""
        connection.peer_knows = True
        if self.random.random() < self.loss:
            connection.cut = True
        after = max(connection.up_at - self.now, 0.0) + self._delay(connection.lane)
        self.at(after, self._broker_learns, connection)

    def _peer_learns(self, connection: Connection) -> None:
        connection.peer_knows = True
        if connection.peer.connections[connection.lane] is connection:
            connection.peer.wake()

    def _broker_learns(self, connection: Connection) -> None:
        connection.broker_knows = True
        connection.cut = True
        self._routes.pop((connection.lane, connection.route), None)

    # Frames

    def send_up(self, connection: Connection, frame: bytes) -> None:
        """A peer has sent a frame."""
        if self.watch is not None:
            self.watch(connection.peer, frame)
        if not connection.cut:
            connection.up_at = max(connection.up_at, self.now + self._delay(connection.lane))
            self._push(connection.up_at, self._arrive_up, connection, frame)

    def _arrive_up(self, connection: Connection, frame: bytes) -> None:
        broker = connection.broker
        if connection.cut or broker is None or broker is not self.broker:
            return
        broker.receive(connection.lane, connection.route, frame, self.now)
        self.broker_turn()

    def _arrive_down(self, connection: Connection, frame: bytes) -> None:
        peer = connection.peer
        if not connection.cut and peer.connections[connection.lane] is connection:
            peer.unread[connection.lane].append(frame)
            peer.wake()

    def broker_turn(self) -> None:
        """What the broker's driver does after a portion of frames."""
        broker = self.core
        broker.end_turn(self.now)
        for lane, route, frame in broker.take():
            connection = self._routes.get((lane, route))
            if connection is None:
                broker.lost(lane, route, self.now)
            elif not connection.cut:
                connection.down_at = max(connection.down_at, self.now + self._delay(connection.lane))
                self._push(connection.down_at, self._arrive_down, connection, frame)

    def _delay(self, lane: Lane) -> float:
        jitter_s = self.random.random() * self.jitter_s if self.jitter_s else 0.0
        return self.delay_s + self.slower_s[lane] + jitter_s

    # Time

    def at(self, after_s: float, function: Callable[..., None], *arguments: Any) -> None:
        """Call `function` when some time has passed."""
        self._push(self.now + after_s, function, *arguments)

    def _push(self, when: float, function: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._heap, (when, next(self._count), function, arguments))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(lambda: False, seconds, "")

    def run_until(self, reached: Callable[[], bool], seconds: float, what: str) -> None:
        """Let time pass until `reached`.

        Raises:
            AssertionError: it was not within `seconds`; not raised for an empty `what`.
        """
        end = self.now + seconds
        while not reached():
            if not self._step(end):
                assert not what or reached(), f"not reached within {seconds:g} s: {what}"
                return

    def _step(self, end: float) -> bool:
        """Do the next thing that happens until `end`; False if there is none, and then it is `end`."""
        heap = self._heap
        when = heap[0][0] if heap else float("inf")
        who: Peer | None = None
        timer = self.broker.next_timer() if self.broker is not None else None
        brokers = timer is not None and timer < when
        if timer is not None and brokers:
            when = timer
        for peer in self.peers:
            if peer.wakes_at is not None and peer.wakes_at < when:
                when = peer.wakes_at
                who = peer
        if when > end:
            self.now = end
            return False
        self.steps += 1
        if when > self.now:
            self.now = when
            self._spins = 0
        else:
            self._spins += 1
            assert self._spins < TURNS_AT_ONE_INSTANT * (1 + len(self.peers)), f"{who or 'the broker'} spins"
        if who is not None:
            who.turn()
        elif brokers:
            self.broker_turn()
        else:
            _, _, function, arguments = heapq.heappop(heap)
            function(*arguments)
        return True
