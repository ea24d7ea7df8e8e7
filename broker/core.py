"""The broker without I/O: frames and the time go in, frames and the next wanted time come out.

    core.receive(lane, route, frame, now)   for every frame that arrives
    core.lost(lane, route, now)             when a frame could not be sent: its connection is gone
    core.end_turn(now)                      after a portion of frames, and when `core.next_timer()` has come
    core.take()                             the frames to send, in order

`receive` raises nothing: what a peer does wrong ends that peer's link with a numbered error, and is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lanebus.broker import disputes
from lanebus.broker.alerts import Alerts
from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.budget import Budget
from lanebus.broker.bus import Bus
from lanebus.broker.departure import Departures
from lanebus.broker.describe import FREQUENT, describe, name_of
from lanebus.broker.directory import Directory
from lanebus.broker.draining import Draining
from lanebus.broker.egress import Egress
from lanebus.broker.expulsions import Expulsions
from lanebus.broker.failover import Failover
from lanebus.broker.farewells import Farewells
from lanebus.broker.hangups import HangUps
from lanebus.broker.hellos import Hellos
from lanebus.broker.intake import Intake
from lanebus.broker.lines import Lines
from lanebus.broker.links import Links, attached
from lanebus.broker.name_rules import NameRules
from lanebus.broker.news import News
from lanebus.broker.outgoing import Counters, Frame, Outgoing
from lanebus.broker.peer_reports import take_books, take_reports
from lanebus.broker.policies import Policies
from lanebus.broker.receipts import Receipts
from lanebus.broker.recovery import Recovery
from lanebus.broker.registry import FENCED, Registry
from lanebus.broker.requests import Requests
from lanebus.broker.sessions import Session
from lanebus.broker.settling import Settling
from lanebus.broker.stalls import Stalls
from lanebus.broker.sweep import SWEEP_S, Sweep
from lanebus.broker.throttling import Throttling
from lanebus.broker.timers import Timers
from lanebus.broker.tracing import Tracing
from lanebus.broker.violations import Violation, Violations, violation_of
from lanebus.broker.watchdogs import Watchdogs
from lanebus.broker.welcome import make_welcome
from lanebus.broker.whereabouts import Whereabouts
from lanebus.conf.model import Config
from lanebus.wire.batches import TICKS_PER_S
from lanebus.wire.bodies import open_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import Header, decode_header
from lanebus.wire.kinds import ANSWERS, LEGAL, REQUESTS, Kind, Side
from lanebus.wire.lanes import Lane, LaneTiming
from lanebus.wire.messages import Bye, ErrorMessage, Hello, LaneHello, Open, decode_message
from lanebus.wire.names import Role
from lanebus.wire.pings import Ping, Pong

log = logging.getLogger("lanebus.broker")


class BrokerCore:
    """Everything that the broker decides."""

    def __init__(
        self, config: Config, *, epoch: bytes, random: Callable[[int], bytes], started: float
    ) -> None:
        """
        Args:
            epoch: random bytes that no earlier start of the broker had.
            random: random bytes of a size, for tokens.
            started: the time of the start, on the clock that all `now` are from.
        """
        lanes = (config.lanes.critical, config.lanes.normal, config.lanes.low)
        self.config = config
        self.epoch = epoch
        self.started = started
        self.timings = tuple(LaneTiming(lane.interval_ms / 1e3, lane.hold_ms / 1e3) for lane in lanes)
        self.ports = [lane.port for lane in lanes]
        """What peers are told; the driver sets the real ones after binding."""
        self.counters = Counters()
        self.timers = Timers()
        self.outgoing = Outgoing(self.counters)
        self.directory = Directory(config.broker.name, config.policy.client_may_address)
        self.budget = Budget(config.egress.budget_bytes)
        self.settling = Settling(
            self.outgoing, self.timers, self.budget, config.window.control_interval_ms / 1e3
        )
        self.egress = Egress(
            config,
            self.timings,
            self.outgoing,
            self.counters,
            self.timers,
            self.budget,
            self.settling.part_ended,
        )
        self.alerts = Alerts(config.alerts.min_interval_s)
        self.departures = Departures(self.egress, self.settling.part_ended)
        self.policies = Policies(config.policy)
        self.throttling = Throttling(self.outgoing, self.counters)
        self.violations = Violations(config.policy, self.policies)
        self.registry = Registry(
            config, self.policies, self.directory, self.departures, self.settling, self.budget, random
        )
        self.stalls = Stalls(self.outgoing, self.registry.attachments)
        recovery_s = config.sessions.recovery_s
        self.recovery = Recovery(
            self.registry, self.directory, self.egress, self.settling, started, active=recovery_s > 0
        )
        self.intake = Intake(
            config,
            self.timings,
            self.counters,
            self.directory,
            self.egress,
            self.settling,
            self.recovery,
            self.budget,
            self.policies,
            self.throttling,
            self.violations,
            started,
        )
        self.failover = Failover(
            self.directory, self.egress, self.departures, self.timers, config.sessions.failover_s
        )
        self.whereabouts = Whereabouts(self.outgoing)
        self.directory.on_served = self.whereabouts.served
        self.directory.on_kept = self.whereabouts.kept
        self.recovery.on_absent = self.failover.leave
        self.farewells = Farewells(self.directory, self.registry, self.outgoing, config.sessions.lease_s)
        self.news = News(
            self.outgoing,
            self.timers,
            self.registry.sessions,
            self.directory.catalog,
            self.alerts,
            recovering=self.recovery.active,
        )
        self.registry.on_presence = self._presence
        self.registry.on_rivalry = self._rivalry
        self.lines = Lines(config, self.timers, self.registry.sessions, self.news.players.quality, started)
        self.requests = Requests(
            config.limits,
            NameRules(config.groups.client_may_join),
            self.directory,
            self.news,
            self.outgoing,
            self._open_session,
            self.registry.end_session,
            self.violations,
        )
        self.draining = Draining(self.registry, self.egress, self.settling, self.outgoing, self.timers)
        self.bus = Bus(
            self.directory.catalog,
            self.budget,
            self.counters.late,
            self._parts,
            lambda: self.draining.active,
            config.alerts,
            self.alerts,
            started,
            SWEEP_S,
        )
        self.watchdogs = Watchdogs(
            config,
            self.alerts,
            self.bus,
            self.budget,
            self.counters,
            lambda name: name in self.directory.peers or name in self.registry.attachments,
            self.violations.used_share,
        )
        self.hang_ups = HangUps()
        self.links = Links(self.outgoing, self._away)
        self.tracing = Tracing(self.links, self.registry, self.directory, self.timers, self.outgoing, started)
        self.hellos = Hellos(config, self.registry, self.egress, self.outgoing, self.violations)
        self._expulsions = Expulsions(self.violations, self.registry, self.settling, self._end_link)
        self._receipts = Receipts(self.egress, self.settling, self.counters)
        self._pushed_back = False
        self._frame_bytes = config.limits.frame_bytes
        self._raw_bytes = config.limits.raw_bytes
        self._handlers: dict[Kind, Callable[[Link, Any, float], None]] = {
            Kind.HELLO: self._hello,
            Kind.ACK: self._receipts.ack,
            Kind.SETTLE: self._receipts.settle,
            Kind.PING: self._ping,
            Kind.BYE: self._bye,
            Kind.ERROR: self._error,
        }
        Sweep(
            config.sessions,
            self.timers,
            self.registry,
            self.links,
            self.stalls,
            self.egress,
            self.bus,
            self.watchdogs,
            started,
        )
        if recovery_s > 0:
            self.timers.at(started + recovery_s, self.recovery.end)
            self.timers.at(started + recovery_s, self.news.players.recovered)

    # The driver's calls

    def receive(
        self, lane: Lane, route: bytes, frame: bytes, now: float, *, more: bool = False, address: str = ""
    ) -> None:
        """Take one frame from the connection `route` of a lane's socket.

        Args:
            more: whether the message had further frames, which the driver has read and thrown away.
            address: of the host that a hello came from.
        """
        link = self.links.get(lane, route)
        try:
            if link is None:
                if not self.links.strangers.sent(lane, route, len(frame), now):
                    return
            elif link.attachment is not None:
                floods = link.attachment.line.floods
                if floods is not None and not floods.takes_raw(len(frame), now):
                    raise ProtocolError(ErrorNumber.FLOOD, "more bytes than any peer sends")
            if more:
                raise ProtocolError(ErrorNumber.SEVERAL_FRAMES, "a message is one frame")
            if len(frame) > self._frame_bytes:
                raise ProtocolError(
                    ErrorNumber.FRAME_TOO_LARGE, f"{len(frame)} bytes, at most {self._frame_bytes} allowed"
                )
            header = decode_header(frame, max_raw_bytes=self._raw_bytes)
            if header.lane is not lane:
                raise ProtocolError(
                    ErrorNumber.WRONG_LANE, f"{header.lane.label} frame on the {lane.label} lane"
                )
            if link is None:
                if header.kind is Kind.HELLO and lane is Lane.CRITICAL:
                    self.hellos.arrived(address, now)
                link = self.links.first(lane, route, header, now)
                if link is None:
                    return
            if self.tracing.tap is not None:
                self.tracing.tap.received(link, header, frame, now)
            self._dispatch(link, header, frame, now)
        except ProtocolError as error:
            self._fail(lane, route, link, error, now)

    def lost(self, lane: Lane, route: bytes, now: float) -> None:
        """The connection `route` no longer exists."""
        link = self.links.get(lane, route)
        if link is not None:
            self.links.drop(link, now, "its connection was gone")
        else:
            self.stalls.lost(route, now)

    def broke(self, lane: Lane, route: bytes, error: ProtocolError, now: float) -> None:
        """The connection `route` has broken a rule by what never became a frame, and has ended."""
        self._fail(lane, route, self.links.get(lane, route), error, now)

    def end_turn(self, now: float) -> None:
        """Do what is due, and let leave what need not wait."""
        self.timers.run(now)
        self._expulsions.end_turn(now)
        if self._pushed_back or self.budget.pushes_back:
            self._give_way(now)
        self.egress.end_turn(now)
        self.throttling.end_turn(now)
        self.whereabouts.end_turn()
        self.farewells.end_turn(now)
        self.news.end_turn(now)
        self.tracing.now = now

    def _give_way(self, now: float) -> None:
        """Make room, and go on with what was not accepted as soon as there is some."""
        if self.budget.pushes_back:
            if not self._pushed_back:
                log.warning("! the budget of %d bytes is used up", self.budget.limit_bytes)
                self._pushed_back = True
            self.egress.overflow.relieve(now)
        if not self.budget.pushes_back:
            self._pushed_back = False
            for link in [link for link in self.links if link.parked]:
                try:
                    self.intake.unpark(attached(link), now)
                except ProtocolError as error:
                    self._end_link(link, error, now)

    def next_timer(self) -> float | None:
        """When `end_turn` is next wanted."""
        return self.timers.next()

    def take(self) -> list[Frame]:
        """The frames to send, in order, each once."""
        frames = self.outgoing.take()
        if self.tracing.tap is not None:
            self.tracing.tap.sent(frames)
        return frames

    def clock(self, now: float) -> int:
        """Ticks since the start."""
        return int((now - self.started) * TICKS_PER_S)

    # Links

    def _dispatch(self, link: Link, header: Header, frame: bytes, now: float) -> None:
        kind = header.kind
        if kind not in LEGAL[Side.PEER][link.state][link.lane]:
            raise ProtocolError(
                ErrorNumber.NOT_LEGAL_HERE, f"{kind.label} on a link that is {link.state.value}"
            )
        if header.incarnation != link.incarnation:
            raise ProtocolError(
                ErrorNumber.OLD_INCARNATION, f"incarnation {header.incarnation}, this is {link.incarnation}"
            )
        attachment = link.attachment
        if attachment is not None:
            attachment.last_seen = link.heard_at = now
            if header.ack:
                self._receipts.acknowledged(attachment, link.lane, header.ack)
            if kind is Kind.BATCH:
                if not self.draining.takes_batches(now):
                    return
                self.intake.batch(link, attachment, header, frame, now)
                return
            floods = attachment.line.floods
            takes = (
                None if floods is None else floods.takes_answer if kind in ANSWERS else floods.takes_control
            )
            if takes is not None and not takes(len(frame), now):
                self.violations.by_attachment(attachment, Violation.CONTROL, now)
        counters = self.counters.control_in
        counters.messages += 1
        counters.bytes += len(frame)
        message = decode_message(kind, link.lane, open_body(frame, header))
        if kind not in FREQUENT and log.isEnabledFor(logging.DEBUG):
            log.debug("< %s %s: %s", name_of(link), kind.label, describe(message))
        if kind in REQUESTS and attachment is not None:
            if self.draining.active:
                return  # without an answer it is made again of the next broker, with all that depends on it
            self.requests.carry_out(link, attachment, kind, message, now)
            self.intake.unpark(attachment, now)
            has_changed = kind in (Kind.REGISTER, Kind.HEALTH)
            if has_changed:
                self.failover.retry(now)
            elif kind is Kind.JOIN:
                self.recovery.joined(message.member, now)
            if has_changed or attachment.request == attachment.recalled:
                self.recovery.retry(now)
        else:
            self._handlers[kind](link, message, now)

    def _fail(self, lane: Lane, route: bytes, link: Link | None, error: ProtocolError, now: float) -> None:
        label = error.number.label
        self.counters.errors[label] = self.counters.errors.get(label, 0) + 1
        attachment = link.attachment if link is not None else None
        violation = violation_of(error.number)
        if attachment is not None and violation is not None:
            self.violations.by_attachment(attachment, violation, now)
        if attachment is not None or self.links.strangers.is_told(lane, route, now):
            log.warning("! %s on %s: %s", name_of(link), lane.label, error)
            self.outgoing.answer(
                lane,
                route,
                Kind.ERROR,
                ErrorMessage(number=error.number, text=error.detail[:500]),
                incarnation=link.incarnation if link is not None else 0,
            )
        if link is not None:
            self.links.drop(link, now, f"it broke rule {error.number.value} ({label}): {error.detail}")

    def _end_link(self, link: Link, error: ProtocolError, now: float) -> None:
        self._fail(link.lane, link.route, link, error, now)

    # Messages

    def _hello(self, link: Link, message: Hello | LaneHello, now: float) -> None:
        if isinstance(message, LaneHello):
            self.hellos.lane(link, message)
            return
        self.hellos.check(message, now)
        attachment, resumed, displaced = self.registry.attach(message, now, self.hellos.address)
        self.hellos.took_over(displaced, now)
        for old in displaced:
            self._fence(old, now)
        if (stale := attachment.links[Lane.CRITICAL]) is not None:
            self.links.drop(stale, now, "it dialled anew")
        if not resumed:
            attachment.recalled = message.requests
            if 0 in attachment.sessions:
                limits = attachment.sessions[0].limits
                attachment.line.floods = limits.floods if limits is not None else None
                attachment.sessions[0].recall(message.served_by, message.sent)
                attachment.sessions[0].kept_by = dict(message.kept_by)
        self.hellos.compressions(attachment, message)
        attachment.away_since = attachment.stalled = None
        attachment.last_seen = now
        attachment.add(link)
        welcome = make_welcome(
            self.config,
            self.epoch,
            attachment,
            self.ports,
            event_bytes=self.policies.event_bytes(message.name, message.role, self.config.limits.event_bytes),
            resumed=resumed,
            clock=self.clock(now),
            revoked=self.failover.revoked(attachment) if resumed else [],
        )
        self.outgoing.control(link, Kind.WELCOME, welcome)
        log.info("= %s %s", attachment.name, "resumed" if resumed else "joined")
        self.farewells.attached(attachment)
        if message.role is Role.SERVER:
            self.recovery.retry(now)
            self.failover.back(attachment, now)
        if self.draining.active:
            self.draining.tell(attachment, now)
        if resumed:
            self.lines.resumed(attachment, now)
            self.news.resumed(attachment, now)
            self.egress.relink(attachment)
            self.settling.resume(attachment, now)
            self.throttling.resumed(attachment, now)
            self.whereabouts.resumed(attachment)
            self.watchdogs.flapping.came_back(attachment.name, now, is_takeover=False)

    def _rivalry(self, old: Session, now: float) -> None:
        self.watchdogs.flapping.came_back(old.name, now, is_takeover=True)

    def _fence(self, old: Attachment, now: float) -> None:
        if not old.expected:
            self.watchdogs.flapping.came_back(old.name, now, is_takeover=True)
        critical = old.links[Lane.CRITICAL]
        if critical is not None:
            text = f"a newer process of {old.name} has taken over"
            self.outgoing.control(critical, Kind.ERROR, ErrorMessage(number=ErrorNumber.FENCED, text=text))
            self.links.drop(critical, now, text, leaves=not old.targeted)
        if old.targeted:
            # Its players may come back one by one, behind its successor or elsewhere; they have the grace period.
            self.registry.retire(old, now)
        else:
            self.registry.end_attachment(old, now, FENCED)

    def _presence(self, session: Session, reason: str | None, now: float) -> None:
        self.news.players.session(session, reason, now)
        if self.tracing.tap is not None:
            self.tracing.tap.session(session, reason, now)

    def _away(self, attachment: Attachment, now: float, leaves: bool) -> None:
        self.failover.away(attachment, now)
        if leaves:
            return
        self.lines.away(attachment, now)
        self.news.players.away(attachment, now)

    def _open_session(self, gateway: Attachment, message: Open, now: float) -> Session:
        # The player may have been attached on links of its own.
        old = self.registry.attachments.get(message.name)
        session = self.registry.open_session(
            gateway, message.index, message.name, message.process, message.rtt_ms, now
        )
        session.recall(message.served_by, message.sent)
        if old is not None:
            self._fence(old, now)
        return session

    def _ping(self, link: Link, message: Ping, now: float) -> None:
        attachment = attached(link)
        self.outgoing.control(link, Kind.PONG, Pong(message.clock_us, self.clock(now)))
        self.lines.ping(attachment, message, now)
        take_books(attachment, message.books)
        take_reports(attachment, message.reports, message.topics, now)
        disputes.look(attachment, now)
        self.watchdogs.outboxes.pinged(attachment, message.outboxes, now)

    def _bye(self, link: Link, message: Bye, now: float) -> None:
        attachment = attached(link)
        take_books(attachment, message.books)
        reason = self.farewells.goodbye(attachment, message.reason)
        self.links.drop(link, now, reason, leaves=True)
        self.failover.leave(attachment, now)
        self.registry.end_attachment(attachment, now, reason)
        self.recovery.retry(now)
        log.info("= %s %s", attachment.name, reason)

    def _error(self, link: Link, message: ErrorMessage, now: float) -> None:
        log.warning("! %s says %d: %s", name_of(link), message.number, message.text)
        self.links.drop(link, now, f"it said error {message.number}: {message.text}")

    def _parts(self) -> tuple[int, int]:
        """Parts accepted, and those that were refused or dropped against the will of their receivers and operators."""
        accepted, failed = self.registry.parts()
        return accepted, failed - self.policies.ended
