"""Totals: what sessions have counted, summed, so that no figure falls when a session ends."""

from __future__ import annotations

from copy import deepcopy

from lanebus.broker.sessions import Session
from lanebus.broker.traffic import Traffic
from lanebus.wire.lanes import LANES
from lanebus.wire.names import Role
from lanebus.wire.outcomes import WITHHELD, Book, Outcome, Reason


class Totals:
    """Books and counters of sessions."""

    def __init__(self) -> None:
        self.events = [Book() for _ in LANES]
        self.parts = [Book() for _ in LANES]
        self.reported = [Book() for _ in LANES]
        """What their senders said of events."""
        self.traffic = {role: [Traffic() for _ in LANES] for role in (Role.CLIENT, Role.SERVER)}
        self.reasons: list[dict[tuple[Outcome, Reason], int]] = [{} for _ in LANES]
        """By lane: how many events ended otherwise than delivered, and why, those withheld left out."""
        self.withheld = [[0 for _ in WITHHELD] for _ in LANES]
        """By lane: events that ended at their senders, by outcome."""
        self.sessions = 0
        self.unreported_sessions = 0
        """Sessions that have not said what became of everything they sent."""

    def add(self, session: Session) -> None:
        """Add one session's figures."""
        self.sessions += 1
        if session.reported is None and any(sending.book.accepted for sending in session.sending):
            self.unreported_sessions += 1
        by_lane = self.traffic[session.role]
        for lane in LANES:
            sending = session.sending[lane]
            if sending.book.accepted:
                self.events[lane].add(sending.book)
                self.parts[lane].add(sending.parts)
                self._add_reasons(lane, sending.reasons)
                for place, number in enumerate(sending.withheld):
                    self.withheld[lane][place] += number
            if session.reported is not None:
                self.reported[lane].add(session.reported[lane])
            traffic = session.traffic[lane]
            if traffic.batches_in or traffic.batches_out:
                by_lane[lane].add(traffic)

    def _add_reasons(self, lane: int, reasons: dict[tuple[Outcome, Reason], int]) -> None:
        summed = self.reasons[lane]
        for end, number in reasons.items():
            summed[end] = summed.get(end, 0) + number

    def copy(self) -> Totals:
        """Figures of their own."""
        return deepcopy(self)
