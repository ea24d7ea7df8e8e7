"""An attachment without I/O: frames, sends and the time go in; dials, frames and the next wanted time come out.

core.start(now)                    begin to connect
core.receive(lane, frame, now)     for every frame that arrives
core.lost(now)                     when the driver sees that a connection is gone
core.end_turn(now, next_turn)      after every turn, and when `core.next_timer()` has come
core.take()                        what the driver is to do, in order
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from lanebus.adapters.errors import Closed, HelloRefused, LanebusError
from lanebus.adapters.event import Unsettled
from lanebus.adapters.inbox import Arrivals
from lanebus.adapters.outbox import OutEvent
from lanebus.adapters.outlane import OutLane, Window
from lanebus.adapters.retry import Backoff
from lanebus.adapters.session import SessionCore
from lanebus.wire.batches import TICKS_PER_S, DownBatch, Source, TargetedBatch, age_s, decode_down
from lanebus.wire.bodies import encode_body, open_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import VERSION, Header, decode_header, encode_header
from lanebus.wire.kinds import LEGAL, Kind, LinkState, Side
from lanebus.wire.lanes import LANES, Lane, LaneTiming
from lanebus.wire.messages import (
    Ack,
    Bye,
    Close,
    Done,
    ErrorMessage,
    Hello,
    LaneHello,
    LaneWelcome,
    Limits,
    Pause,
    Ping,
    Pong,
    Settle,
    Settlement,
    Welcome,
    check_settlement,
    decode_message,
)
from lanebus.wire.names import Role

log = logging.getLogger("lanebus.adapters")

HELLO_TIMEOUT_S = 2.0
MAX_SOURCES = 65_536
"""Senders whose names are remembered; past it the oldest are forgotten, and named again after a reconnect."""
MAX_SAME_ERRORS = 5
"""Links in a row that the broker may end with the same error before the adapter gives up."""
MAX_REQUESTS_OUT = 128
"""Requests that may be under way at once; more wait their turn."""
MAX_BOOKS = 512
"""Books in one ping."""


class State(Enum):
    """Where an adapter is in its life."""

    NEW = "new"
    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"
    """Its links are lost; it comes back by itself."""
    CLOSED = "closed"


class Dial(NamedTuple):
    """The driver is to make a fresh socket for a lane and connect it."""

    lane: Lane
    address: str


class Send(NamedTuple):
    """The driver is to send a frame."""

    lane: Lane
    frame: bytes


class HangUp(NamedTuple):
    """The driver is to close all sockets; `linger_s` seconds are left for what was sent last."""

    linger_s: float


Action = Dial | Send | HangUp


class Request(NamedTuple):
    """A change of state that the broker is asked for; made into a message when its number is known."""

    kind: Kind
    make: Callable[[int], Any]
    what: str


class AttachmentCore:
    """One process' three links, and the sessions that speak over them."""

    def __init__(self, name: str, role: Role, process: bytes, brokers: list[str]) -> None:
        self.name = name
        self.role = role
        self.process = process
        self.state = State.NEW
        self.failure: LanebusError | None = None
        """Why it is closed, where that was not the program's wish."""
        self.limits = Limits()
        self.sessions: dict[int, SessionCore] = {}
        self.arrivals: Arrivals = tuple(deque() for _ in LANES)
        """By lane: events that wait for a handler."""
        self.told: list[tuple[SessionCore, Unsettled]] = []
        """Ends other than delivered; the driver takes them and tells the program."""
        self.assertions: list[Request] = []
        """Requests to make again of a broker that does not know this attachment."""
        self.request_failed: list[tuple[str, int, str]] = []
        """Requests that the broker refused: what, error number, text. The driver takes them."""
        self.control_messages_out = self.control_bytes_out = 0
        self.control_messages_in = self.control_bytes_in = 0
        self.reconnects = -1
        self.rtt_s: float | None = None
        self.brokers = brokers
        self._broker = 0
        self._window = Window()
        self.lanes = [OutLane(lane, self._window) for lane in LANES]
        self._actions: list[Action] = []
        self._incarnation = 0
        self._ready = [False for _ in LANES]
        self._received = [0 for _ in LANES]
        self._acked = [0 for _ in LANES]
        self._token = b""
        self._epoch = b""
        self._backoff = Backoff()
        self._retry_at: float | None = None
        self._give_up_at: float | None = None
        self._heard = 0.0
        self._next_ping: float | None = None
        self._control_due: float | None = None
        self._control_interval_s = 0.2
        self._ping_interval_s = 2.0
        self._lease_s = 10.0
        self._credit_bytes = 1 << 20
        self._offset_s = 0.0
        self._offset_rtt_s = float("inf")
        self._hello_at = 0.0
        self._sources: dict[int, tuple[str, bytes]] = {}
        self._last_request = 0
        self._sent_request = 0
        self._pending: dict[int, Request] = {}
        self._paused: dict[tuple[int, Lane, str], list[OutEvent]] = {}
        self._errors: dict[int, int] = {}
        self._to_report: set[int] = set()
        self._handlers: dict[Kind, Callable[[Lane, Any, float], None]] = {
            Kind.WELCOME: self._welcomed,
            Kind.ACK: self._ack,
            Kind.SETTLE: self._settle,
            Kind.PONG: self._pong,
            Kind.DONE: self._done,
            Kind.PAUSE: self._pause,
            Kind.UNPAUSE: self._unpause,
            Kind.BYE: self._bye,
            Kind.ERROR: self._error,
        }

    # The program's side

    def start(self, now: float) -> None:
        """Begin to connect; no-op if it has begun."""
        if self.state is State.NEW:
            self._attempt(now)

    def open_session(
        self, index: int, name: str, process: bytes, *, outbox_bytes: int, strict: bool
    ) -> SessionCore:
        """Add a session; its events and settlements go over this attachment."""
        session = SessionCore(
            index,
            name,
            process,
            arrivals=self.arrivals,
            to_report=self._to_report,
            outbox_bytes=outbox_bytes,
            strict=strict,
        )
        self.sessions[index] = session
        return session

    def end_session(self, session: SessionCore) -> None:
        """Close a gateway's session; what it has queued does not leave any more."""
        index = session.index
        for lane in self.lanes:
            lane.discard(index)
        for key in [key for key in self._paused if key[0] == index]:
            del self._paused[key]
        for arrivals in self.arrivals:
            kept = [arrival for arrival in arrivals if arrival[0].inbox.session != index]
            arrivals.clear()
            arrivals.extend(kept)
        books = session.book_figures()
        del self.sessions[index]
        if self.state is not State.CLOSED:
            closing = Request(
                Kind.CLOSE,
                lambda number: Close(request=number, index=index, books=books),
                f"closing {session.name}",
            )
            self._issue(closing)

    def send(self, event: OutEvent) -> None:
        """Queue an accepted event."""
        if self._paused:
            held = self._paused.get((event.session, event.lane, _pause_key(event.to)))
            if held is not None:
                held.append(event)
                return
        self.lanes[event.lane].put(event)

    def request(self, request: Request, *, keep: bool = True) -> int:
        """Ask the broker for a change of state, and return the request's number.

        Args:
            keep: whether to ask again after the broker has forgotten this attachment.
        """
        self._check_open()
        if keep:
            self.assertions.append(request)
        return self._issue(request)

    def _issue(self, request: Request) -> int:
        self._last_request += 1
        self._pending[self._last_request] = request
        self._send_requests()
        return self._last_request

    def _send_requests(self) -> None:
        # A burst of requests, such as a gateway's opens, must not fill the pipe to the broker.
        if not self._ready[Lane.CRITICAL]:
            return
        while self._sent_request < self._last_request:
            number = self._sent_request + 1
            if number - next(iter(self._pending), number) >= MAX_REQUESTS_OUT:
                return
            request = self._pending[number]
            self._sent_request = number
            self._control(request.kind, request.make(number))

    @property
    def last_request(self) -> int:
        """The number of the last request; events sent now depend on it."""
        return self._last_request

    @property
    def requests_pending(self) -> int:
        """Requests that the broker has not answered."""
        return len(self._pending)

    def flush(self, now: float) -> None:
        """Everything queued leaves now, as far as the window allows."""
        for lane in self.lanes:
            if lane.queue:
                self._flush(lane, now)

    def end_turn(self, now: float, next_turn: float) -> None:
        """Do what is due, and let leave what should not wait.

        Args:
            next_turn: when the next turn is expected; what would miss its hold until then leaves now.
        """
        self._timers(now)
        for lane in self.lanes:
            due = lane.due
            if due is not None and (due <= now or lane.queue[0].sent_at + lane.timing.hold_s <= next_turn):
                self._flush(lane, now)
        if self._ready[Lane.CRITICAL]:
            self._plan_control(now)
            if self._control_due is not None and self._control_due <= now:
                self._send_control()

    def next_timer(self) -> float | None:
        """When `end_turn` is next wanted."""
        times = [
            self._retry_at,
            self._give_up_at,
            self._next_ping,
            self._control_due if self._ready[Lane.CRITICAL] else None,
        ]
        if self.state is State.UP:
            times.extend(lane.due for lane in self.lanes if lane.queue)
        return min((time for time in times if time is not None), default=None)

    def take(self) -> list[Action]:
        """What the driver is to do, in order, each once."""
        actions, self._actions = self._actions, []
        return actions

    def close(self, now: float, reason: str) -> None:
        """Say goodbye, with the final books, and hang up."""
        if self.state is State.CLOSED:
            return
        if self._ready[Lane.CRITICAL]:
            self._send_control()
            books = [(index, session.book_figures()) for index, session in self.sessions.items()]
            self._control(Kind.BYE, Bye(reason=reason, books=books))
        self._actions.append(HangUp(linger_s=1.0))
        self.state = State.CLOSED
        self._ready = [False for _ in LANES]
        self._retry_at = self._give_up_at = self._next_ping = self._control_due = None

    def age_s(self, stamp: int, now: float) -> float:
        """Seconds since the event stamped so was sent."""
        return max(0.0, age_s(stamp, now + self._offset_s))

    def _check_open(self) -> None:
        if self.state is State.CLOSED:
            raise self.failure or Closed(f"{self.name} is closed")

    # Connecting

    def _attempt(self, now: float) -> None:
        self.state = State.CONNECTING if self.state is State.NEW else self.state
        self._incarnation += 1
        self._ready = [False for _ in LANES]
        self._received = [0 for _ in LANES]
        self._acked = [0 for _ in LANES]
        self._retry_at = None
        self._give_up_at = now + HELLO_TIMEOUT_S
        self._hello_at = now
        self._actions.append(Dial(Lane.CRITICAL, self.brokers[self._broker]))
        hello = Hello(
            name=self.name,
            role=self.role,
            process=self.process,
            versions=(VERSION, VERSION),
            compressions=["lz4"],
            token=self._token,
        )
        self._control(Kind.HELLO, hello)

    def lost(self, now: float, why: str = "the connection is gone") -> None:
        """A link is lost: hang up all three, and try again when the backoff says so."""
        if self.state in (State.NEW, State.CLOSED) or self._retry_at is not None:
            return
        if self.state is State.UP:
            log.warning("= %s lost the broker: %s", self.name, why)
        if self.state is not State.CONNECTING:
            self.state = State.DOWN
        self._ready = [False for _ in LANES]
        self._actions.append(HangUp(linger_s=0.0))
        self._give_up_at = self._next_ping = self._control_due = None
        self._broker = (self._broker + 1) % len(self.brokers)
        self._retry_at = now + self._backoff.next_wait_s()

    def _welcomed(self, lane: Lane, message: Welcome | LaneWelcome, now: float) -> None:
        self._ready[lane] = True
        if isinstance(message, Welcome):
            self._adopt(message, now)
            host = message.host or urlsplit(self.brokers[self._broker]).hostname or ""
            shown = f"[{host}]" if ":" in host else host
            for other in (Lane.NORMAL, Lane.LOW):
                self._actions.append(Dial(other, f"tcp://{shown}:{message.ports[other]}"))
                body = encode_body(LaneHello(token=self._token))
                self._put(other, Kind.HELLO, body)
            self._resume(message.resumed)
        if all(self._ready):
            self.state = State.UP
            self.reconnects += 1
            self._backoff.succeeded()
            self._give_up_at = None
            self._next_ping = now

    def _adopt(self, welcome: Welcome, now: float) -> None:
        self._token = welcome.token
        self.limits = welcome.limits
        self._window.batches = welcome.window_batches
        self._window.bytes = welcome.window_bytes
        self._window.batch_bytes = welcome.batch_bytes
        self._window.batch_events = welcome.limits.batch_events
        self._window.threshold_bytes = welcome.compression_threshold_bytes
        for lane, interval_ms, hold_ms in zip(
            self.lanes, welcome.intervals_ms, welcome.holds_ms, strict=True
        ):
            lane.timing = LaneTiming(interval_ms / 1e3, hold_ms / 1e3)
        self._control_interval_s = welcome.control_interval_ms / 1e3
        self._ping_interval_s = welcome.ping_interval_ms / 1e3
        self._lease_s = welcome.lease_ms / 1e3
        self._credit_bytes = welcome.credit_bytes
        if welcome.epoch != self._epoch:
            self._epoch = welcome.epoch
            self._offset_rtt_s = float("inf")
        self._measure(welcome.clock, now - self._hello_at, now)

    def _resume(self, resumed: bool) -> None:
        # Numbers make sending again harmless: the broker and the receivers know what they have seen.
        for held in self._paused.values():
            for event in held:
                self.lanes[event.lane].put(event)
        self._paused.clear()
        if resumed:
            self._sent_request = next(iter(self._pending), self._last_request + 1) - 1
            self._send_requests()
            for lane in self.lanes:
                lane.relink(sorted(lane.unsent(), key=_order))
            for session in self.sessions.values():
                session.inbox.report_again()
            return
        self._sources.clear()
        unanswered = [request for request in self._pending.values() if request not in self.assertions]
        self._last_request = self._sent_request = 0
        self._pending.clear()
        for request in [*self.assertions, *unanswered]:
            self._issue(request)
        for session in self.sessions.values():
            session.inbox.forget_origins()
            session.books_reported = None
        for lane in self.lanes:
            events = [
                event for session in self.sessions.values() for event in session.outbox.events(lane.lane)
            ]
            for event in events:
                event.after = self._last_request
            lane.relink(events)

    # Frames

    def receive(self, lane: Lane, frame: bytes, now: float, *, more: bool = False) -> None:
        """Take one frame of a lane's socket; a malformed one ends the links."""
        try:
            if more:
                raise ProtocolError(ErrorNumber.SEVERAL_FRAMES, "a message is one frame")
            header = decode_header(frame, max_raw_bytes=self.limits.raw_bytes)
            if header.incarnation != self._incarnation and header.incarnation:
                return
            state = LinkState.READY if self._ready[lane] else LinkState.NEW
            if header.lane is not lane or header.kind not in LEGAL[Side.BROKER][state][lane]:
                raise ProtocolError(
                    ErrorNumber.NOT_LEGAL_HERE, f"{header.kind.label} on a {state.value} link"
                )
            self._heard = now
            if header.ack:
                self._acknowledged(lane, header.ack)
            if header.kind is Kind.BATCH:
                self._batch(lane, header, frame)
                return
            self.control_messages_in += 1
            self.control_bytes_in += len(frame)
            message = decode_message(header.kind, lane, open_body(frame, header))
            self._handlers[header.kind](lane, message, now)
        except ProtocolError as error:
            log.error("! the broker broke the protocol: %s", error)
            if self._ready[Lane.CRITICAL]:
                self._control(Kind.ERROR, ErrorMessage(number=error.number, text=error.detail[:500]))
            self.lost(now, str(error))

    def _batch(self, lane: Lane, header: Header, frame: bytes) -> None:
        if header.number != self._received[lane] + 1:
            raise ProtocolError(
                ErrorNumber.BATCH_GAP, f"batch {header.number}, expected {self._received[lane] + 1}"
            )
        batch = decode_down(header, open_body(frame, header))
        stats = self.lanes[lane].stats
        stats.batches_in += 1
        stats.bytes_in += len(frame)
        for source in batch.sources:
            if source.name:
                self._sources[source.origin] = (source.name, source.process)
                if len(self._sources) > MAX_SOURCES:
                    del self._sources[next(iter(self._sources))]
            elif source.origin not in self._sources:
                raise ProtocolError(ErrorNumber.BAD_BODY, f"sender {source.origin} was never named")
        if isinstance(batch, TargetedBatch):
            self._targeted(lane, batch)
        else:
            self._untargeted(lane, batch)
        self._received[lane] = header.number

    def _untargeted(self, lane: Lane, batch: DownBatch) -> None:
        inbox = self.sessions[0].inbox
        streams = {}
        for source in batch.sources:
            stream = inbox.stream(source.origin, lane)
            if stream is None or source.name:
                stream = inbox.know(source.origin, *self._sources[source.origin])[lane]
            stream.rebase(source.base)
            streams[source.origin] = stream
        arrive = inbox.arrive
        try:
            for event in batch.events:
                arrive(streams[event.origin], event)
        except KeyError:
            raise ProtocolError(
                ErrorNumber.BAD_BODY, "an event of a sender that the batch does not name"
            ) from None
        self.lanes[lane].stats.events_in += len(batch.events)

    def _targeted(self, lane: Lane, batch: TargetedBatch) -> None:
        bases = {source.origin: source for source in batch.sources}
        count = 0
        for targets, event in batch.events:
            source: Source | None = bases.get(event.origin)
            if source is None:
                raise ProtocolError(ErrorNumber.BAD_BODY, "an event of a sender that the batch does not name")
            for index in targets:
                session = self.sessions.get(index)
                if session is None:  # closed while this was on its way; the broker knows by now
                    continue
                stream = session.inbox.stream(event.origin, lane)
                if stream is None:
                    stream = session.inbox.know(event.origin, *self._sources[event.origin])[lane]
                stream.rebase(source.base)
                session.inbox.arrive(stream, event)
                count += 1
        self.lanes[lane].stats.events_in += count

    def _acknowledged(self, lane: Lane, number: int) -> None:
        if not self.lanes[lane].acknowledged(number):
            raise ProtocolError(ErrorNumber.BAD_ACK, f"batch {number} acknowledged, fewer were sent")

    def _ack(self, lane: Lane, message: Ack | Settle, now: float) -> None:
        for each, number in zip(LANES, message.acks, strict=True):
            if number:
                self._acknowledged(each, number)

    def _settle(self, lane: Lane, message: Settle, now: float) -> None:
        self._ack(lane, message, now)
        for settlement in message.settlements:
            check_settlement(settlement)
            session = self.sessions.get(settlement.session)
            if session is not None:
                told = session.outbox.settle(
                    settlement.lane, settlement.outcome, settlement.reason, settlement.runs
                )
                if told:
                    self.told.extend((session, each) for each in told)

    def _pong(self, lane: Lane, message: Pong, now: float) -> None:
        rtt_s = now - message.clock_us / 1e6
        if rtt_s >= 0:
            self.rtt_s = rtt_s
            self._measure(message.clock, rtt_s, now)

    def _measure(self, clock_ticks: int, rtt_s: float, now: float) -> None:
        # The exchange with the least round trip says most about the offset; old ones fade, since clocks drift.
        self._offset_rtt_s *= 1.1
        if rtt_s <= self._offset_rtt_s:
            self._offset_rtt_s = rtt_s
            self._offset_s = (clock_ticks + 0.5) / TICKS_PER_S + rtt_s / 2 - now

    def _done(self, lane: Lane, message: Done, now: float) -> None:
        request = self._pending.pop(message.request, None)
        if request is not None and message.error:
            if request in self.assertions:
                self.assertions.remove(request)
            self.request_failed.append((request.what, message.error, message.detail))
        self._send_requests()

    def _pause(self, lane: Lane, message: Pause, now: float) -> None:
        self._paused.setdefault((message.session, message.lane, message.destination), [])

    def _unpause(self, lane: Lane, message: Pause, now: float) -> None:
        for event in self._paused.pop((message.session, message.lane, message.destination), ()):
            self.lanes[event.lane].put(event)

    def _bye(self, lane: Lane, message: Bye, now: float) -> None:
        self.lost(now, message.reason or "the broker said goodbye")

    def _error(self, lane: Lane, message: ErrorMessage, now: float) -> None:
        number = message.number
        self._errors[number] = self._errors.get(number, 0) + 1
        if number == ErrorNumber.NO_SESSION:
            self._token = b""
        final = number in (ErrorNumber.FENCED, ErrorNumber.BAD_NAME, ErrorNumber.NO_COMMON_VERSION)
        if final or self._errors[number] >= MAX_SAME_ERRORS:
            if number == ErrorNumber.FENCED:
                self.failure = Closed(f"{self.name} was fenced: {message.text}")
            else:
                self.failure = HelloRefused(number, message.text)
            log.error("! %s", self.failure)
            self._actions.append(HangUp(linger_s=0.0))
            self.state = State.CLOSED
            self._ready = [False for _ in LANES]
            self._retry_at = self._give_up_at = self._next_ping = self._control_due = None
            return
        self.lost(now, f"error {number}: {message.text}")

    # Sending

    def _put(self, lane: Lane, kind: Kind, body: bytes) -> None:
        frame = (
            encode_header(kind, lane, len(body), incarnation=self._incarnation, ack=self._received[lane])
            + body
        )
        self._acked[lane] = self._received[lane]
        self.control_messages_out += 1
        self.control_bytes_out += len(frame)
        self._actions.append(Send(lane, frame))

    def _control(self, kind: Kind, message: Any) -> None:
        self._put(Lane.CRITICAL, kind, encode_body(message))

    def _flush(self, lane: OutLane, now: float) -> None:
        index = lane.lane
        if not self._ready[index]:
            return
        bases = {}
        for event in lane.queue:
            if event.session not in bases:
                session = self.sessions.get(event.session)
                bases[event.session] = session.outbox.base(index) if session is not None else event.number
                if len(bases) == len(self.sessions):
                    break
        while (
            batch := lane.next_batch(
                now, self._offset_s, bases, incarnation=self._incarnation, ack=self._received[index]
            )
        ) is not None:
            self._acked[index] = self._received[index]
            self._actions.append(Send(index, batch.frame))

    def _plan_control(self, now: float) -> None:
        half = self._window.batches // 2
        owed = handled_bytes = 0
        for received, acked in zip(self._received, self._acked, strict=True):
            owed = max(owed, received - acked)
        for index in self._to_report:
            session = self.sessions.get(index)
            if session is not None:
                handled_bytes = max(handled_bytes, session.inbox.handled_bytes)
        if owed >= half or handled_bytes >= self._credit_bytes // 4:
            self._control_due = now
        elif (owed or self._to_report) and self._control_due is None:
            self._control_due = now + self._control_interval_s

    def _send_control(self) -> None:
        self._control_due = None
        settlements: list[Settlement] = []
        for index in self._to_report:
            session = self.sessions.get(index)
            if session is not None:
                settlements.extend(session.inbox.take_settlements())
        self._to_report.clear()
        if settlements:
            self._control(Kind.SETTLE, Settle(self._received, settlements))
        elif self._received != self._acked:
            self._control(Kind.ACK, Ack(self._received))
        self._acked = list(self._received)

    def _timers(self, now: float) -> None:
        if self._retry_at is not None and now >= self._retry_at:
            self._attempt(now)
        if self._give_up_at is not None and now >= self._give_up_at:
            self.lost(now, "no welcome")
        if self._next_ping is not None and now >= self._next_ping and self._ready[Lane.CRITICAL]:
            if now - self._heard > self._lease_s:
                self.lost(now, f"silent for {now - self._heard:.1f} s")
                return
            self._next_ping = now + self._ping_interval_s
            rtt_us = int(self.rtt_s * 1e6) if self.rtt_s is not None else 0
            books = []
            for index, session in self.sessions.items():
                figures = session.changed_books()
                if figures is not None:
                    books.append((index, figures))
                    if len(books) >= MAX_BOOKS:
                        break
            self._control(Kind.PING, Ping(int(now * 1e6), rtt_us, books))


def _pause_key(to: str | list[str] | None) -> str:
    return to if isinstance(to, str) else ""


def _order(event: OutEvent) -> tuple[int, int]:
    return event.session, event.number
