"""Intake: batches from peers become events with a plan. A batch is accepted whole or not at all."""

from __future__ import annotations

from sys import intern

from lanebus.broker.budget import Budget
from lanebus.broker.directory import Directory, Plan
from lanebus.broker.egress import Egress
from lanebus.broker.events import Event
from lanebus.broker.outgoing import Counters
from lanebus.broker.policies import Policies
from lanebus.broker.recovery import Recovery
from lanebus.broker.sessions import Attachment, Link, Parked, Replayed, Session
from lanebus.broker.settling import Settling
from lanebus.broker.terms import check_terms, terms_of
from lanebus.broker.throttling import Throttling
from lanebus.broker.violations import Violation, Violations
from lanebus.conf.model import Config
from lanebus.wire.batches import (
    EVENT_LATEST,
    EVENT_QUESTION,
    EVENT_REPLAYED,
    EVENT_VOLATILE,
    MAX_SPREAD,
    TICKS_PER_S,
    UpBatch,
    UpEvent,
    decode_up,
)
from lanebus.wire.bodies import encode_body, open_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_REPLAY, Header
from lanebus.wire.lanes import Lane, LaneTiming
from lanebus.wire.names import PatternTable, Role, valid_topic
from lanebus.wire.outcomes import Outcome, Reason

_TOPICS_REMEMBERED = 8192
_TOLD = EVENT_LATEST | EVENT_VOLATILE | EVENT_QUESTION
"""The flags of a sender that its receivers get."""


_TOO_LARGE = (Outcome.REFUSED, Reason.TOO_LARGE)
_FIELDS_BYTES = 16
"""What an event takes in a batch beside its topic and payload, roughly: only its share of the frame matters."""


class Intake:
    """The way into the broker."""

    def __init__(
        self,
        config: Config,
        timings: tuple[LaneTiming, ...],
        counters: Counters,
        directory: Directory,
        egress: Egress,
        settling: Settling,
        recovery: Recovery,
        budget: Budget,
        policies: Policies,
        throttling: Throttling,
        violations: Violations,
        started: float,
    ) -> None:
        self._policies = policies
        self._throttling = throttling
        self._violations = violations
        self._budget = budget
        self._started = started
        self._timings = timings
        self._counters = counters
        self._directory = directory
        self._egress = egress
        self._settling = settling
        self._recovery = recovery
        self._event_bytes = config.limits.event_bytes
        self._destinations = config.limits.destinations
        self._window_batches = config.window.batches
        self._valid_topics: set[str] = set()
        self._client_topics: PatternTable[bool] | None = None
        """Topics that clients may send on; None for all."""
        if "**" not in config.policy.client_may_send:
            self._client_topics = PatternTable()
            for pattern in config.policy.client_may_send:
                self._client_topics.add(pattern, True)

    def batch(self, link: Link, attachment: Attachment, header: Header, frame: bytes, now: float) -> None:
        """Take one batch from a ready link; it is parked if it depends on a request that has not arrived.

        Raises:
            ProtocolError: the batch, or one of its events, is malformed or not legal.
        """
        expected = link.received + len(link.parked) + 1
        if header.number != expected:
            raise ProtocolError(ErrorNumber.BATCH_GAP, f"batch {header.number}, expected {expected}")
        if header.number - link.acked > self._window_batches:
            raise ProtocolError(
                ErrorNumber.WINDOW_EXCEEDED, f"more than {self._window_batches} batches unacknowledged"
            )
        counters = self._counters.lanes_in[link.lane]
        counters.batches += 1
        counters.bytes += len(frame)
        counters.events += header.event_count
        batch = decode_up(header, open_body(frame, header))
        arrival = Parked(now, batch, bool(header.flags & FLAG_REPLAY), len(frame))
        if link.parked or batch.after > attachment.request or self._budget.pushes_back:
            link.parked.append(arrival)
        else:
            self._accept(link, attachment, arrival, now)

    def unpark(self, attachment: Attachment, now: float) -> None:
        """A request was carried out, or there is room again: take the batches that waited for it.

        Raises:
            ProtocolError: one of their events is not legal.
        """
        for link in attachment.live_links():
            while (
                link.parked
                and link.parked[0].batch.after <= attachment.request
                and not self._budget.pushes_back
            ):
                self._accept(link, attachment, link.parked.popleft(), now)

    def _accept(self, link: Link, attachment: Attachment, arrival: Parked, now: float) -> None:
        arrived, batch, replayed, frame_bytes = arrival
        sessions = attachment.sessions
        lane = link.lane
        for index, base in batch.bases:
            sender = sessions.get(index)
            if sender is not None:
                sender.sending[lane].rebase(base)
                sender.traffic[lane].batches_in += 1
        befores: list[Replayed | None] = [None] * len(batch.events)
        if replayed:
            befores = [Replayed(batch.after, lane, event.number) for event in batch.events]
        plans = [
            self._check(attachment, lane, event, before)
            for event, before in zip(batch.events, befores, strict=True)
        ]
        hold_until = arrived - batch.held / TICKS_PER_S + self._timings[lane].hold_s
        # What an event took on its way is its share of the frame, which may be compressed.
        scale = 0.0
        for event, plan, before in zip(batch.events, plans, befores, strict=True):
            session = sessions.get(event.session)
            number = event.number
            if session is None:
                self._settling.disowned(attachment, event.session, lane, number, now)
                continue
            sending = session.sending[lane]
            size = len(event.payload) + len(event.topic)
            limits = session.limits
            if limits is not None and not sending.has(number):
                scale = scale or _scale(batch, frame_bytes)
                charged = (size + _FIELDS_BYTES) * scale
                if not self._throttling.admits(
                    session, limits, lane, number, charged, now, replayed=replayed
                ):
                    if plan is Reason.NOT_ALLOWED:
                        self._violations.by_session(session, Violation.NOT_ALLOWED, now)
                    continue
            if not sending.is_new(number):
                self._counters.duplicates += 1
                session.traffic[lane].duplicates += 1
                continue
            sending.book.accepted += 1
            traffic = session.traffic[lane]
            traffic.events_in += 1
            traffic.bytes_in += size
            if plan is Reason.NOT_ALLOWED:
                self._violations.by_session(session, Violation.NOT_ALLOWED, now)
                self._policies.ended += 1
            elif limits is not None:
                if len(event.payload) > limits.event_bytes:
                    self._policies.ended += 1
                    end: tuple[Outcome, Reason] | None = _TOO_LARGE
                else:
                    end = self._policies.over_topic(limits, session.role, event.topic, now)
                if end is not None:
                    self._settling.ended_at_once(attachment, event.session, lane, number, *end, now)
                    continue
            if (
                self._recovery.active
                and plan is not Reason.NOT_ALLOWED
                and self._recovery.must_wait(session, sending, event.to, plan)
            ):
                flags = EVENT_REPLAYED if replayed else 0
                routed = self._routed(session, lane, event, flags, now, hold_until)
                self._budget.held_bytes += routed.size
                self._recovery.hold(routed, (event.topic, event.to, event.exclude, before))
                continue
            if isinstance(plan, Reason):
                self._settling.ended_at_once(
                    attachment, event.session, lane, number, Outcome.REFUSED, plan, now
                )
                continue
            sending.parts.accepted += plan.parts
            flags = EVENT_REPLAYED if replayed and not plan.moved else 0
            routed = self._routed(session, lane, event, flags, now, hold_until)
            self._budget.held_bytes += routed.size
            self._egress.deliver(routed, plan)
        link.received += 1
        if link.received - link.acked >= self._window_batches // 2:
            self._settling.send_control(attachment, now)
        else:
            self._settling.owe(attachment, now)

    def _check(
        self, attachment: Attachment, lane: Lane, event: UpEvent, before: Replayed | None
    ) -> Plan | Reason:
        session = attachment.sessions.get(event.session)
        if session is None:
            if attachment.targeted and 0 < event.session <= attachment.last_index:
                # It was closed on the critical link while this was under way on another, or another process has
                # taken its name: no reason to cut off everybody else behind the gateway.
                return Reason.SENDER_GONE
            raise ProtocolError(
                ErrorNumber.UNKNOWN_SESSION_INDEX, f"session {event.session} was never opened"
            )
        topic = event.topic
        if topic not in self._valid_topics:
            if not valid_topic(topic):
                raise ProtocolError(
                    ErrorNumber.BAD_TOPIC,
                    f"{topic[:80]!r} from {session.name}: topics are dotted words of letters, digits, '_' and '-'",
                )
            if len(self._valid_topics) >= _TOPICS_REMEMBERED:
                self._valid_topics.clear()
            self._valid_topics.add(topic)
        if len(event.payload) > self._event_bytes:
            raise ProtocolError(
                ErrorNumber.EVENT_TOO_LARGE,
                f"payload of {len(event.payload)} bytes from {session.name}, at most {self._event_bytes} allowed",
            )
        if isinstance(event.to, list) and len(event.to) > self._destinations:
            raise ProtocolError(
                ErrorNumber.BAD_DESTINATION,
                f"{len(event.to)} destinations from {session.name}, at most {self._destinations} allowed",
            )
        if event.flags:
            check_terms(event)
        if event.number >= session.sending[lane].base + MAX_SPREAD:
            raise ProtocolError(
                ErrorNumber.BATCH_GAP, f"event {event.number} from {session.name} is too far ahead"
            )
        topics = self._client_topics
        if topics is not None and session.role is Role.CLIENT and not topics.match(topic):
            return Reason.NOT_ALLOWED
        return self._directory.resolve(session, topic, event.to, event.exclude, before)

    def _routed(
        self, session: Session, lane: Lane, event: UpEvent, flags: int, now: float, hold_until: float
    ) -> Event:
        to = intern(event.to) if isinstance(event.to, str) else None
        if not event.flags and not event.ttl:
            wire = encode_body((session.origin, event.number, event.stamp, flags, event.topic, event.payload))
            return Event(session, lane, event.number, wire, len(wire), to, now, hold_until)
        flags |= event.flags & _TOLD
        row = (session.origin, event.number, event.stamp, flags, event.topic, event.payload)
        wire = encode_body((*row, event.ttl) if event.ttl else row)
        terms = terms_of(event, session.origin, now, self._started)
        return Event(session, lane, event.number, wire, len(wire), to, now, hold_until, terms)


def _scale(batch: UpBatch, frame_bytes: int) -> float:
    """Bytes on the way for a byte in the batch."""
    raw = sum(len(event.payload) + len(event.topic) + _FIELDS_BYTES for event in batch.events)
    return frame_bytes / raw
