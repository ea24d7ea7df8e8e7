"""Receipts: what a peer says of what it was sent: batches received, and how parts ended."""

from __future__ import annotations

from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.egress import Egress
from lanebus.broker.events import Event
from lanebus.broker.links import attached
from lanebus.broker.outgoing import Counters
from lanebus.broker.sessions import Receiving, forget_settled
from lanebus.broker.settling import Settling
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Ack, Settle, Settlement, check_settlement
from lanebus.wire.outcomes import RECEIVER_REASONS, Outcome, Reason
from lanebus.wire.runs import Lookup, count_numbers


class Receipts:
    """Takes acknowledgements and settlements."""

    def __init__(self, egress: Egress, settling: Settling, counters: Counters) -> None:
        self._egress = egress
        self._settling = settling
        self._counters = counters

    def acknowledged(self, attachment: Attachment, lane: Lane, number: int) -> None:
        """The peer has received batches of a lane up to `number`.

        Raises:
            ProtocolError: there is no such batch.
        """
        out = attachment.outbound[lane]
        if number >= out.next_number:
            raise ProtocolError(
                ErrorNumber.BAD_ACK, f"batch {number} acknowledged, {out.next_number - 1} sent"
            )
        self._egress.acknowledged(out, number)

    def ack(self, link: Link, message: Ack | Settle, now: float) -> None:
        """Acknowledgements of all lanes.

        Raises:
            ProtocolError: there is no such batch.
        """
        attachment = attached(link)
        for lane, number in zip(LANES, message.acks, strict=True):
            if number:
                self.acknowledged(attachment, lane, number)

    def settle(self, link: Link, message: Settle, now: float) -> None:
        """Settlements, and acknowledgements with them.

        Raises:
            ProtocolError: an outcome is not a receiver's to give, or there is no such batch.
        """
        for settlement in message.settlements:
            check_settlement(settlement, allowed=RECEIVER_REASONS)
        self.ack(link, message, now)
        attachment = attached(link)
        lookup = Lookup()
        retried: dict[int, Receiving] = {}
        for settlement in message.settlements:
            session = attachment.sessions.get(settlement.session)
            if session is None:
                self._counters.ignored_settlements += 1
                continue
            lane = settlement.lane
            receiving = session.receiving[lane]
            numbers = receiving.unsettled.get(settlement.origin)
            if numbers is None:
                self._counters.ignored_settlements += 1
                continue
            if receiving.retried:
                retried[id(receiving)] = receiving
            if settlement.outcome is Outcome.DELIVERED:
                last, released, unknown = self._settling.parts_delivered(
                    numbers, settlement.runs, lookup, now
                )
            else:
                last, released, unknown = self._ended(session.name, numbers, settlement, lookup, now)
            self._counters.ignored_settlements += unknown
            # What has no handler waits for one, and says nothing of how fast the others are.
            if last is not None and settlement.reason is not Reason.NO_HANDLER:
                session.traffic[lane].settled(now - last.sent)
            if not numbers:
                receiving.unsettled.pop(settlement.origin, None)
            self._egress.release(session, lane, released, now)
        for receiving in retried.values():
            forget_settled(receiving)

    def _ended(
        self,
        receiver: str,
        numbers: dict[int, Event],
        settlement: Settlement,
        lookup: Lookup,
        now: float,
    ) -> tuple[Event | None, int, int]:
        """As `Settling.parts_delivered`, of parts that ended otherwise."""
        last: Event | None = None
        released = 0
        before = len(numbers)
        for event in lookup.take(settlement.runs, numbers):
            released += event.size
            last = event
            self._settling.part_ended(event, settlement.outcome, settlement.reason, now, receiver)
        return last, released, count_numbers(settlement.runs) - (before - len(numbers))
