"""One peer's session inside an adapter: its outbox, its inbox, and its handlers."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from lanebus.adapters.event import Gap, Unsettled
from lanebus.adapters.given import tell
from lanebus.adapters.handlers import Handlers
from lanebus.adapters.inbox import Arrival, Arrivals, Inbox
from lanebus.adapters.latency import Latency
from lanebus.adapters.outbox import Outbox
from lanebus.adapters.unhandled import Unhandled
from lanebus.wire.lanes import LANES
from lanebus.wire.messages import MAX_SERVED_BY
from lanebus.wire.outboxes import OutboxReport
from lanebus.wire.outcomes import BOOK_FIGURES, WITHHELD
from lanebus.wire.pings import Ping
from lanebus.wire.quality import Degree
from lanebus.wire.reports import SessionReport, TopicTimes, WaitingLane

log = logging.getLogger("lanebus.adapters")

MAX_BOOKS: Final = 512
"""Books in one ping."""
MAX_OUTBOXES: Final = 512
"""Outboxes in one ping: the fullest."""
MAX_REPORTS: Final = 512
"""Reports of sessions in one ping."""
MAX_REPORT_BYTES: Final = 1 << 18
"""About how much they may take: a ping has to fit into a frame."""
MAX_LATE_MS: Final = 86_400_000
"""Most that a ping says it is late: a day."""


class SessionCore:
    """What belongs to one name."""

    def __init__(
        self,
        index: int,
        name: str,
        process: bytes,
        *,
        arrivals: Arrivals,
        to_report: set[int],
        outbox_bytes: int,
        strict: bool,
    ) -> None:
        self.index = index
        self.name = name
        self.process = process
        self.outbox = Outbox(name, outbox_bytes)
        self.inbox = Inbox(index, arrivals, to_report)
        self.handlers = Handlers(strict=strict)
        self.on_unsettled: list[Callable[[Unsettled], Any]] = []
        self.on_gap: list[Callable[[Gap], Any]] = []
        self.latency = Latency()
        """How long what it has handled took to get there."""
        self.unhandled = Unhandled(name)
        """Events of topics without a handler yet."""
        self.unread: deque[Arrival] = deque()
        """Events that came while the session was not reading; bounded by the broker's credit."""
        self.reading = True
        self.closed = False
        self.served_by: dict[str, list[tuple[str, list[int], bool]]] = {}
        """By service: its instances that events went to, as the broker said."""
        self.books_reported: list[list[int]] | None = None
        self._turned_away_before = 0
        self._settled_before = [[0] * (BOOK_FIGURES + len(WITHHELD)) for _ in LANES]

    def tell_gap(self, gap: Gap) -> None:
        """Tell the program of a gap; what it raises is logged."""
        tell(self.on_gap, gap, f"on_gap of {self.name}")

    def note_served(self, service: str, history: list[tuple[str, list[int], bool]]) -> None:
        """The broker says which instances of a service its events went to."""
        self.served_by.pop(service, None)
        self.served_by[service] = history
        if len(self.served_by) > MAX_SERVED_BY:
            del self.served_by[next(iter(self.served_by))]

    def instances(self) -> list[tuple[str, list[tuple[str, list[int], bool]]]]:
        """Which instances of services its events went to, for a broker that has to be told."""
        return list(self.served_by.items())

    def begin_books(self) -> None:
        """A broker begins its books of this session: what is settled is not in them, what is not will be."""
        self.books_reported = None
        self._settled_before = [
            [book.accepted - book.in_flight, *book.ended, *withheld]
            for book, withheld in zip(self.outbox.books, self.outbox.withheld, strict=True)
        ]

    def book_figures(self) -> list[list[int]]:
        """The books of all lanes since the present broker began its own, as they travel.

        What was withheld follows where it is not nothing: no batch tells the broker of it.
        """
        figures = []
        for book, withheld, settled in zip(
            self.outbox.books, self.outbox.withheld, self._settled_before, strict=True
        ):
            row = [
                figure - before for figure, before in zip([*book.as_list(), *withheld], settled, strict=True)
            ]
            figures.append(row if any(row[BOOK_FIGURES:]) else row[:BOOK_FIGURES])
        return figures

    def outbox_report(self) -> OutboxReport | None:
        """How full the outbox is, if that is half or more, or if events had no room since this was last asked."""
        outbox = self.outbox
        turned_away = outbox.turned_away - self._turned_away_before
        self._turned_away_before = outbox.turned_away
        if not turned_away and outbox.held_bytes * 2 < outbox.limit_bytes:
            return None
        return OutboxReport(self.index, outbox.held_bytes, max(1, outbox.limit_bytes), turned_away)

    def report(self, waiting: list[WaitingLane]) -> SessionReport | None:
        """What there is to say beside that; `waiting` is what may not leave."""
        unhandled, handled = self.unhandled.report(), self.latency.report()
        if unhandled or waiting or handled:
            return SessionReport(self.index, unhandled, waiting, handled)
        return None

    def changed_books(self) -> list[list[int]] | None:
        """The books, if they have changed since this was last asked."""
        figures = self.book_figures()
        if figures == self.books_reported:
            return None
        self.books_reported = figures
        return figures


def changed_books(sessions: dict[int, SessionCore]) -> list[tuple[int, list[list[int]]]]:
    """Indexes and books of sessions whose books have changed since they were last asked for, `MAX_BOOKS` at most."""
    books: list[tuple[int, list[list[int]]]] = []
    for index, session in sessions.items():
        figures = session.changed_books()
        if figures is not None:
            books.append((index, figures))
            if len(books) >= MAX_BOOKS:
                break
    return books


def make_ping(
    sessions: dict[int, SessionCore],
    waiting: dict[int, list[WaitingLane]],
    rtt_s: float | None,
    view: tuple[Degree, str],
    late_s: float,
    topics: list[TopicTimes],
    now: float,
) -> Ping:
    """A ping with all that the broker is told by it.

    Args:
        waiting: what may not leave, by session.
        view: how the attachment finds its line, and why.
        late_s: how much later than it should have it leaves.
        topics: handler times that have changed.
    """
    outboxes = [report for session in sessions.values() if (report := session.outbox_report()) is not None]
    if len(outboxes) > MAX_OUTBOXES:
        outboxes.sort(key=lambda report: (report.turned_away > 0, report.held_bytes), reverse=True)
        del outboxes[MAX_OUTBOXES:]
    return Ping(
        int(now * 1e6),
        int((rtt_s or 0.0) * 1e6),
        changed_books(sessions),
        *view,
        outboxes,
        _reports(sessions, waiting, now),
        min(int(late_s * 1e3), MAX_LATE_MS),
        topics,
    )


def _reports(
    sessions: dict[int, SessionCore], waiting: dict[int, list[WaitingLane]], now: float
) -> list[SessionReport]:
    """Reports of as many sessions as fit into a ping; what the others have handled is kept for a later one."""
    order = list(sessions.values())
    if len(order) > 1:
        # Another one is the first each time, so that all have their turn.
        first = int(now * 1e3) % len(order)
        order = order[first:] + order[:first]
    reports: list[SessionReport] = []
    size = 0
    for session in order:
        if len(reports) >= MAX_REPORTS or size >= MAX_REPORT_BYTES:
            break
        report = session.report(waiting.get(session.index, []))
        if report is not None:
            reports.append(report)
            size += sum(len(each.topic) + len(each.sender) for each in report.unhandled)
            size += 4 * sum(len(each.counts) for each in report.handled)
    return reports
