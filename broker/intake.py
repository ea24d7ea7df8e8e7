"""Intake: batches from peers become events with a plan. A batch is accepted whole or not at all."""

from __future__ import annotations

from sys import intern

from lanebus.broker.attachment import Attachment, Link, Parked
from lanebus.broker.budget import Budget
from lanebus.broker.directory import Directory, Plan
from lanebus.broker.egress import Egress
from lanebus.broker.events import Event
from lanebus.broker.outgoing import Counters
from lanebus.broker.policies import Policies
from lanebus.broker.recovery import Recovery
from lanebus.broker.sessions import Replayed, Session
from lanebus.broker.settling import Settling
from lanebus.broker.terms import check_terms, terms_of
from lanebus.broker.throttling import Throttling
from lanebus.broker.violations import Violation, Violations
from lanebus.conf.model import Config
from lanebus.wire.batches import (
    EVENT_LATEST,
    EVENT_PRESENT,
    EVENT_QUESTION,
    EVENT_REDELIVERED,
    EVENT_REPLAYED,
    EVENT_VOLATILE,
    MAX_SPREAD,
    TICKS_PER_S,
    UpBatch,
    UpEvent,
    decode_up,
)
from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_REPLAY, Header
from lanebus.wire.history import open_batch
from lanebus.wire.lanes import Lane, LaneTiming
from lanebus.wire.names import PatternTable, Role, valid_topic
from lanebus.wire.outcomes import Outcome, Reason

_TOPICS_REMEMBERED = 8192
_TOLD = EVENT_PRESENT | EVENT_LATEST | EVENT_VOLATILE | EVENT_QUESTION
"""The flags of a sender that its receivers get."""


_TOO_LARGE = (Outcome.REFUSED, Reason.TOO_LARGE)
_BROKEN = {
    Reason.NOT_ALLOWED: Violation.NOT_ALLOWED,
    Reason.TOO_LARGE: Violation.TOO_LARGE,
    Reason.BAD_TOPIC: Violation.BAD_TOPIC,
    Reason.BAD_DESTINATION: Violation.BAD_DESTINATION,
}
"""The rules that an event has broken which ends for one of these reasons."""
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
        batch = decode_up(header, open_batch(frame, header, link.heard))
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
        arrived, batch, replayed, _ = arrival
        lane = link.lane
        for index, base in batch.bases:
            sender = attachment.sessions.get(index)
            if sender is not None:
                sender.sending[lane].rebase(base)
                sender.traffic[lane].batches_in += 1
        events = batch.events
        befores: list[Replayed | None] = (
            [Replayed(batch.after, lane, event.number) for event in events] if replayed else []
        )
        plans = self._check(attachment, lane, events, befores)
        hold_until = arrived - batch.held / TICKS_PER_S + self._timings[lane].hold_s
        # What an event took on its way is its share of the frame, which may be compressed.
        scale = 0.0
        position = 0
        while position < len(events):
            event, plan = events[position], plans[position]
            session = attachment.sessions.get(event.session)
            if session is None:
                self._settling.disowned(attachment, event.session, lane, event.number, now)
                position += 1
                continue
            if not replayed and isinstance(plan, Plan):
                taken = self._accept_run(session, lane, events, plans, position, plan, now, hold_until)
                if taken:
                    position += taken
                    continue
            if session.limits is not None and not scale:
                scale = _scale(batch, arrival.frame_bytes)
            before = befores[position] if replayed else None
            self._accept_one(session, lane, event, plan, before, scale, now, hold_until)
            position += 1
        link.received += 1
        if link.received - link.acked >= self._window_batches // 2:
            self._settling.send_control(attachment, now)
        else:
            self._settling.owe(attachment, now)

    def _accept_run(
        self,
        session: Session,
        lane: Lane,
        events: list[UpEvent],
        plans: list[Plan | Reason],
        begin: int,
        plan: Plan,
        now: float,
        hold_until: float,
    ) -> int:
        """Accept consecutive plain events of one sender to the same receivers in one go, and say how many.

        0 where each has to be looked at by itself: their sender has limits, or they may have to wait, or came before.
        """
        sending = session.sending[lane]
        if session.limits is not None or not self._recovery.lets_pass(session, sending):
            return 0
        index, number = session.index, sending.last
        to: str | None = None
        run: list[Event] = []
        size = size_in = 0
        for position in range(begin, len(events)):
            event = events[position]
            if (
                event.number != number + 1
                or plans[position] is not plan
                or event.session != index
                or event.flags
                or event.ttl
            ):
                break
            if not run and isinstance(event.to, str):
                # The same plan is of the same destination.
                to = intern(event.to)
            number += 1
            topic, payload = event.topic, event.payload
            wire = encode_body((session.origin, number, event.stamp, 0, topic, payload))
            size += len(wire)
            size_in += len(topic) + len(payload)
            run.append(
                Event(
                    session, lane, number, wire, len(wire), to, now, hold_until, None, plan.shared, plan.parts
                )
            )
        if run:
            count = len(run)
            sending.last = number
            sending.book.accepted += count
            sending.parts.accepted += count * plan.parts
            traffic = session.traffic[lane]
            traffic.events_in += count
            traffic.bytes_in += size_in
            self._budget.held_bytes += size
            self._egress.deliver_run(run, plan, size)
        return len(run)

    def _accept_one(
        self,
        session: Session,
        lane: Lane,
        event: UpEvent,
        plan: Plan | Reason,
        before: Replayed | None,
        scale: float,
        now: float,
        hold_until: float,
    ) -> None:
        number = event.number
        sending = session.sending[lane]
        size = len(event.payload) + len(event.topic)
        limits = session.limits
        if limits is not None and not sending.has(number):
            charged = (size + _FIELDS_BYTES) * scale
            if not self._throttling.admits(
                session, limits, lane, number, charged, now, replayed=before is not None
            ):
                if isinstance(plan, Reason) and plan in _BROKEN:
                    self._violations.by_session(session, _BROKEN[plan], now)
                return
        traffic = session.traffic[lane]
        if not sending.is_new(number):
            self._counters.duplicates += 1
            traffic.duplicates += 1
            return
        sending.book.accepted += 1
        traffic.events_in += 1
        traffic.bytes_in += size
        broken = _BROKEN.get(plan) if isinstance(plan, Reason) else None
        if broken is not None:
            # What was accepted by another broker, or before its limits were known, is no fault of its sender.
            if before is None or plan is Reason.NOT_ALLOWED:
                self._violations.by_session(session, broken, now)
            self._policies.ended += 1
        elif limits is not None:
            if len(event.payload) > limits.event_bytes:
                self._policies.ended += 1
                end: tuple[Outcome, Reason] | None = _TOO_LARGE
            else:
                end = self._policies.over_topic(limits, session.role, event.topic, now)
            if end is not None:
                self._settling.ended_at_once(session.attachment, session.index, lane, event, *end, now)
                return
        if broken is None and self._recovery.must_wait(session, sending, event.to, plan):
            flags = 0 if before is None else EVENT_REPLAYED
            routed = self._routed(session, lane, event, flags, now, hold_until)
            self._budget.held_bytes += routed.size
            self._recovery.hold(routed, (event.topic, event.to, event.exclude, before))
            return
        if isinstance(plan, Reason):
            self._settling.ended_at_once(
                session.attachment, session.index, lane, event, Outcome.REFUSED, plan, now
            )
            return
        sending.parts.accepted += plan.parts
        flags = 0 if before is None else EVENT_REDELIVERED if plan.moved else EVENT_REPLAYED
        routed = self._routed(session, lane, event, flags, now, hold_until)
        self._budget.held_bytes += routed.size
        self._egress.deliver(routed, plan)

    def _check(
        self, attachment: Attachment, lane: Lane, events: list[UpEvent], befores: list[Replayed | None]
    ) -> list[Plan | Reason]:
        """Whom each event goes to, or why nobody gets it.

        Raises:
            ProtocolError: one of them is not legal.
        """
        sessions = attachment.sessions
        valid_topics = self._valid_topics
        event_bytes = self._event_bytes
        topics = self._client_topics
        plans: list[Plan | Reason] = []
        session: Session | None = None
        topic = to = None
        end = 0
        plan: Plan | Reason = Reason.NOBODY
        for event in events:
            if (
                event.to == to
                and event.topic == topic
                and session is not None
                and session.index == event.session
                and event.number < end
                and len(event.payload) <= event_bytes
                and not (event.exclude or event.flags or befores)
            ):
                # As the one before it.
                plans.append(plan)
                continue
            session = sessions.get(event.session)
            if session is None:
                plans.append(_gone(attachment, event.session))
                continue
            topic, to = event.topic, event.to
            if event.flags:
                check_terms(event)
            end = session.sending[lane].base + MAX_SPREAD
            if event.number >= end:
                raise ProtocolError(
                    ErrorNumber.BATCH_GAP, f"event {event.number} from {session.name} is too far ahead"
                )
            if topic not in valid_topics and not self._is_topic(topic):
                plan = Reason.BAD_TOPIC
            elif len(event.payload) > event_bytes:
                plan = Reason.TOO_LARGE
            elif isinstance(to, list) and len(to) > self._destinations:
                plan = Reason.BAD_DESTINATION
            elif topics is not None and session.role is Role.CLIENT and not topics.match(topic):
                plan = Reason.NOT_ALLOWED
            else:
                before = befores[len(plans)] if befores else None
                try:
                    plan = self._directory.resolve(session, topic, to, event.exclude, before)
                except ProtocolError:
                    plan = Reason.BAD_DESTINATION
            plans.append(plan)
            if event.exclude or plan is Reason.TOO_LARGE:
                # The next one may leave out others, or be smaller.
                topic = None
        return plans

    def _is_topic(self, topic: str) -> bool:
        if not valid_topic(topic):
            return False
        if len(self._valid_topics) >= _TOPICS_REMEMBERED:
            self._valid_topics.clear()
        self._valid_topics.add(topic)
        return True

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


def _gone(attachment: Attachment, index: int) -> Reason:
    """Why an event has no sender here.

    Raises:
        ProtocolError: it never had.
    """
    if attachment.targeted and 0 < index <= attachment.last_index:
        # It was closed on the critical link while this was under way on another, or another process has taken its
        # name: no reason to cut off everybody else behind the gateway.
        return Reason.SENDER_GONE
    raise ProtocolError(ErrorNumber.UNKNOWN_SESSION_INDEX, f"session {index} was never opened")


def _scale(batch: UpBatch, frame_bytes: int) -> float:
    """Bytes on the way for a byte in the batch."""
    raw = sum(len(event.payload) + len(event.topic) + _FIELDS_BYTES for event in batch.events)
    return frame_bytes / raw
