"""One name's state in an adapter."""

from collections import deque

import pytest
from tests.adapters.parts import accept_on, sessions

from lanebus.adapters import session as module
from lanebus.adapters.errors import OutboxFull
from lanebus.adapters.session import SessionCore, make_ping
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outboxes import OutboxReport
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.quality import Degree

VIEW = (Degree.GOOD, "jitter 24.1 ms")


def make() -> SessionCore:
    return SessionCore(
        3,
        "player:1",
        b"p" * 16,
        arrivals=tuple(deque() for _ in LANES),
        to_report=set(),
        outbox_bytes=1000,
        strict=False,
    )


def test_books_are_reported_when_they_have_changed_and_only_then() -> None:
    session = make()
    empty = [[0] * 7] * 3
    assert session.changed_books() == empty
    assert session.changed_books() is None
    session.outbox.accept(3, Lane.LOW, "t", None, [], b"", 0.0, 0, False)
    assert session.changed_books() == [[0] * 7, [0] * 7, [1, 0, 0, 0, 0, 0, 0]]
    assert session.changed_books() is None
    session.outbox.settle(Lane.LOW, Outcome.UNKNOWN, Reason.CLOSED, [1, 1])
    assert session.changed_books() == [[0] * 7, [0] * 7, [1, 0, 0, 0, 0, 0, 1]]


def test_an_outbox_is_reported_while_it_is_half_full_and_when_it_had_no_room() -> None:
    session = make()
    outbox = session.outbox

    def accept(size: int) -> None:
        outbox.accept(3, Lane.LOW, "t", None, [], b"x" * size, 0.0, 0, False)

    accept(400)
    assert session.outbox_report() is None
    accept(100)
    for _ in range(2):
        assert session.outbox_report() == OutboxReport(3, outbox.held_bytes, 1000, 0)
    for _ in range(3):
        with pytest.raises(OutboxFull):
            accept(600)
    outbox.settle(Lane.LOW, Outcome.DELIVERED, Reason.NONE, [1, 2])
    assert session.outbox_report() == OutboxReport(3, 0, 1000, 3)
    assert session.outbox_report() is None


@pytest.mark.patches
def test_a_ping_names_the_fullest_outboxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OUTBOXES", 2)
    session_of = {index: make() for index in range(1, 6)}
    for index, session in session_of.items():
        session.index = index
        session.outbox.accept(index, Lane.LOW, "t", None, [], b"x" * 100 * index, 0.0, 0, False)
    ping = make_ping({index: session_of[index] for index in (1, 2)}, {}, None, VIEW, 0.0, [], 2.5)
    assert (ping.clock_us, ping.rtt_us, ping.outboxes) == (2_500_000, 0, [])
    assert [index for index, _ in ping.books] == [1, 2]
    assert (ping.quality, ping.reason) == VIEW
    session_of[1].outbox.turned_away += 1
    ping = make_ping(session_of, {}, 0.02, VIEW, 1.5, [], 3.0)
    assert (ping.rtt_us, ping.late_ms) == (20_000, 1_500)
    assert [report.session for report in ping.outboxes] == [1, 5]
    assert [index for index, _ in ping.books] == [3, 4, 5]


def test_a_session_reads_and_is_open_from_the_start() -> None:
    session = make()
    assert session.reading
    assert not session.closed
    assert session.inbox.session == 3


def test_what_was_withheld_follows_the_book_and_only_since_this_broker_began_its_own() -> None:
    session = sessions()[0]
    for ttl_ms in (1, 2, 3):
        session.outbox.withhold(
            accept_on(session, "reliable", ttl_ms=ttl_ms), Outcome.EXPIRED, Reason.TOO_LATE
        )
    assert session.book_figures()[Lane.NORMAL] == [3, 0, 0, 3, 0, 0, 0, 0, 3, 0, 0]
    session.begin_books()
    assert session.book_figures()[Lane.NORMAL] == [0] * 7
    session.outbox.withhold(accept_on(session, "volatile"), Outcome.DROPPED, Reason.NO_ROOM)
    assert session.book_figures()[Lane.NORMAL] == [1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    assert session.book_figures()[Lane.LOW] == [0] * 7


@pytest.mark.patches
def test_reports_that_find_no_room_in_a_ping_are_kept_and_all_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_REPORTS", 2)
    session_of = {index: make() for index in range(1, 6)}
    for index, session in session_of.items():
        session.index = index
        session.latency.note(Lane.LOW, index)
    found: list[int] = []
    for number in range(40):
        ping = make_ping(session_of, {}, None, VIEW, 0.0, [], 1.0 + number / 1e3)
        assert len(ping.reports) <= 2
        found.extend(report.session for report in ping.reports)
    assert sorted(found) == [1, 2, 3, 4, 5], "each once, and none is lost"


@pytest.mark.patches
def test_reports_take_no_more_than_fits_into_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REPORT_BYTES", 100)
    session_of = {index: make() for index in range(1, 6)}
    for index, session in session_of.items():
        session.index = index
        for age in range(10):
            session.latency.note(Lane.LOW, age)
    assert len(make_ping(session_of, {}, None, VIEW, 0.0, [], 1.0).reports) == 2
