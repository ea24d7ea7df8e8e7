"""Real cores on a link that is not: frames take a time, connections can be cut, and the clock is a number.

A `Net` carries the frames between one broker's core and the cores of its peers. A `Peer` is one process: an attachment
core, and a driver that does what the real one does in each of its turns.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import count
from random import Random
from typing import Any

import msgspec

from lanebus.adapters.actions import Dial, Send, State
from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.dispatch import dispatch, requeue
from lanebus.adapters.event import Event, Unsettled
from lanebus.adapters.outbox import OutEvent
from lanebus.adapters.requests import Request
from lanebus.adapters.session import SessionCore
from lanebus.broker.core import BrokerCore
from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import PROCESS_BYTES, Assign, Join, Leave, Open, Register
from lanebus.wire.names import Role, full_name
from lanebus.wire.outcomes import Reason

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

    def start_broker(self) -> None:
        """A new broker, which knows nothing of an earlier one."""
        self.broker = BrokerCore(
            self.config, epoch=self.random.randbytes(16), random=self.random.randbytes, started=self.now
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


class Handled:
    """What a handler got."""

    __slots__ = ("lane", "number", "payload", "redelivered", "sender", "topic")

    def __init__(self, event: Event) -> None:
        self.sender = event.sender
        self.lane = event.lane
        self.number = event.id
        self.topic = event.topic
        self.payload = event.payload
        self.redelivered = event.redelivered

    def __repr__(self) -> str:
        return f"<{self.topic} #{self.number} from {self.sender} on {self.lane.label}: {self.payload!r}>"


class Peer:
    """One process: a core, its sessions, and a driver of its own.

    Args:
        tick_s: the driver takes a turn this often and at no other time, as a game's loop does; None for a driver that
            waits for its sockets.
    """

    def __init__(
        self,
        net: Net,
        name: str,
        role: Role = Role.SERVER,
        *,
        tick_s: float | None = None,
        outbox_bytes: int = 1 << 20,
    ) -> None:
        self.net = net
        self.name = full_name(name, role)
        self.core = AttachmentCore(self.name, role, net.random.randbytes(PROCESS_BYTES), [ADDRESS])
        self.connections: list[Connection | None] = [None for _ in LANES]
        self.unread: list[deque[bytes]] = [deque() for _ in LANES]
        """Frames that have arrived and that the driver has not read."""
        self.tick_s = tick_s
        self.reaches = Reaches.BROKER
        self.stalled = False
        """Whether the program does not poll."""
        self.events_per_turn: int | None = None
        """How many events' handlers a turn has time for; None for all."""
        self.wakes_at: float | None = None
        self.handled: dict[str, list[Handled]] = {}
        """By the name of the session that got them."""
        self.program: Callable[[SessionCore, Event], None] | None = None
        """Called for every event that is handled."""
        self.told: list[tuple[str, Unsettled]] = []
        self.failed: list[str] = []
        self.outbox_bytes = outbox_bytes
        self._indexes = count(1)
        self._registrations: dict[str, Request] = {}
        self._joins: dict[tuple[str, str], Request] = {}
        self._opens: dict[int, Request] = {}
        if role is not Role.GATEWAY:
            self._add_session(0, self.name, self.core.process)
        net.peers.append(self)

    # What the program does

    def start(self) -> Peer:
        """Begin to connect."""
        self.core.start(self.net.now)
        self._act()
        self.wake()
        return self

    def up(self) -> Peer:
        """Connect, and wait until all links are there and all requests are answered."""
        self.start()
        self.net.run_until(
            lambda: self.core.state is State.UP and not len(self.core.requests), 10.0, f"{self.name} is up"
        )
        return self

    def session(self, index: int = 0) -> SessionCore:
        """A session by its index."""
        return self.core.sessions[index]

    def send(
        self,
        to: str | list[str] | None,
        payload: Any = None,
        *,
        topic: str = "t",
        lane: Lane = Lane.NORMAL,
        session: int = 0,
        exclude: tuple[str, ...] = (),
        flush: bool = False,
    ) -> OutEvent:
        """What `send` of an adapter does."""
        event = self.core.sessions[session].outbox.accept(
            session,
            lane,
            topic,
            to,
            list(exclude),
            encode(payload),
            self.net.now,
            self.core.requests.last,
            True,
        )
        self.core.send(event)
        if flush:
            self.flush()
        else:
            self.wake()
        return event

    def flush(self) -> None:
        """Everything sent leaves now."""
        self.core.flush(self.net.now)
        self._act()
        self.wake()

    def on(self, topic: str, function: Callable[[Event], None], *, session: int = 0) -> None:
        """What `on` of an adapter does."""
        core = self.core.sessions[session]
        core.handlers.add(topic, function)
        waiting = list(core.unhandled)
        core.unhandled.clear()
        requeue(self.core, waiting)
        self.wake()

    def register(self, service: str, topics: list[str]) -> None:
        """Be an instance of a service."""
        request = Request(
            Kind.REGISTER, lambda number: Register(request=number, service=service, topics=topics), "register"
        )
        self.core.requests.withdraw(self._registrations.get(service))
        self._registrations[service] = request
        self._request(request)

    def join(self, group: str, member: str | None = None) -> None:
        """Put a peer into a group; itself by default."""
        who = member or self.name
        request = Request(Kind.JOIN, lambda number: Join(request=number, group=group, member=who), "join")
        self.core.requests.withdraw(self._joins.get((group, who)))
        self._joins[group, who] = request
        self._request(request)

    def leave(self, group: str, member: str | None = None) -> None:
        """Take a peer out of a group."""
        who = member or self.name
        self.core.requests.withdraw(self._joins.pop((group, who), None))
        self._request(
            Request(Kind.LEAVE, lambda number: Leave(request=number, group=group, member=who), "leave"),
            keep=False,
        )

    def assign(self, player: str, service: str, instance: str) -> None:
        """Bind a player to an instance."""
        self._request(
            Request(
                Kind.ASSIGN,
                lambda number: Assign(request=number, player=player, service=service, instance=instance),
                "assign",
            )
        )

    def open(self, player: str) -> int:
        """Open a player's session; its index."""
        index = next(self._indexes)
        name = full_name(player, Role.CLIENT)
        process = self.net.random.randbytes(PROCESS_BYTES)
        self._opens[index] = Request(
            Kind.OPEN, lambda number: Open(request=number, index=index, name=name, process=process), "open"
        )
        self._request(self._opens[index])
        self._add_session(index, name, process)
        return index

    def close_session(self, index: int) -> None:
        """End a player's session, as the gateway's adapter does."""
        session = self.core.sessions[index]
        session.closed = True
        left = session.outbox.abandon(Reason.CLOSED)
        self.core.told.extend((session, each) for each in left)
        self.core.requests.withdraw(self._opens.pop(index))
        self.core.end_session(session)
        self.wake()

    def read(self, index: int, reading: bool) -> None:
        """A player behind the gateway stops reading, or goes on."""
        session = self.core.sessions[index]
        if reading and not session.reading:
            waiting = list(session.unread)
            session.unread.clear()
            requeue(self.core, waiting)
            self.wake()
        session.reading = reading

    def close(self) -> None:
        """Say goodbye."""
        self._read()
        for session in self.core.sessions.values():
            self.core.told.extend((session, each) for each in session.outbox.abandon(Reason.CLOSED))
        self._tell()
        self.core.close("closed")
        self._act()
        self.wakes_at = None
        self.net.peers.remove(self)

    def kill(self) -> None:
        """The process is gone: no goodbye."""
        self._hang_up()
        self.stalled = True
        self.wakes_at = None
        self.net.peers.remove(self)

    # Its links

    def cut(self, *, peer_after_s: float | None = 0.0, broker_after_s: float | None = 0.0) -> None:
        """Cut all its connections; see `Net.cut`."""
        for connection in self.connections:
            if connection is not None:
                self.net.cut(connection, peer_after_s=peer_after_s, broker_after_s=broker_after_s)

    def stall(self) -> None:
        """The program stops polling."""
        self.stalled = True
        self.wakes_at = None

    def go_on(self) -> None:
        """The program polls again."""
        self.stalled = False
        self.wakes_at = self.net.now

    # Its driver

    def wake(self) -> None:
        """There is something for its next turn."""
        if not self.stalled:
            tick_s = self.tick_s
            self.wakes_at = self.net.now if tick_s is None else self.net.now // tick_s * tick_s + tick_s

    def turn(self) -> None:
        """One turn, as the real driver does it."""
        core = self.core
        now = self.net.now
        self._read()
        if self.events_per_turn != 0:
            dispatch(core, self._clock(now), float("inf"))
        self._tell()
        core.end_turn(now, now + (self.tick_s or 0.0))
        self._act()
        if self.stalled:
            return
        if self.tick_s is not None:
            self.wakes_at = now + self.tick_s
        else:
            self.wakes_at = now + 0.001 if any(core.incoming.arrivals) else core.next_timer()

    def _clock(self, now: float) -> Callable[[], float]:
        if self.events_per_turn is None:
            return lambda: now
        # It is looked at once in front of the handlers, and once after each.
        looks = iter([now] * self.events_per_turn)
        return lambda: next(looks, float("inf"))

    def _read(self) -> None:
        core = self.core
        for lane in LANES:
            connection = self.connections[lane]
            if connection is None:
                continue
            unread = self.unread[lane]
            while unread:
                core.receive(lane, unread.popleft(), self.net.now)
            if connection.peer_knows:
                core.lost(self.net.now)
                self._act()
                return

    def _tell(self) -> None:
        told, self.core.told = self.core.told, []
        self.told.extend((session.name, unsettled) for session, unsettled in told)
        failed, self.core.requests.failed = self.core.requests.failed, []
        self.failed.extend(f"{each.what}: {each.detail}" for each in failed)

    def _act(self) -> None:
        for action in self.core.take():
            if isinstance(action, Send):
                connection = self.connections[action.lane]
                if connection is not None:
                    self.net.send_up(connection, action.frame)
            elif isinstance(action, Dial):
                self.unread[action.lane].clear()
                self.connections[action.lane] = self.net.dial(self, action.lane)
            else:
                self._hang_up()

    def _hang_up(self) -> None:
        for lane in LANES:
            connection = self.connections[lane]
            if connection is not None:
                self.net.hang_up(connection)
                self.connections[lane] = None
            self.unread[lane].clear()

    def _request(self, request: Request, *, keep: bool = True) -> None:
        self.core.request(request, keep=keep)
        self.wake()

    def _add_session(self, index: int, name: str, process: bytes) -> None:
        session = self.core.open_session(index, name, process, outbox_bytes=self.outbox_bytes, strict=False)
        handled = self.handled.setdefault(name, [])

        def handle(event: Event) -> None:
            handled.append(Handled(event))
            if self.program is not None:
                self.program(session, event)

        self.on("t", handle, session=index)

    def __repr__(self) -> str:
        return f"<Peer {self.name} {self.core.state.value}>"


def payloads(peer: Peer, name: str | None = None) -> Iterator[Any]:
    """The payloads that a peer, or one session of a gateway, has handled, in order."""
    return (each.payload for each in peer.handled[name or peer.name])
