"""The outbox: events accepted by `send` and not settled, with their numbers, their book and their limit."""

from __future__ import annotations

from collections.abc import Iterator

from lanebus.adapters.errors import OutboxFull
from lanebus.adapters.event import Receipt, Unsettled
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Book, Outcome, Reason
from lanebus.wire.runs import numbers_in

EVENT_OVERHEAD_BYTES = 32
"""What an event costs beside its payload, topic and a destination: the fields around them."""


class OutEvent:
    """An event on its way."""

    __slots__ = (
        "after",
        "exclude",
        "lane",
        "number",
        "payload",
        "receipt",
        "replayed",
        "sent_at",
        "session",
        "size",
        "to",
        "topic",
        "transmitted",
    )

    def __init__(
        self,
        session: int,
        lane: Lane,
        number: int,
        topic: str,
        to: str | list[str] | None,
        exclude: list[str],
        payload: bytes,
        sent_at: float,
        after: int,
        receipt: Receipt | None,
        size: int,
    ) -> None:
        self.session = session
        self.lane = lane
        self.number = number
        self.topic = topic
        self.to = to
        self.exclude = exclude
        self.payload = payload
        self.sent_at = sent_at
        self.after = after
        """The last request that it depends on."""
        self.receipt = receipt
        self.size = size
        self.transmitted = False
        """Whether it has ever left: a broker may have accepted it."""
        self.replayed = False
        """Whether the present broker is told so."""


class Outbox:
    """One session's events, on all lanes; bounded in bytes."""

    def __init__(self, name: str, limit_bytes: int) -> None:
        self._name = name
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.books = [Book() for _ in LANES]
        self.unsettled: list[dict[int, OutEvent]] = [{} for _ in LANES]
        """By lane and number, in the order of numbers."""
        self._next = [1 for _ in LANES]
        self._bases = [1 for _ in LANES]
        self.ignored = 0
        """Settlements for events that were settled before."""

    def accept(
        self,
        session: int,
        lane: Lane,
        topic: str,
        to: str | list[str] | None,
        exclude: list[str],
        payload: bytes,
        now: float,
        after: int,
        receipt: bool,
    ) -> OutEvent:
        """Take an event in.

        Raises:
            OutboxFull: there is no room; nothing was accepted.
        """
        size = len(payload) + len(topic) + EVENT_OVERHEAD_BYTES
        if exclude or isinstance(to, list):
            # A long list can be larger than what it is sent with.
            size += sum(map(len, to or ())) + sum(map(len, exclude))
        if self.held_bytes + size > self.limit_bytes:
            raise OutboxFull(self._name, self.held_bytes, self.limit_bytes)
        number = self._next[lane]
        self._next[lane] = number + 1
        event = OutEvent(
            session,
            lane,
            number,
            topic,
            to,
            exclude,
            payload,
            now,
            after,
            Receipt(number, lane) if receipt else None,
            size,
        )
        self.unsettled[lane][number] = event
        self.held_bytes += size
        self.books[lane].accepted += 1
        return event

    def base(self, lane: Lane) -> int:
        """The lowest number that is not settled; the next one to be given where all are."""
        base, unsettled, end = self._bases[lane], self.unsettled[lane], self._next[lane]
        while base < end and base not in unsettled:
            base += 1
        self._bases[lane] = base
        return base

    def settle(self, lane: Lane, outcome: Outcome, reason: Reason, runs: list[int]) -> list[Unsettled]:
        """Book the end of events, and return those that the program is to be told of: all but delivered ones."""
        unsettled = self.unsettled[lane]
        book = self.books[lane]
        told: list[Unsettled] = []
        for number in numbers_in(runs):
            event = unsettled.pop(number, None)
            if event is None:
                self.ignored += 1
                continue
            self.held_bytes -= event.size
            book.ended[outcome] += 1
            if event.receipt is not None:
                event.receipt.outcome = outcome
                event.receipt.reason = reason
            if outcome is not Outcome.DELIVERED:
                told.append(Unsettled(number, lane, event.topic, event.to, outcome, reason))
        return told

    def abandon(self, reason: Reason) -> list[Unsettled]:
        """End everything that is left as unknown."""
        told: list[Unsettled] = []
        for lane in LANES:
            for number in list(self.unsettled[lane]):
                told.extend(self.settle(lane, Outcome.UNKNOWN, reason, [number, number]))
        return told

    @property
    def in_flight(self) -> int:
        """Events accepted and not settled, on all lanes."""
        return sum(map(len, self.unsettled))

    def events(self, lane: Lane) -> Iterator[OutEvent]:
        """The unsettled events of one lane, in the order of their numbers."""
        return iter(self.unsettled[lane].values())
