"""What the broker remembers of a sender: which numbers it has seen, and how they ended."""

from hypothesis import given
from hypothesis import strategies as st

from lanebus.broker.sending import Sending
from lanebus.wire.outcomes import Outcome, Reason

DELIVERED = (Outcome.DELIVERED, Reason.NONE)


def test_a_number_is_new_once() -> None:
    sending = Sending()
    assert [sending.is_new(number) for number in (1, 2, 2, 1, 3)] == [True, True, False, False, True]


def test_skipped_numbers_are_new_when_they_come_later() -> None:
    sending = Sending()
    assert sending.is_new(4)
    assert sending.skipped.runs() == [(1, 3)]
    assert [sending.is_new(number) for number in (2, 2, 4, 1)] == [True, False, False, True]
    assert sending.skipped.runs() == [(3, 3)]


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
    assert sending.skipped.runs() == [(5, 5)]
    sending.report_again()
    assert sending.unreported == {DELIVERED: [6, 6]}
    assert not sending.is_new(3)
    assert sending.is_new(5)


def test_a_base_past_everything_seen_counts_as_seen() -> None:
    sending = Sending()
    sending.rebase(10)
    assert not sending.is_new(9)
    assert sending.is_new(10)
    assert not sending.skipped.runs()


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
