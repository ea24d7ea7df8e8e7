"""The outbox: events accepted by `send` and not settled, with their numbers, their book and their limit."""

from __future__ import annotations

from collections.abc import Iterator

from lanebus.adapters.errors import OutboxFull
from lanebus.adapters.event import Receipt, Unsettled
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.terms import Terms, ValueKey
from lanebus.wire.batches import MAX_SPREAD
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.modes import SUPERSEDED
from lanebus.wire.outcomes import WITHHELD, Book, Outcome, Reason
from lanebus.wire.runs import Lookup, count_numbers

EVENT_OVERHEAD_BYTES = 32
"""What an event costs beside its payload, topic and a destination: the fields around them."""


class Outbox:
    """One session's events, on all lanes; bounded in bytes."""

    def __init__(self, name: str, limit_bytes: int) -> None:
        self._name = name
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.books = [Book() for _ in LANES]
        self.unsettled: list[dict[int, OutEvent]] = [{} for _ in LANES]
        """By lane and number, in the order of numbers."""
        self.withheld = [[0 for _ in WITHHELD] for _ in LANES]
        """By lane: how many of the events that ended as superseded, expired and dropped were never sent."""
        self.latest: dict[ValueKey, OutEvent] = {}
        """The newest value of each key that is not settled."""
        self._next = [1 for _ in LANES]
        self._bases = [1 for _ in LANES]
        self._spread_ends = [1 + MAX_SPREAD for _ in LANES]
        """By lane: the first number that the broker would not take, as far as the lowest unsettled one is known."""
        self.turned_away = 0
        """Events that found no room: those that were not accepted, and volatile ones that were dropped."""
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
        terms: Terms | None = None,
    ) -> OutEvent:
        """Take an event in; a volatile one that finds no room too, for `AttachmentCore.send` to drop.

        Raises:
            OutboxFull: there is no room; nothing was accepted.
        """
        size = len(payload) + len(topic) + EVENT_OVERHEAD_BYTES
        if exclude or isinstance(to, list):
            # A long list can be larger than what it is sent with.
            size += sum(map(len, to or ())) + sum(map(len, exclude))
        if self.held_bytes + size > self.limit_bytes and (
            terms is None or not self._makes_do(terms, self.held_bytes + size - self.limit_bytes)
        ):
            self.turned_away += 1
            raise OutboxFull(self._name, self.held_bytes, self.limit_bytes)
        number = self._next[lane]
        if number >= self._spread_ends[lane]:
            self._widen(lane)
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
            terms,
        )
        self.unsettled[lane][number] = event
        self.held_bytes += size
        self.books[lane].accepted += 1
        if terms is not None and terms.value_key is not None:
            self._replace(event, terms, terms.value_key)
        return event

    def _makes_do(self, terms: Terms, excess: int) -> bool:
        """Whether an event is taken in though there is no room: it is dropped, or an older value makes room for it."""
        older = self.latest.get(terms.value_key) if terms.value_key is not None else None
        return terms.volatile or (older is not None and not older.transmitted and older.size >= excess)

    def _replace(self, event: OutEvent, terms: Terms, key: ValueKey) -> None:
        """`event` is the newest value of its key."""
        older = self.latest.get(key)
        self.latest[key] = event
        if older is not None and older.terms is not None:
            older.terms.outdated = True
            terms.replaces = None if older.transmitted else older

    def take_place(self, event: OutEvent, older: OutEvent) -> Unsettled:
        """End an older value that has not left, and let `event` be in every place where that was."""
        told = self.withhold(older, *SUPERSEDED)
        older.become(event)
        self.unsettled[event.lane][event.number] = older
        if event.terms is not None and event.terms.value_key is not None:
            self.latest[event.terms.value_key] = older
        return told

    def _widen(self, lane: Lane) -> None:
        """Numbers near their end: look how far they may go."""
        base = self.base(lane)
        self._spread_ends[lane] = base + MAX_SPREAD
        if self._next[lane] >= self._spread_ends[lane]:
            self.turned_away += 1
            pins = self.unsettled[lane][base]
            raise OutboxFull(
                self._name,
                self.held_bytes,
                self.limit_bytes,
                f"{self._name} has sent {MAX_SPREAD} events on {lane.label} since number {base}, which is not settled: "
                f"it is for {_shown(pins.to)} (`lanebus why {self._name}` says who has not handled it)",
            )

    def base(self, lane: Lane) -> int:
        """The lowest number that is not settled; the next one to be given where all are."""
        base, unsettled, end = self._bases[lane], self.unsettled[lane], self._next[lane]
        while base < end and base not in unsettled:
            base += 1
        self._bases[lane] = base
        return base

    def settle(
        self, lane: Lane, outcome: Outcome, reason: Reason, runs: list[int], lookup: Lookup | None = None
    ) -> list[Unsettled]:
        """Book the end of events, and return those that the program is to be told of: all but delivered ones.

        Args:
            lookup: of the message that says so, where there is one.
        """
        unsettled = self.unsettled[lane]
        told: list[Unsettled] = []
        before = len(unsettled)
        for event in (lookup or Lookup()).take(runs, unsettled):
            self.held_bytes -= event.size
            if event.terms is not None:
                key = event.terms.value_key
                if key is not None and self.latest.get(key) is event:
                    del self.latest[key]
            if event.receipt is not None:
                event.receipt.outcome = outcome
                event.receipt.reason = reason
            if outcome is not Outcome.DELIVERED:
                told.append(Unsettled(event.number, lane, event.topic, event.to, outcome, reason))
        ended = before - len(unsettled)
        self.books[lane].ended[outcome] += ended
        self.ignored += count_numbers(runs) - ended
        return told

    def withhold(self, event: OutEvent, outcome: Outcome, reason: Reason) -> Unsettled:
        """End an event that has never been sent."""
        self.withheld[event.lane][WITHHELD.index(outcome)] += 1
        (told,) = self.settle(event.lane, outcome, reason, [event.number, event.number])
        return told

    def abandon(self, reason: Reason) -> list[Unsettled]:
        """End everything that is left as unknown."""
        told: list[Unsettled] = []
        for lane in LANES:
            for number in list(self.unsettled[lane]):
                told.extend(self.settle(lane, Outcome.UNKNOWN, reason, [number, number]))
        return told

    def highest_sent(self) -> list[int]:
        """By lane: the highest number of an unsettled event that has left; 0 for none."""
        return [
            max((number for number, event in unsettled.items() if event.transmitted), default=0)
            for unsettled in self.unsettled
        ]

    @property
    def in_flight(self) -> int:
        """Events accepted and not settled, on all lanes."""
        return sum(map(len, self.unsettled))

    def events(self, lane: Lane) -> Iterator[OutEvent]:
        """The unsettled events of one lane, in the order of their numbers."""
        return iter(self.unsettled[lane].values())


def _shown(to: str | list[str] | None) -> str:
    """A destination, for people."""
    if to is None:
        return "the service of its topic"
    return to if isinstance(to, str) else ", ".join(to[:3]) + (", ..." if len(to) > 3 else "")
