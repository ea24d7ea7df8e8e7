"""Egress: from an event with a plan to batches on links. Credit per session, window per link, one batch per interval.

A part goes into its link's queue while its receiver has credit, else into the receiver's own egress queue, so that a
receiver that does not handle what it got holds up nobody who shares its link.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lanebus.broker.attachment import Attachment, Outbound, Sent
from lanebus.broker.budget import Budget
from lanebus.broker.directory import Plan
from lanebus.broker.events import Event
from lanebus.broker.gaps import forget_ended, leaves
from lanebus.broker.lateness import Lateness
from lanebus.broker.latest import (
    Latest,
    note_queued,
)
from lanebus.broker.nextbatch import NextBatch
from lanebus.broker.outgoing import Counters, Outgoing
from lanebus.broker.overflow import Overflow
from lanebus.broker.sessions import NO_HOLD, Receiving, Session, forget_settled
from lanebus.broker.shaping import Shaping
from lanebus.broker.timers import Timers
from lanebus.broker.trials import Trials
from lanebus.conf.model import Config
from lanebus.wire.batches import (
    MAX_BATCH_EVENTS,
    join_batch,
    ticks,
)
from lanebus.wire.header import FLAG_TARGETED
from lanebus.wire.kinds import Kind, LinkState
from lanebus.wire.lanes import LANES, TIMER_SLACK_S, Lane, LaneTiming
from lanebus.wire.messages import Pause
from lanebus.wire.outcomes import Outcome, Reason

ORIGINS_ANNOUNCED: Final = 32_768
"""Senders that an attachment is taken to know by number; past it all are named again, before an adapter forgets any."""

PartEnded = Callable[[Event, Outcome, Reason, float], None]


class Egress:
    """The way out of the broker."""

    def __init__(
        self,
        config: Config,
        timings: tuple[LaneTiming, ...],
        outgoing: Outgoing,
        counters: Counters,
        timers: Timers,
        budget: Budget,
        part_ended: PartEnded,
    ) -> None:
        self._budget = budget
        self._timings = timings
        self._outgoing = outgoing
        self._counters = counters
        self._timers = timers
        self._part_ended = part_ended
        self._latest = Latest(part_ended, self._bound)
        self._lateness = Lateness(part_ended, self.release)
        self.overflow = Overflow(budget, part_ended)
        self.shaping = Shaping(timers, self.refill)
        self._credit_bytes = config.egress.credit_bytes
        self.trials = Trials(self._credit_bytes, self._enqueue, self.refill)
        self._batch_bytes = config.egress.batch_bytes
        most_events = min(config.limits.batch_events, MAX_BATCH_EVENTS)
        self._next_batch = NextBatch(counters, self._lateness, self._batch_bytes, most_events)
        self._queue_bytes = config.egress.queue_bytes
        self._age_s = config.egress.age_s
        self._window_batches = config.window.batches
        self._window_bytes = config.window.bytes
        self._threshold_bytes = config.compression.threshold_bytes
        self._dirty: tuple[list[Outbound], ...] = ([], [], [])
        self.hurried = False
        """Whether everything leaves at the end of its turn, without waiting for company."""

    def deliver(self, event: Event, plan: Plan) -> None:
        """Queue a part of `event` for each receiver of `plan`."""
        event.remaining = plan.parts
        event.shared = plan.shared
        if event.terms is not None and event.terms.volatile and self._budget.sheds:
            for _ in range(plan.parts):
                self._part_ended(event, Outcome.DROPPED, Reason.BROKER_FULL, event.arrived)
            return
        groups = plan.groups if event.terms is None else self._latest.without_places(event, plan.groups)
        for attachment, sessions in groups:
            self._deliver_to(attachment, sessions, event)
        self._refuse_unknown(event, plan)

    def deliver_run(self, events: list[Event], plan: Plan, size: int) -> None:
        """Queue the parts of consecutive events without terms that have the same receivers.

        Args:
            events: how many receivers they have is known to them already.
            size: of all of them, bytes.
        """
        lane = events[0].lane
        for attachment, sessions in plan.groups:
            if len(sessions) > 1 or not self._takes(sessions[0], lane, size, events[0].arrived):
                for event in events:
                    self._deliver_to(attachment, sessions, event)
                continue
            out = attachment.outbound[lane]
            out.queue.extend([(event, sessions) for event in events])
            out.queued_bytes += size
            self._queued(out, events[0].hold_until)
        if plan.unknown:
            for event in events:
                self._refuse_unknown(event, plan)

    def _takes(self, session: Session, lane: Lane, size: int, now: float) -> bool:
        """Whether a receiver has credit, and enough left of its allowance, for all of a run; if so it is taken."""
        receiving = session.receiving[lane]
        if receiving.gated or receiving.gaps or receiving.committed_bytes + size > self._credit_bytes:
            return False
        allowance = receiving.allowance
        if allowance is not None and not allowance.spend_whole(
            lane, size * session.attachment.outbound[lane].ratio, now
        ):
            return False
        receiving.committed_bytes += size
        return True

    def _refuse_unknown(self, event: Event, plan: Plan) -> None:
        for _ in range(plan.unknown):
            self._part_ended(event, Outcome.REFUSED, Reason.UNKNOWN_DESTINATION, event.arrived)

    def _deliver_to(self, attachment: Attachment, sessions: tuple[Session, ...], event: Event) -> None:
        """Queue a part for each of the sessions of one attachment."""
        lane, size = event.lane, event.size
        out = attachment.outbound[lane]
        for session in sessions:
            receiving = session.receiving[lane]
            if receiving.gated or receiving.gaps or receiving.committed_bytes >= self._credit_bytes:
                break
            allowance = receiving.allowance
            if allowance is not None and not allowance.spend(lane, size * out.ratio, event.arrived):
                if lane is not Lane.CRITICAL:
                    break
                allowance.take(lane, size * out.ratio)
            receiving.committed_bytes += size
        else:
            self._enqueue(out, event, sessions)
            return
        self._deliver_singly(event, sessions, sessions.index(session))

    def _deliver_singly(self, event: Event, sessions: tuple[Session, ...], committed: int) -> None:
        # One of them has to wait: the others share no copy with it, and go their own way.
        lane = event.lane
        for position, session in enumerate(sessions):
            receiving = session.receiving[lane]
            out = session.attachment.outbound[lane]
            if position >= committed:
                if receiving.gated or not self._may_have(receiving, lane, event.arrived):
                    self._wait(session, receiving, event)
                    continue
                self._commit(receiving, out, event)
                leaves(receiving, event)
            self._enqueue(out, event, session.alone)

    def _may_have(self, receiving: Receiving, lane: Lane, now: float) -> bool:
        """Whether a receiver has credit, and something left of its allowance."""
        if receiving.committed_bytes >= self._credit_bytes:
            return False
        return receiving.allowance is None or not self.shaping.holds(receiving.allowance, lane, now)

    def _commit(self, receiving: Receiving, out: Outbound, event: Event) -> None:
        receiving.committed_bytes += event.size
        if receiving.allowance is not None:
            receiving.allowance.take(out.lane, event.size * out.ratio)

    def _enqueue(self, out: Outbound, event: Event, sessions: tuple[Session, ...]) -> None:
        out.queue.append((event, sessions))
        out.queued_bytes += event.size
        if event.terms is not None:
            out.expires = min(out.expires, event.terms.deadline)
            if event.terms.key is not None:
                note_queued(out, len(out.queue) - 1)
        self._queued(out, event.hold_until)

    def _queued(self, out: Outbound, hold_until: float) -> None:
        """Something was queued that has to have left at `hold_until`."""
        if hold_until < out.hold_until:
            out.hold_until = hold_until
        if not out.dirty:
            out.dirty = True
            self._dirty[out.lane].append(out)

    def _wait(self, session: Session, receiving: Receiving, event: Event) -> None:
        terms = event.terms
        held_back = session.attachment.outbound[event.lane].held_back
        is_shaped = not held_back and (
            receiving.shaped
            or (
                receiving.committed_bytes < self._credit_bytes
                and not self._may_have(receiving, event.lane, event.arrived)
            )
        )
        if is_shaped:
            receiving.shaped = True
            self.shaping.wait(session, event.lane, event.arrived)
        if terms is not None and terms.volatile and not is_shaped:
            receiving.dropped += 1
            self._part_ended(event, Outcome.DROPPED, Reason.SLOW_RECEIVER, event.arrived)
            return
        receiving.gated = True
        receiving.waiting.append(event)
        receiving.waiting_bytes += event.size
        if held_back:
            self.shaping.charge(session, receiving, event)
        if event.shared:
            self.overflow.note(receiving)
        self._bound(session, event)

    def _bound(self, session: Session, event: Event) -> None:
        """What waits for a session has become more by `event`: keep it within its limit."""
        receiving = session.receiving[event.lane]
        limit_bytes = self._limit_bytes(session)
        if event.shared:
            if receiving.waiting_bytes > limit_bytes:
                self.overflow.trim(receiving, limit_bytes, event.arrived)
        elif receiving.waiting_bytes > limit_bytes // 2:
            self._pause(session, receiving, event)

    def _limit_bytes(self, session: Session) -> int:
        limits = session.limits
        return self._queue_bytes if limits is None else limits.queue_bytes or self._queue_bytes

    def _pause(self, session: Session, receiving: Receiving, event: Event) -> None:
        key = (event.origin, event.to or "")
        critical = event.origin.attachment.links[Lane.CRITICAL]
        # A sender that comes back has forgotten its pauses, so what counts is which link was told.
        if critical is None or receiving.paused.get(key) is critical:
            return
        receiving.paused[key] = critical
        self._outgoing.control(
            critical,
            Kind.PAUSE,
            Pause(session=event.origin.index, lane=event.lane, destination=event.to or ""),
        )

    def unpause(self, receiving: Receiving, lane: Lane) -> None:
        """Tell every sender that waits for this receiver to go on."""
        for (sender, destination), link in receiving.paused.items():
            if link.state is LinkState.READY and not sender.ended:
                self._outgoing.control(
                    link, Kind.UNPAUSE, Pause(session=sender.index, lane=lane, destination=destination)
                )
        receiving.paused.clear()

    def release(self, session: Session, lane: Lane, size: int, now: float) -> None:
        """The receiver has settled parts of `size` bytes: its credit grows, and what waited may go."""
        receiving = session.receiving[lane]
        receiving.committed_bytes -= size
        if receiving.gated:
            self.refill(session, lane, now)

    def refill(self, session: Session, lane: Lane, now: float) -> None:
        """Let go what waits for this receiver, as far as its credit and allowance go; suspects first, in rounds."""
        receiving = session.receiving[lane]
        out = session.attachment.outbound[lane]
        if session.trial is not None and self.trials.tries(session, session.trial, lane, now):
            return
        if out.held_back and out.queue:
            return
        # A policy held them, which is no wait for company: from here on they make batches as fresh ones do.
        hold_until = now + self._timings[lane].hold_s
        # After a standstill it catches up with half of its credit at a time: what is under way is not packed.
        most_bytes = self._credit_bytes // 2 if out.held_back else self._credit_bytes
        while (
            receiving.waiting
            and receiving.committed_bytes < most_bytes
            and (receiving.charged_bytes > 0 or self._may_have(receiving, lane, now))
        ):
            event = receiving.waiting.popleft()
            receiving.waiting_bytes -= event.size
            if receiving.charged_bytes > 0:
                receiving.charged_bytes -= event.size
                receiving.committed_bytes += event.size
            else:
                self._commit(receiving, out, event)
            self.shaping.let_go(receiving, event, now)
            leaves(receiving, event)
            event.hold_until = hold_until
            self._enqueue(out, event, session.alone)
        receiving.gated = bool(receiving.waiting)
        if not receiving.waiting:
            out.held_back = False
            receiving.charged_bytes = 0
            receiving.shaped = False
        elif receiving.committed_bytes < most_bytes:
            receiving.shaped = True
            self.shaping.wait(session, lane, now)
        if receiving.paused and receiving.waiting_bytes <= self._limit_bytes(session) // 4:
            self.unpause(receiving, lane)

    def touch(self, out: Outbound) -> None:
        """Look at `out` at the end of this turn."""
        if not out.dirty:
            out.dirty = True
            self._dirty[out.lane].append(out)

    def acknowledged(self, out: Outbound, number: int) -> None:
        """The peer has received every batch up to `number`."""
        unacked = out.unacked
        freed = False
        while unacked and unacked[0].number <= number:
            out.unacked_bytes -= unacked.popleft().size
            freed = True
        if freed and out.queue:
            self.touch(out)

    def end_turn(self, now: float) -> None:
        """Send what is due, critical first; set a timer for what may still wait for company."""
        for lane in LANES:
            if not self._dirty[lane]:
                continue
            outs = self._dirty[lane][:]
            self._dirty[lane].clear()
            interval_s = self._timings[lane].interval_s
            for out in outs:
                out.dirty = False
                if not out.queue:
                    continue
                due = min(out.last_flush + interval_s, out.hold_until) + out.extra_s
                if self.hurried or due <= now + TIMER_SLACK_S or out.queued_bytes >= self._batch_bytes:
                    self.flush(out, now)
                elif out.due is None or due < out.due:
                    self._flush_at(out, due)

    def _flush_at(self, out: Outbound, due: float) -> None:
        out.due = due

        def flush(now: float) -> None:
            if out.due == due:
                self.flush(out, now)

        self._timers.at(due, flush)

    def flush(self, out: Outbound, now: float) -> None:
        """Send the queue of `out` as batches, as far as its window allows."""
        out.due = None
        link = out.attachment.links[out.lane]
        attachment = out.attachment
        if link is None:
            self._hold_back(out, now)
            return
        lane = out.lane
        counters = self._counters.lanes_out[lane]
        hold_s = self._timings[lane].hold_s
        threshold_bytes = self._threshold_bytes if attachment.lz4 else 0
        while (
            out.queue and len(out.unacked) < self._window_batches and out.unacked_bytes < self._window_bytes
        ):
            entries, events, origins, size = self._next_batch.take(out, now)
            if not entries:
                continue
            sources: list[tuple[object, ...]] = []
            for session in origins:
                base = session.sending[lane].base
                if session.origin in out.announced:
                    sources.append((session.origin, base))
                else:
                    # An adapter remembers them for all its lanes together.
                    if sum(len(each.announced) for each in attachment.outbound) >= ORIGINS_ANNOUNCED:
                        for each in attachment.outbound:
                            each.announced.clear()
                    out.announced.add(session.origin)
                    sources.append((session.origin, base, session.name, session.process))
            held_s = max(0.0, now - (min(event.hold_until for event, _ in entries) - hold_s))
            batch = join_batch(
                lane,
                (ticks(held_s), sources),
                events,
                incarnation=link.incarnation,
                number=out.next_number,
                ack=link.received,
                threshold_bytes=threshold_bytes,
                flags=FLAG_TARGETED if attachment.targeted else 0,
                history=link.said,
            )
            link.acked = link.received
            if attachment.line.floods is not None:
                attachment.line.floods.answerable(len(entries))
            out.unacked.append(Sent(out.next_number, size, entries, now))
            out.unacked_bytes += size
            out.next_number += 1
            out.queued_bytes -= size
            out.ratio += (len(batch.frame) / size - out.ratio) / 8
            self._outgoing.batch(link, batch)
            counters.batches += 1
            counters.events += len(entries)
            counters.bytes += len(batch.frame)
            counters.unbatched_bytes += batch.unbatched_bytes
            self._counters.held[lane].record(int(held_s * 1e6))
        out.last_flush = now
        out.hold_until = -NO_HOLD if out.queue else NO_HOLD
        if out.queue or out.held_back:
            self._hold_back(out, now)

    def _hold_back(self, out: Outbound, now: float) -> None:
        """While a link takes nothing, what comes for its session waits in the session's own queue, which is packed."""
        # Behind a gateway each session would get a copy of its own of what they share.
        session = None if out.attachment.targeted else out.attachment.sessions.get(0)
        if session is None:
            return
        receiving = session.receiving[out.lane]
        if out.queue:
            if out.queued_bytes >= self._batch_bytes // 4:
                receiving.gated = out.held_back = True
                receiving.shaped = False
            return
        self.refill(session, out.lane, now)
        if out.queue:
            self.flush(out, now)

    def relink(self, attachment: Attachment) -> None:
        """The attachment has fresh links: send again what the old ones may have lost."""
        for out in attachment.outbound:
            out.relink()
            if out.queue:
                self.touch(out)

    def sweep(self, session: Session, now: float) -> None:
        """Drop shared parts that have waited longer than the limit; forget what was sent again and is settled."""
        for lane in LANES:
            receiving = session.receiving[lane]
            if receiving.tellers:
                forget_ended(receiving)
            if receiving.retried:
                forget_settled(receiving)
            if receiving.waiting:
                self.overflow.trim(receiving, self._limit_bytes(session), now, now - self._age_s)
        self._lateness.sweep(session, now)

    def expire(self, attachment: Attachment, now: float) -> None:
        """End what is too late in the queues of links that take nothing."""
        for out in attachment.outbound:
            self._lateness.sweep_queue(out, now)
