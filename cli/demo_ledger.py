"""The demo's own proof: what senders meant to be delivered, against what receivers handled, each side by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lanebus.cli.demo_reports import ARENA, Report
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import Book, Outcome


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Deliveries of a whole match; the broker, of which there may have been several, is not asked."""

    meant: int
    handled: int
    ended_otherwise: int
    """Deliveries, at most, of those events whose senders know that they were not delivered everywhere."""
    lost: int
    """Meant and not handled, and no sender was told."""
    duplicated: int
    """Handled again, or without having been meant."""

    @classmethod
    def of(cls, server: Report | None, bots: Iterable[Report]) -> Ledger:
        """Compare the counts of the arena's server and of its players, receiver by receiver and lane by lane."""
        players = list(bots)
        everybody = [*players, *([server] if server else [])]
        meant: dict[tuple[str, int], int] = {}
        handled: dict[tuple[str, int], int] = {}
        ended_otherwise = server.ended_otherwise if server else 0
        for lane in LANES:
            for receiver, counts in (server.meant if server else {}).items():
                meant[receiver, lane] = counts[lane]
            # Whatever a player sends is for the arena, one delivery each.
            books = [Book.from_list(report.books[lane]) for report in players]
            meant[ARENA, lane] = sum(book.accepted for book in books)
            ended_otherwise += sum(sum(book.ended) - book.ended[Outcome.DELIVERED] for book in books)
            for report in everybody:
                for receiver, counts in report.handled.items():
                    handled[receiver, lane] = counts[lane] - _early(server, report, receiver, lane)
        keys = meant.keys() | handled.keys()
        missing = {key: meant.get(key, 0) - handled.get(key, 0) for key in keys}
        return cls(
            meant=sum(meant.values()),
            handled=sum(handled.values()),
            ended_otherwise=ended_otherwise,
            lost=max(sum(max(count, 0) for count in missing.values()) - ended_otherwise, 0),
            duplicated=sum(report.repeated for report in everybody)
            + sum(max(-count, 0) for count in missing.values()),
        )


def _early(server: Report | None, report: Report, receiver: str, lane: int) -> int:
    """How many deliveries a newcomer got that were sent before it was put into its group.

    Only what is sent after a join waits for it; what is on its way on another lane's link may come to it or not.
    """
    if server is None or receiver not in server.first_meant or receiver not in report.firsts:
        return 0
    first = server.first_meant[receiver][lane]
    return sum(not first or number < first for number in report.firsts[receiver][lane])
