"""One session as a sender on one lane: which numbers it has used, how its events ended, and its books."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from lanebus.broker.skipped import Skipped
from lanebus.wire.outcomes import WITHHELD, Book, Outcome, Reason
from lanebus.wire.runs import add_run, runs_from

if TYPE_CHECKING:
    from lanebus.broker.events import Event
    from lanebus.broker.policies import Over
    from lanebus.broker.sessions import Unresolved

_ENDS: Final[dict[tuple[Outcome, Reason], tuple[Outcome, Reason]]] = {}
"""Each end once, for all that name it: as many as there are outcomes and reasons."""
_TRIM_BOUNDS: Final = 64
"""Bounds of runs that are kept before it is worth a look which of them the sender knows."""


class Sending:
    """One session as a sender, on one lane."""

    __slots__ = (
        "awaited",
        "base",
        "book",
        "ends",
        "held",
        "held_from",
        "last",
        "parts",
        "reasons",
        "skipped",
        "trim_bounds",
        "unreported",
        "unresolved",
        "withheld",
    )

    def __init__(self) -> None:
        self.awaited = 0
        """Highest number that another broker, or session, may have accepted: up to it events are replayed."""
        self.last = 0
        """Highest number accepted."""
        self.skipped = Skipped()
        """Numbers from `base` up to `last` that were never seen; every other one up to `last` is a duplicate."""
        self.base = 1
        """The sender's lowest unsettled number, as it last said."""
        self.book = Book()
        """Of events, those too that ended at their sender and never came here, as it reports them."""
        self.withheld = [0 for _ in WITHHELD]
        """How many of those, by how they ended."""
        self.parts = Book()
        self.reasons: dict[tuple[Outcome, Reason], int] = {}
        """How many events ended otherwise than delivered, and why; events that never came here are not among them."""
        self.ends: dict[tuple[Outcome, Reason], list[int]] = {}
        """Runs of numbers, by how they ended; kept for a resumed sender, from `base` on."""
        self.trim_bounds = _TRIM_BOUNDS
        """How many bounds of them there have to be before those below `base` are taken out."""
        self.unreported: dict[tuple[Outcome, Reason], list[int]] = {}
        """Runs of numbers whose end the sender has not been told."""
        self.held_from = 0
        """The first event that was not accepted because the sender is over a limit; until it comes again none behind
        it is. 0 while it is within its limits."""
        self.held: Over | None = None
        """The limit that it was over last, as long as it is near it."""
        self.unresolved: deque[tuple[Event, Unresolved]] = deque()
        """Events that wait, after the broker's start, for an instance of their service."""

    @property
    def next_routed(self) -> int:
        """The lowest number that has no receivers yet, of those that are new."""
        return self.unresolved[0][0].number if self.unresolved else max(self.last, self.awaited) + 1

    def has(self, number: int) -> bool:
        """Whether `number` has been accepted before."""
        return number <= self.last and number not in self.skipped

    def is_new(self, number: int) -> bool:
        """Whether `number` has not been accepted before; if so it is now. Intake has checked how far ahead it is."""
        if number == self.last + 1:
            self.last = number
            return True
        if number > self.last:
            self.skipped.jump(self.last + 1, number - 1)
            self.last = number
            return True
        return self.skipped.came(number)

    def end(self, number: int, outcome: Outcome, reason: Reason) -> None:
        """Book the end of an event."""
        self.end_run(number, number, outcome, reason)

    def end_run(self, first: int, last: int, outcome: Outcome, reason: Reason) -> None:
        """Book the same end of all events from one number to another."""
        count = last - first + 1
        self.book.ended[outcome] += count
        end = (outcome, reason)
        if outcome is not Outcome.DELIVERED:
            self.reasons[end] = self.reasons.get(end, 0) + count
        for by_end in (self.ends, self.unreported):
            runs = by_end.get(end)
            if runs is None:
                runs = by_end[_ENDS.setdefault(end, end)] = []
            add_run(runs, first, last)

    def withhold(self, figures: list[int]) -> None:
        """Book what ended at the sender, as it last said."""
        for outcome, before, count in zip(WITHHELD, self.withheld, figures, strict=True):
            self.book.accepted += count - before
            self.book.ended[outcome] += count - before
        self.withheld = figures

    def rebase(self, base: int) -> None:
        """Forget the ends of numbers below `base`: their sender knows them."""
        if base > self.base:
            self.base = base
            if self.ends and sum(map(len, self.ends.values())) > self.trim_bounds:
                # Seldom, so that many runs are not gone through for each step of the base.
                self.ends = self._from_base()
                self.trim_bounds = _TRIM_BOUNDS + 2 * sum(map(len, self.ends.values()))
            self.last = max(self.last, base - 1)
            if base > self.held_from:
                self.held_from = 0
            self.skipped.forget_below(base)

    def report_again(self) -> None:
        """Queue every remembered end for its sender once more."""
        self.unreported = self._from_base()

    def _from_base(self) -> dict[tuple[Outcome, Reason], list[int]]:
        kept = {end: runs_from(runs, self.base) for end, runs in self.ends.items()}
        return {end: runs for end, runs in kept.items() if runs}
