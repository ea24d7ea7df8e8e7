"""Settling: the end of parts and events, the books, and telling senders, merged into few messages."""

from __future__ import annotations

from collections.abc import Sequence

from lanebus.broker.attachment import Attachment
from lanebus.broker.budget import Budget
from lanebus.broker.events import Event
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.refusals import UNNOTED, Refusals
from lanebus.broker.sending import Sending
from lanebus.broker.sessions import Session
from lanebus.broker.timers import Timers
from lanebus.wire.batches import UpEvent
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Ack, Settle, Settlement
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.runs import Lookup, count_numbers
from lanebus.wire.shown import shown

MAX_SETTLEMENTS = 16_384
"""Settlements in one message; more follow in the next."""
MAX_BOUNDS = 65_536
"""Bounds of their runs in one message, so that it fits into a frame."""
MANY_ENDS = 1024
"""Ends of delivered events that are not kept back until the interval is over: their sender has a limit of its own."""


_UNREAD = (Reason.BAD_TOPIC, Reason.BAD_DESTINATION, Reason.TOO_LARGE)
"""Reasons for which an event's destination was not looked at, or is none."""


class Settling:
    """Books the ends of parts, and reports ends of events and received batches to peers.

    One control message per attachment and `interval_s`; at once only when half a window waits for it, or many ends.
    """

    def __init__(self, outgoing: Outgoing, timers: Timers, budget: Budget, interval_s: float) -> None:
        self._budget = budget
        self._outgoing = outgoing
        self._timers = timers
        self._interval_s = interval_s
        self.refusals = Refusals()

    def part_ended(
        self, event: Event, outcome: Outcome, reason: Reason, now: float, receiver: str = ""
    ) -> None:
        """One receiver's part of `event` has ended; with the last one the event has.

        Args:
            receiver: its name, where that is not what the sender wrote.
        """
        if outcome is Outcome.REFUSED and reason is not UNNOTED:
            self.refusals.note(event.origin.name, receiver or event.to or "", event.topic(), reason, now)
        sending = event.origin.sending[event.lane]
        sending.parts.ended[outcome] += 1
        if reason is Reason.PASSED_OVER:
            # It says nothing of those who had the event, or were to have it.
            if not event.answered:
                event.worst, event.reason = outcome, reason
        elif outcome > event.worst or not event.answered:
            event.answered = True
            event.worst, event.reason = outcome, reason
        event.remaining -= 1
        if event.remaining:
            return
        self._budget.held_bytes -= event.size
        sending.end(event.number, event.worst, event.reason)
        if not event.origin.ended:
            self.report(event.origin.attachment, event.origin.index, event.lane, sending, now)

    def parts_delivered(
        self, numbers: dict[int, Event], runs: Sequence[int], lookup: Lookup, now: float
    ) -> tuple[Event | None, int, int]:
        """One receiver has handled parts of one sender on one lane: as `part_ended` for each, which it leaves as such.

        Args:
            numbers: the sender's events that the receiver holds; those that `runs` name are taken out.
            lookup: of the message that says so.

        Returns:
            The last of them, their size in bytes, and how many numbers named none.
        """
        last_event: Event | None = None
        size = ended_size = 0
        before = len(numbers)
        # No run yet: whatever comes first begins one, and 1 goes on with it.
        first, last = 1, 0
        delivered = Outcome.DELIVERED
        for event in lookup.take(runs, numbers):
            size += event.size
            last_event = event
            if event.remaining != 1 or event.worst is not delivered:
                self.part_ended(event, delivered, Reason.NONE, now)
                continue
            # The last part of an event that every receiver has handled: all of a run end together.
            event.remaining = 0
            ended_size += event.size
            number = event.number
            if number != last + 1:
                self._delivered(last_event, first, last, now)
                first = number
            last = number
        self._budget.held_bytes -= ended_size
        self._delivered(last_event, first, last, now)
        return last_event, size, count_numbers(runs) - (before - len(numbers))

    def _delivered(self, event: Event | None, first: int, last: int, now: float) -> None:
        """The last parts of the events from one number to another of the sender of `event` have ended."""
        if event is None or last < first:
            return
        sending = event.origin.sending[event.lane]
        sending.parts.ended[Outcome.DELIVERED] += last - first + 1
        sending.end_run(first, last, Outcome.DELIVERED, Reason.NONE)
        if not event.origin.ended:
            attachment = event.origin.attachment
            self.report(attachment, event.origin.index, event.lane, sending, now)
            attachment.ends_owed += last - first + 1
            if attachment.ends_owed >= MANY_ENDS:
                self.send_control(attachment, now)

    def ended_at_once(
        self,
        attachment: Attachment,
        index: int,
        lane: Lane,
        event: UpEvent,
        outcome: Outcome,
        reason: Reason,
        now: float,
    ) -> None:
        """An accepted event that nobody gets ends as it is expanded, and its provisional part with it."""
        session = attachment.sessions[index]
        number, sending = event.number, session.sending[lane]
        if outcome is Outcome.REFUSED:
            # What is none is shown as it was written, and not as a terminal or a file would take it.
            to = event.to if isinstance(event.to, str) and reason not in _UNREAD else ""
            topic = shown(event.topic) if reason is Reason.BAD_TOPIC else event.topic
            self.refusals.note(session.name, to, topic, reason, now)
        sending.parts.accepted += 1
        sending.parts.ended[outcome] += 1
        sending.end(number, outcome, reason)
        self.report(attachment, index, lane, sending, now)

    def disowned(self, attachment: Attachment, index: int, lane: Lane, number: int, now: float) -> None:
        """An event of a gateway's session that is not open any more: its sender is told, no book here has it."""
        ends = attachment.reporting.get((index, lane)) or Sending()
        ends.end(number, Outcome.UNKNOWN, Reason.SENDER_GONE)
        self.report(attachment, index, lane, ends, now)

    def disown(self, session: Session, reason: Reason, now: float) -> None:
        """A gateway's session has ended without its doing: what was not settled is unknown to the gateway."""
        for lane in LANES:
            sending = session.sending[lane]
            if sending.last >= sending.base:
                ends = Sending()
                # What is known comes first: of two ends of a number the first counts.
                ends.unreported = {
                    **sending.unreported,
                    (Outcome.UNKNOWN, reason): [sending.base, sending.last],
                }
                self.report(session.attachment, session.index, lane, ends, now)

    def report(self, attachment: Attachment, index: int, lane: Lane, sending: Sending, now: float) -> None:
        """There are ends to report to this sender."""
        attachment.reporting[index, lane] = sending
        if attachment.control_due is None:
            self.owe(attachment, now)

    def owe(self, attachment: Attachment, now: float) -> None:
        """See to it that a control message leaves within the interval."""
        if attachment.control_due is None:
            due = attachment.control_due = now + self._interval_s

            def leave(at: float) -> None:
                if attachment.control_due == due:
                    self.send_control(attachment, at)

            self._timers.at(due, leave)

    def send_control(self, attachment: Attachment, now: float) -> None:
        """Send what there is to acknowledge and to report; nothing if the attachment is away."""
        attachment.control_due = None
        attachment.ends_owed = 0
        critical = attachment.links[Lane.CRITICAL]
        if critical is None:
            return
        acks = [0, 0, 0]
        owed = False
        for link in attachment.live_links():
            acks[link.lane] = link.received
            owed = owed or link.received > link.acked
        settlements: list[Settlement] = []
        bounds = 0
        while attachment.reporting and len(settlements) < MAX_SETTLEMENTS and bounds < MAX_BOUNDS:
            (index, lane), sending = attachment.reporting.popitem()
            for (outcome, reason), runs in sending.unreported.items():
                settlements.append(Settlement(index, 0, lane, outcome, reason, runs))
                bounds += len(runs)
            sending.unreported = {}
            if bounds > MAX_BOUNDS:
                bounds = self._hold_over(settlements, attachment, index, lane, sending, bounds)
        if settlements:
            self._outgoing.control(critical, Kind.SETTLE, Settle(acks, settlements))
        elif owed:
            self._outgoing.control(critical, Kind.ACK, Ack(acks))
        for link in attachment.live_links():
            link.acked = link.received
        if attachment.reporting:
            self.owe(attachment, now)

    def _hold_over(
        self,
        settlements: list[Settlement],
        attachment: Attachment,
        index: int,
        lane: Lane,
        sending: Sending,
        bounds: int,
    ) -> int:
        """Take back from the settlements of one sender, the last ones, what would not fit into the message."""
        while bounds > MAX_BOUNDS:
            settlement = settlements.pop()
            over = min(bounds - MAX_BOUNDS, len(settlement.runs))
            kept = settlement.runs[:-over]
            sending.unreported[settlement.outcome, settlement.reason] = settlement.runs[-over:]
            bounds -= over
            if kept:
                end = settlement.outcome, settlement.reason
                settlements.append(Settlement(index, 0, lane, *end, kept))
        attachment.reporting[index, lane] = sending
        return bounds

    def resume(self, attachment: Attachment, now: float) -> None:
        """Tell a resumed attachment every outcome that it may have missed."""
        attachment.control_due = None
        for session in attachment.sessions.values():
            for lane in LANES:
                sending = session.sending[lane]
                if sending.ends:
                    sending.report_again()
                    attachment.reporting[session.index, lane] = sending
        self.owe(attachment, now)
