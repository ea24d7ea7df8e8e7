"""What the broker remembers of a sender: which numbers it has seen, and how they ended."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Attachment, Entry, Event, Outbound, Sending, Sent, Session
from lanebus.conf.model import QualityConfig
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason

DELIVERED = (Outcome.DELIVERED, Reason.NONE)


def an_attachment(name: str = "player:1", role: Role = Role.CLIENT) -> Attachment:
    return Attachment(name, role, b"p" * 16, b"t" * 16, 0.0)


def a_session(attachment: Attachment) -> Session:
    return Session(
        attachment, 0, attachment.name, attachment.role, b"p" * 16, 7, Quality(QualityConfig()), 0.0
    )


def an_event(session: Session, number: int, payload: bytes = b"") -> Event:
    return Event(session, Lane.LOW, number, msgspec.Raw(b"x" * 10 + payload), None, 0.0, 1.0)


def test_a_number_is_new_once() -> None:
    sending = Sending()
    assert [sending.is_new(number) for number in (1, 2, 2, 1, 3)] == [True, True, False, False, True]


def test_skipped_numbers_are_new_when_they_come_later() -> None:
    sending = Sending()
    assert sending.is_new(4)
    assert sending.skipped == {1, 2, 3}
    assert [sending.is_new(number) for number in (2, 2, 4, 1)] == [True, False, False, True]
    assert sending.skipped == {3}


@given(st.lists(st.integers(1, 40), max_size=80))
def test_every_number_is_new_exactly_the_first_time(numbers: list[int]) -> None:
    sending = Sending()
    seen: set[int] = set()
    for number in numbers:
        assert sending.is_new(number) == (number not in seen)
        seen.add(number)


def test_below_the_base_nothing_is_new_and_nothing_is_remembered() -> None:
    sending = Sending()
    for number in (1, 2, 6):
        sending.is_new(number)
    for number in (1, 2, 6):
        sending.end(number, *DELIVERED)
    sending.rebase(5)
    assert sending.skipped == {5}
    assert sending.outcomes == {6: DELIVERED}
    assert not sending.is_new(3)
    assert sending.is_new(5)


def test_a_base_past_everything_seen_counts_as_seen() -> None:
    sending = Sending()
    sending.rebase(10)
    assert not sending.is_new(9)
    assert sending.is_new(10)
    assert not sending.skipped


def test_a_base_never_goes_back() -> None:
    sending = Sending()
    sending.rebase(10)
    sending.rebase(4)
    assert sending.base == 10


def test_ends_gather_as_runs_by_outcome() -> None:
    sending = Sending()
    for number in (1, 2, 3, 5):
        sending.end(number, *DELIVERED)
    sending.end(4, Outcome.REFUSED, Reason.NO_HANDLER)
    assert sending.unreported == {DELIVERED: [1, 3, 5, 5], (Outcome.REFUSED, Reason.NO_HANDLER): [4, 4]}
    assert sending.book.ended[Outcome.DELIVERED] == 4
    assert sending.book.ended[Outcome.REFUSED] == 1


def test_a_resumed_sender_can_be_told_every_remembered_end_again() -> None:
    sending = Sending()
    for number in (3, 1, 2):
        sending.end(number, *DELIVERED)
    sending.unreported = {}
    sending.report_again()
    assert sending.unreported == {DELIVERED: [1, 3]}


def test_what_was_not_acknowledged_goes_back_to_the_head_in_order() -> None:
    attachment = an_attachment()
    session = a_session(attachment)
    out = Outbound(attachment, Lane.LOW)
    entries: list[Entry] = [(an_event(session, number), session.alone) for number in range(1, 7)]
    out.unacked.extend([Sent(1, 20, entries[:2], 0.0), Sent(2, 10, entries[2:3], 0.0)])
    out.unacked_bytes = 30
    out.queue.extend(entries[3:])
    out.queued_bytes = 30
    out.next_number = 3
    out.announced.add(7)
    out.relink()
    assert [event.number for event, _ in out.queue] == [1, 2, 3, 4, 5, 6]
    assert (out.queued_bytes, out.unacked_bytes, out.resent, out.next_number) == (60, 0, 3, 1)
    assert not out.unacked
    assert not out.announced


@pytest.mark.parametrize(
    ("role", "targeted"), [(Role.CLIENT, False), (Role.SERVER, False), (Role.GATEWAY, True)]
)
def test_only_batches_to_gateways_name_their_sessions(role: Role, targeted: bool) -> None:
    assert an_attachment(role=role).targeted is targeted


def test_sessions_and_attachments_show_themselves_in_a_line() -> None:
    attachment = an_attachment()
    session = a_session(attachment)
    attachment.sessions[0] = session
    assert repr(attachment) == "<Attachment player:1 links=0 sessions=1>"
    assert repr(session) == "<Session player:1 origin=7>"
    session.ended = True
    assert repr(session) == "<Session player:1 origin=7 ended>"
    assert list(attachment.live_links()) == []
    assert [out.lane for out in attachment.outbound] == list(LANES)
