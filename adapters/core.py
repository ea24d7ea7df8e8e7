"""An attachment without I/O: frames, sends and the time go in; dials, frames and the next wanted time come out.

core.start(now)                    begin to connect
core.receive(lane, frame, now)     for every frame that arrives
core.gone(lane, now)               when the driver sees that a connection is gone
core.end_turn(now, next_turn)      after every turn, and when `core.next_timer()` has come
core.take()                        what the driver is to do, in order
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from msgspec.structs import astuple

from lanebus.adapters.actions import Action, Dial, HangUp, Send, State
from lanebus.adapters.addresses import parse_address
from lanebus.adapters.alerts import WatchedAlerts
from lanebus.adapters.brokers import Brokers
from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.complaints import Complaints
from lanebus.adapters.errors import Closed, HelloRefused, LanebusError
from lanebus.adapters.event import Unsettled
from lanebus.adapters.incoming import COMPRESSIONS, Incoming
from lanebus.adapters.outgoing import Outgoing
from lanebus.adapters.players import Players
from lanebus.adapters.pulse import Pulse
from lanebus.adapters.quality import OwnLine
from lanebus.adapters.reporting import Reporting
from lanebus.adapters.requests import Request, Requests
from lanebus.adapters.retry import Backoff
from lanebus.adapters.services import Watched
from lanebus.adapters.session import SessionCore, make_ping
from lanebus.adapters.suspension import Suspension
from lanebus.wire.bodies import encode_body, open_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import MAX_INCARNATION, VERSION, decode_header, encode_header
from lanebus.wire.kinds import LEGAL, Kind, LinkState, Side
from lanebus.wire.lanes import LANES, TIMER_SLACK_S, Lane
from lanebus.wire.messages import (
    MAX_KEPT_BY,
    Ack,
    Bye,
    Close,
    Drain,
    ErrorMessage,
    Gone,
    Hello,
    Kept,
    LaneHello,
    LaneWelcome,
    Limits,
    Served,
    Settle,
    Welcome,
    decode_message,
)
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Reason
from lanebus.wire.pings import Pong
from lanebus.wire.reports import TopicTimes

log = logging.getLogger("lanebus.adapters")


class AttachmentCore:
    """One process' three links, and the sessions that speak over them."""

    def __init__(self, name: str, role: Role, process: bytes, brokers: Sequence[str]) -> None:
        self.name = name
        self.role = role
        self.process = process
        self.brokers = Brokers(brokers)
        self.state = State.NEW
        self.failure: LanebusError | None = None
        """Why it is closed, where that was not the program's wish."""
        self.limits = Limits()
        self.clock = BrokerClock()
        self.sessions: dict[int, SessionCore] = {}
        self.outgoing = Outgoing(self.sessions, self.clock, lambda *ended: self.told.append(ended))
        self.incoming = Incoming(self.sessions, [lane.stats for lane in self.outgoing.lanes], self.clock)
        self.requests = Requests(self._control)
        self.services, self.alerts = Watched(self.incoming), WatchedAlerts()
        self.players, self.line = Players(self.incoming), OwnLine()
        # What the driver knows of handlers.
        self.topic_times: Callable[[float], list[TopicTimes]] = lambda now: []
        self.told: list[tuple[SessionCore, Unsettled]] = []
        """Ends other than delivered; the driver takes them and tells the program."""
        self.control_messages_out = self.control_bytes_out = 0
        self.control_messages_in = self.control_bytes_in = 0
        self.kept_by: dict[str, list[str]] = {}
        """Groups that events go to, and the other servers that put members in; a new broker is told."""
        self.on_gone: Callable[[Sequence[str]], None] | None = None
        """Is told of peers that are gone for good: what was asked and answered for them is over."""
        self.draining = False
        """Whether the broker has said that it is about to end: events are held, and settled at once, until its bye."""
        self.connects = 0
        """How often all three links came up."""
        self._actions: list[Action] = []
        self._incarnation = 0
        self._ready = [False for _ in LANES]
        self._token, self._generation = b"", 0
        self._epoch = b""
        self.backoff = Backoff()
        self.pulse = Pulse()
        self._reporting = Reporting()
        self._suspension, self._complaints = Suspension(), Complaints()
        self._handlers: dict[Kind, Callable[[Lane, Any, float], None]] = {
            Kind.WELCOME: self._welcomed,
            Kind.ACK: self._ack,
            Kind.SETTLE: self._settle,
            Kind.PONG: self._pong,
            Kind.DONE: lambda _, message, now: self.requests.done(message),
            Kind.SERVICES: self.services.told,
            Kind.PRESENCE: self.players.told,
            Kind.ALERTS: self.alerts.told,
            Kind.GONE: self._gone,
            Kind.PAUSE: lambda _, message, now: self.outgoing.pause(*astuple(message)),
            Kind.UNPAUSE: lambda _, message, now: self.outgoing.unpause(*astuple(message)),
            Kind.THROTTLE: lambda _, message, now: self.outgoing.throttle(message.entries, now),
            Kind.SERVED: self._served,
            Kind.KEPT: self._kept,
            Kind.DRAIN: self._drain,
            Kind.BYE: self._bye,
            Kind.ERROR: self._error,
        }

    # The program's side

    def start(self, now: float) -> None:
        """Begin to connect; no-op if it has begun."""
        if self.state is State.NEW:
            self.state = State.CONNECTING
            self._attempt(now)

    def open_session(
        self, index: int, name: str, process: bytes, *, outbox_bytes: int, strict: bool
    ) -> SessionCore:
        """Add a session; its events and settlements go over this attachment."""
        session = SessionCore(
            index,
            name,
            process,
            arrivals=self.incoming.arrivals,
            to_report=self.incoming.to_report,
            outbox_bytes=outbox_bytes,
            strict=strict,
        )
        self.sessions[index] = session
        return session

    @property
    def state_reason(self) -> str:
        """Why it is where it is; empty while all is well."""
        return self.brokers.word if self.failure is None else str(self.failure)

    def end_session(self, session: SessionCore) -> None:
        """Close a gateway's session; what it has queued does not leave any more."""
        index = session.index
        books = session.book_figures()
        self.outgoing.discard(index)
        self.incoming.discard(index)
        del self.sessions[index]
        if self.state is not State.CLOSED:
            closing = Request(
                Kind.CLOSE,
                lambda number: Close(request=number, index=index, books=books),
                f"closing {session.name}",
                key=("session", index),
                undoes=True,
            )
            self.requests.ask(closing, keep=False)

    def request(self, request: Request, *, keep: bool = True, replaces: Request | None = None) -> None:
        """Ask the broker for a change of state; see `Requests.ask`.

        Raises:
            LanebusError: the attachment is closed.
        """
        if self.state is State.CLOSED:
            raise self.failure or Closed(f"{self.name} is closed")
        self.requests.ask(request, keep=keep, replaces=replaces)

    def begin_turn(self, now: float) -> None:
        """The driver is about to read its sockets; to be called before every turn's frames."""
        if self._suspension.turn(now) and self._ready[Lane.CRITICAL]:
            self._ping(now)

    def has_work(self, now: float) -> bool:
        """Whether events wait whose handlers may run now."""
        return any(self.incoming.arrivals) and not self._suspension.holds(now)

    def flush(self, now: float) -> None:
        """Everything queued leaves now, as far as the window allows."""
        for lane in LANES:
            if self._ready[lane] and self.outgoing.lanes[lane].queue and not self.draining:
                self._flush(lane, now)

    def flush_held(self, now: float) -> bool:
        """What has waited for its lane's hold leaves, with what is queued behind it; whether there was any."""
        held = [lane for lane in LANES if self.outgoing.lanes[lane].is_held_too_long(now)]
        for lane in held:
            if self._ready[lane] and not self.draining:
                self._flush(lane, now)
        return bool(held)

    def end_turn(self, now: float, next_turn: float) -> None:
        """Do what is due, and let leave what should not wait.

        Args:
            next_turn: when the next turn is expected; what would miss its hold until then leaves now.
        """
        self._timers(now)
        self.outgoing.turn(now)
        self.incoming.expire(now)
        for lane in LANES:
            out = self.outgoing.lanes[lane]
            if out.queue and self._ready[lane] and not self.draining and out.should_leave(now, next_turn):
                self._flush(lane, now)
        if self._ready[Lane.CRITICAL]:
            if self._reporting.is_due(self.incoming, self.outgoing.window.batches, now):
                self._send_control()
            self.requests.turn(now)

    def settle_soon(self) -> None:
        """What was handled is settled as soon as may be: the broker waits for it with all that is newer."""
        if self._ready[Lane.CRITICAL]:
            self._reporting.soon()

    def next_timer(self) -> float | None:
        """When `end_turn` is next wanted."""
        pulse = self.pulse
        times = [self.backoff.due, pulse.give_up_at, pulse.next_ping, self._reporting.due, self.requests.due]
        if self.state is State.UP and not self.draining:
            times.extend(lane.due for lane in self.outgoing.lanes if lane.queue)
        if self.state is not State.CLOSED:
            # Nothing of these is done before its time: who came a little early would come again and again until then.
            early = min(self.outgoing.turn_at, self.incoming.expires_at)
            if early != inf:
                times.append(early + TIMER_SLACK_S)
        return min((time for time in times if time is not None), default=None)

    def take(self) -> list[Action]:
        """What the driver is to do, in order, each once."""
        actions, self._actions = self._actions, []
        return actions

    def close(self, reason: str) -> None:
        """Say goodbye, with the final books, and hang up."""
        if self.state is State.CLOSED:
            return
        linger_s = 0.0
        if self._ready[Lane.CRITICAL]:
            for session in self.sessions.values():
                session.unhandled.refuse_all()
            self._send_control()
            books = [(index, session.book_figures()) for index, session in self.sessions.items()]
            self._control(Kind.BYE, Bye(reason=reason, books=books))
            linger_s = 1.0
        self._end(linger_s=linger_s)

    def _end(self, *, linger_s: float) -> None:
        self._actions.append(HangUp(linger_s))
        self.state = State.CLOSED
        self._unready()
        self.backoff.due = None

    # Connecting

    def _attempt(self, now: float) -> None:
        self._incarnation = self._incarnation % MAX_INCARNATION + 1
        self.incoming.relink()
        self.backoff.due = None
        self.pulse.dialled(now)
        self._dial(Lane.CRITICAL, self.brokers.present)
        hello = Hello(
            name=self.name,
            role=self.role,
            process=self.process,
            versions=(VERSION, VERSION),
            compressions=list(COMPRESSIONS),
            token=self._token,
            served_by=self.sessions[0].instances() if 0 in self.sessions else [],
            sent=self.sessions[0].outbox.highest_sent() if 0 in self.sessions else [0, 0, 0],
            kept_by=list(self.kept_by.items()),
            requests=len(self.requests.again()),
            generation=self._generation,
        )
        self._control(Kind.HELLO, hello)

    def _dial(self, lane: Lane, address: str) -> None:
        self._actions.append(Dial(lane, self.brokers.dialled(lane, address)))

    def gone(self, lane: Lane, now: float) -> None:
        """The driver sees that a lane has no connection any more."""
        is_ready = self._ready[lane]
        self.lost(now, "the connection is gone" if is_ready else self.brokers.unanswered(lane))

    def lost(self, now: float, why: str = "the connection is gone", *, announced: bool = False) -> None:
        """A link is lost: hang up all three, and try again when the backoff says so; very soon if it was announced."""
        if self.state in (State.NEW, State.CLOSED) or self.backoff.due is not None:
            return
        self._suspension.lost(now)
        is_new = self.brokers.failed(why)
        if self.state is State.UP:
            log.warning("= %s lost the broker: %s", self.name, self.brokers.word)
            self.state = State.DOWN
        elif is_new:
            log.warning("= %s is not connected, and tries on: %s", self.name, self.brokers.word)
        self._unready()
        self._actions.append(HangUp(linger_s=0.0))
        self.backoff.due = now + (self.backoff.jitter_s() if announced else self.backoff.next_wait_s())

    def _unready(self) -> None:
        self._ready = [False for _ in LANES]
        self.draining = False
        self.requests.lost()
        self.line.away()
        self.pulse.stop()
        self._reporting.stop()

    def _welcomed(self, lane: Lane, message: Welcome | LaneWelcome, now: float) -> None:
        self._ready[lane] = True
        self.pulse.welcomed(now)
        if isinstance(message, Welcome):
            self._adopt(message, now)
            host = message.host or parse_address(self.brokers.present).host
            shown = f"[{host}]" if ":" in host else host
            for other in (Lane.NORMAL, Lane.LOW):
                self._dial(other, f"tcp://{shown}:{message.ports[other]}")
                self._put(other, Kind.HELLO, encode_body(LaneHello(token=self._token)))
            # Numbers make it harmless to say things again: the broker and the receivers know what they have seen.
            if message.resumed:
                self.incoming.revoke(message.revoked)
                self.outgoing.resume(self.requests.resume())
                self.incoming.resume()
            else:
                self.outgoing.restart(self.requests.restart())
                self.incoming.restart()
        if all(self._ready):
            self.state = State.UP
            self.connects += 1
            self.backoff.succeeded()
            self.pulse.up(now)
            self.brokers.up()

    def _adopt(self, welcome: Welcome, now: float) -> None:
        self._token, self._generation = welcome.token, welcome.generation
        self.limits = welcome.limits
        self.outgoing.adopt(welcome)
        self.incoming.adopt(welcome)
        self.requests.adopt(welcome.limits, now)
        self._reporting.interval_s = welcome.control_interval_ms / 1e3
        self.pulse.ping_interval_s = welcome.ping_interval_ms / 1e3
        self.pulse.lease_s = welcome.lease_ms / 1e3
        self._reporting.credit_bytes = welcome.credit_bytes
        if self.role is Role.SERVER:
            self._suspension.welcomed(welcome.failover_ms / 1e3)
        if welcome.epoch != self._epoch:
            self._epoch = welcome.epoch
            self.clock.restart()
        self.clock.measure(welcome.clock, now - self.pulse.dialled_at, now)

    # Frames

    def receive(self, lane: Lane, frame: bytes, now: float, *, more: bool = False) -> None:
        """Take one frame of a lane's socket; a malformed one ends the links."""
        if self.backoff.due is not None or self.state is State.CLOSED:
            return  # the driver read on, behind the frame with which these links were lost
        try:
            if more:
                raise ProtocolError(ErrorNumber.SEVERAL_FRAMES, "a message is one frame")
            header = decode_header(frame, max_raw_bytes=self.limits.raw_bytes)
            if header.incarnation not in (self._incarnation, 0):
                return
            state = LinkState.READY if self._ready[lane] else LinkState.NEW
            if header.lane is not lane or header.kind not in LEGAL[Side.BROKER][state][lane]:
                raise ProtocolError(
                    ErrorNumber.NOT_LEGAL_HERE, f"{header.kind.label} on a {state.value} link"
                )
            self.pulse.heard_at = now
            if header.ack:
                self.outgoing.acknowledged(lane, header.ack)
            if header.kind is Kind.BATCH:
                self.incoming.batch(lane, header, frame, now)
                return
            self.control_messages_in += 1
            self.control_bytes_in += len(frame)
            message = decode_message(header.kind, lane, open_body(frame, header))
            self._handlers[header.kind](lane, message, now)
        except ProtocolError as error:
            if self._ready[Lane.CRITICAL]:
                self._control(Kind.ERROR, ErrorMessage(number=error.number, text=error.detail[:500]))
            self.lost(now, f"the broker broke the protocol: {error}")

    def _ack(self, lane: Lane, message: Ack | Settle, now: float) -> None:
        for each, number in zip(LANES, message.acks, strict=True):
            if number:
                self.outgoing.acknowledged(each, number)

    def _settle(self, lane: Lane, message: Settle, now: float) -> None:
        self._ack(lane, message, now)
        self.outgoing.settle(message.settlements)

    def _pong(self, lane: Lane, message: Pong, now: float) -> None:
        self._suspension.answered(message.clock_us)
        rtt_s = now - message.clock_us / 1e6
        if rtt_s >= 0 and self.line.answered(rtt_s, now):
            self.clock.measure(message.clock, rtt_s, now)

    def _served(self, lane: Lane, message: Served, now: float) -> None:
        for index, service, history in message.entries:
            session = self.sessions.get(index)
            if session is not None:
                session.note_served(service, history)

    def _kept(self, lane: Lane, message: Kept, now: float) -> None:
        for group, servers in message.entries:
            self.kept_by.pop(group, None)
            if servers:
                self.kept_by[group] = servers
        while len(self.kept_by) > MAX_KEPT_BY:
            del self.kept_by[next(iter(self.kept_by))]

    def _gone(self, lane: Lane, message: Gone, now: float) -> None:
        self.incoming.finished(message.origins)
        if self.on_gone is not None and message.names:
            self.on_gone(message.names)

    def _drain(self, lane: Lane, message: Drain, now: float) -> None:
        self.draining = True
        self._reporting.hurry(now)

    def _bye(self, lane: Lane, message: Bye, now: float) -> None:
        self.lost(now, message.reason or "the broker said goodbye", announced=True)

    def _error(self, lane: Lane, message: ErrorMessage, now: float) -> None:
        number = message.number
        if self._complaints.is_final(number, now):
            if number == ErrorNumber.FENCED:
                self.failure = Closed(f"{self.name} was fenced: {message.text}")
                for session in self.sessions.values():
                    left = session.outbox.abandon(Reason.FENCED)
                    self.told.extend((session, each) for each in left)
            else:
                self.failure = HelloRefused(number, message.text)
            log.error("! %s", self.failure)
            self._end(linger_s=0.0)
            return
        self.lost(now, f"error {number}: {message.text}")

    # Sending

    def _put(self, lane: Lane, kind: Kind, body: bytes) -> None:
        frame = (
            encode_header(
                kind,
                lane,
                len(body),
                incarnation=self._incarnation,
                ack=self.incoming.piggybacked(lane),
            )
            + body
        )
        self.control_messages_out += 1
        self.control_bytes_out += len(frame)
        self._actions.append(Send(lane, frame))

    def _control(self, kind: Kind, message: Any) -> None:
        self._put(Lane.CRITICAL, kind, encode_body(message))

    def _flush(self, lane: Lane, now: float) -> None:
        ack = self.incoming.piggybacked(lane)
        for batch in self.outgoing.batches(lane, now, incarnation=self._incarnation, ack=ack):
            self._actions.append(Send(lane, batch.frame))

    def _send_control(self) -> None:
        self._reporting.stop()
        while (message := self.incoming.take_control()) is not None:
            self._control(*message)

    def _timers(self, now: float) -> None:
        if self.backoff.due is not None and now + TIMER_SLACK_S >= self.backoff.due:
            self._attempt(now)
        if silent_for_s := self.pulse.gives_up(now):
            silent = self._ready.index(False)
            self.lost(now, self.brokers.unanswered(LANES[silent], silent_for_s))
        elif why := self.pulse.look(now, self.outgoing.lanes):
            self.lost(now, why)
        elif self.pulse.is_ping_due(now):
            self._ping(now)

    def _ping(self, now: float) -> None:
        late_s = self.pulse.pinged(now)
        self.line.pinged(self.pulse.ping_interval_s, now)
        known = self.clock.rtt_s, self.line.view, late_s, self.topic_times(now)
        self._control(Kind.PING, make_ping(self.sessions, self.outgoing.waiting(), *known, now))
