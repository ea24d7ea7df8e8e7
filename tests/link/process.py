"""One process on the link: an attachment core, and a driver that does what the real one does in each of its turns."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from tests.link.link import ADDRESS, Connection, Net, Reaches, encode

from lanebus.adapters.actions import Dial, Send, State
from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.dispatch import dispatch, requeue
from lanebus.adapters.event import Event, Unsettled
from lanebus.adapters.handler_times import HandlerTimes
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.requests import Request
from lanebus.adapters.session import SessionCore
from lanebus.adapters.terms import terms_of
from lanebus.wire.header import KIND_AT
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, TIMER_SLACK_S, Lane
from lanebus.wire.messages import PROCESS_BYTES, Assign, Join, Leave, Open, Register
from lanebus.wire.modes import Mode
from lanebus.wire.names import Role, full_name
from lanebus.wire.outcomes import Reason

HANDLING_S = 0.001
"""How long handlers take that use up a turn's time."""
SETTLED_S = 40.0
"""Longer than any grace period or recovery time in these tests."""


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
        core: the core that it drives, with its sessions; None for a new one.
        tick_s: the driver takes a turn this often and at no other time, as a game's loop does; None for a driver that
            waits for its sockets.
    """

    def __init__(
        self,
        net: Net,
        name: str,
        role: Role = Role.SERVER,
        *,
        core: AttachmentCore | None = None,
        tick_s: float | None = None,
        outbox_bytes: int = 1 << 20,
    ) -> None:
        self.net = net
        self.name = full_name(name, role)
        process = net.random.randbytes(PROCESS_BYTES)
        self.core = core or AttachmentCore(self.name, role, process, [ADDRESS])
        self._times = HandlerTimes(self.name)
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
        self.heard: Counter[int] = Counter()
        """Frames that it has read, by kind."""
        self.failed: list[str] = []
        self.outbox_bytes = outbox_bytes
        self._indexes = count(1)
        self._registrations: dict[str, Request] = {}
        self._joins: dict[tuple[str, str], Request] = {}
        self._opens: dict[int, Request] = {}
        if core is None and role is not Role.GATEWAY:
            self._add_session(0, self.name, process)
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
        mode: Mode = "reliable",
        key: str | int | None = None,
        ttl_ms: float | None = None,
        present_process: bool = False,
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
            terms_of(
                mode,
                key,
                ttl_ms,
                self.net.now,
                lane,
                topic,
                to,
                list(exclude),
                present_process=present_process,
            ),
        )
        self.core.outgoing.put(event)
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
        requeue(self.core, core.unhandled.take(core.handlers.match))
        self.wake()

    def register(self, service: str, topics: list[str], **facts: Any) -> None:
        """Be an instance of a service, with what else its registration says."""
        request = Request(
            Kind.REGISTER,
            lambda number: Register(request=number, service=service, topics=topics, **facts),
            "register",
        )
        self.core.requests.withdraw(self._registrations.get(service))
        self._registrations[service] = request
        self._request(request)

    def join(self, group: str, member: str | None = None) -> None:
        """Put a peer into a group; itself by default."""
        who = member or self.name
        request = Request(
            Kind.JOIN,
            lambda number: Join(request=number, group=group, member=who),
            "join",
            ("member", group, who),
        )
        self._request(request, replaces=self._joins.get((group, who)))
        self._joins[group, who] = request

    def leave(self, group: str, member: str | None = None) -> None:
        """Take a peer out of a group."""
        who = member or self.name
        self.core.requests.withdraw(self._joins.pop((group, who), None))
        self._request(
            Request(
                Kind.LEAVE,
                lambda number: Leave(request=number, group=group, member=who),
                "leave",
                ("member", group, who),
            ),
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
            Kind.OPEN,
            lambda number: Open(request=number, index=index, name=name, process=process),
            "open",
            ("session", index),
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
        core.begin_turn(now)
        self._act()
        self._read()
        if self.events_per_turn != 0 and core.has_work(now):
            dispatch(core, self._clock(now), now + HANDLING_S, self._times)
        self._tell()
        core.end_turn(now, now + (self.tick_s or 0.0))
        wanted = core.next_timer()
        assert core.has_work(now) or wanted is None or wanted - now > TIMER_SLACK_S * 0.999, (
            f"{self.name} would take turn after turn: the next one is wanted in {wanted - now:g} s"
        )
        self._act()
        if self.stalled:
            return
        if self.tick_s is not None:
            self.wakes_at = now + self.tick_s
        else:
            self.wakes_at = now + 0.001 if core.has_work(now) else core.next_timer()

    def _clock(self, now: float) -> Callable[[], float]:
        if self.events_per_turn is None:
            return lambda: now
        # It is looked at once in front of the handlers, and once after each.
        looks = iter([now] * self.events_per_turn)
        return lambda: next(looks, now + HANDLING_S)

    def _read(self) -> None:
        core = self.core
        for lane in LANES:
            connection = self.connections[lane]
            if connection is None:
                continue
            unread = self.unread[lane]
            while unread:
                frame = unread.popleft()
                self.heard[frame[KIND_AT]] += 1
                core.receive(lane, frame, self.net.now)
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

    def _request(self, request: Request, *, keep: bool = True, replaces: Request | None = None) -> None:
        self.core.request(request, keep=keep, replaces=replaces)
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


def settle(*peers: Peer, within_s: float = SETTLED_S) -> None:
    """Wait until every event of these peers is settled."""
    peers[0].net.run_until(
        lambda: (
            not any(session.outbox.in_flight for peer in peers for session in peer.core.sessions.values())
        ),
        within_s,
        "everything is settled",
    )
