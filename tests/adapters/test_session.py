"""One name's state in an adapter."""

from collections import deque

from tests.adapters.parts import accept_on, sessions

from lanebus.adapters.session import SessionCore
from lanebus.wire.batches import DownEvent
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason


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


def test_a_session_reads_and_is_open_from_the_start() -> None:
    session = make()
    assert session.reading
    assert not session.closed
    assert session.inbox.session == 3


def test_what_went_to_another_instance_waits_nowhere_any_more() -> None:
    session = make()
    (stream, *_) = session.inbox.know(1, "player:1", b"p" * 16)
    for number in range(1, 6):
        session.inbox.arrive(stream, DownEvent(1, number, 0, 0, "t", b""))
    arrivals = session.inbox.arrivals[stream.lane]
    session.unhandled.append(arrivals.popleft())
    session.unread.append(arrivals.popleft())
    session.revoke(stream, {1, 2, 3})
    assert not session.unhandled
    assert not session.unread
    assert [event.number for _, event in arrivals] == [4, 5]


def test_what_was_withheld_follows_the_book_and_only_since_this_broker_began_its_own() -> None:
    session = sessions()[0]
    for ttl_ms in (1, 2, 3):
        session.outbox.withhold(
            accept_on(session, "reliable", ttl_ms=ttl_ms), Outcome.EXPIRED, Reason.TOO_LATE
        )
    assert session.book_figures()[Lane.NORMAL] == [3, 0, 0, 3, 0, 0, 0, 0, 3, 0]
    session.begin_books()
    assert session.book_figures()[Lane.NORMAL] == [0] * 7
    session.outbox.withhold(accept_on(session, "volatile"), Outcome.DROPPED, Reason.NO_ROOM)
    assert session.book_figures()[Lane.NORMAL] == [1, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert session.book_figures()[Lane.LOW] == [0] * 7
