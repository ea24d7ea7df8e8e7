"""Outcomes, reasons, and the book that must balance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanebus.wire.outcomes import (
    LEGAL_REASONS,
    OUTCOME_NAMES,
    OUTCOMES,
    RECEIVER_REASONS,
    WITHHELD,
    Book,
    Outcome,
    Reason,
)

figures = st.lists(st.integers(0, 1 << 40), min_size=7, max_size=7)


def test_every_outcome_has_its_name() -> None:
    assert [outcome.label for outcome in OUTCOMES] == list(OUTCOME_NAMES)
    assert [outcome.name.lower() for outcome in Outcome] == list(OUTCOME_NAMES)


def test_the_worst_of_several_outcomes_is_the_greatest() -> None:
    assert max(Outcome.DELIVERED, Outcome.REFUSED, Outcome.DROPPED) is Outcome.REFUSED
    assert max(OUTCOMES) is Outcome.UNKNOWN
    assert min(OUTCOMES) is Outcome.DELIVERED


def test_every_outcome_has_its_reasons_and_only_delivered_has_none() -> None:
    assert set(LEGAL_REASONS) == set(Outcome)
    for outcome, reasons in LEGAL_REASONS.items():
        assert (Reason.NONE in reasons) is (outcome is Outcome.DELIVERED)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_goes_with_some_outcome(reason: Reason) -> None:
    assert any(reason in reasons for reasons in LEGAL_REASONS.values())


def test_a_receiver_can_settle_in_any_way_and_knows_two_that_are_unknown() -> None:
    possible = {
        outcome for outcome, reasons in LEGAL_REASONS.items() for reason in reasons & RECEIVER_REASONS
    }
    assert possible == set(Outcome)
    assert LEGAL_REASONS[Outcome.UNKNOWN] & RECEIVER_REASONS == {Reason.PASSED_OVER, Reason.PROCESS_ENDED}


def test_what_a_sender_withholds_ends_with_reasons_of_its_own() -> None:
    assert [outcome.label for outcome in WITHHELD] == ["superseded", "expired", "dropped", "refused"]
    assert Reason.NO_ROOM in LEGAL_REASONS[Outcome.DROPPED] - RECEIVER_REASONS


def test_a_new_book_is_empty_and_balances() -> None:
    book = Book()
    assert book.as_list() == [0] * 7
    assert book.in_flight == 0
    assert repr(book) == "<Book >"


def test_what_was_accepted_and_has_not_ended_is_in_flight() -> None:
    book = Book()
    book.accepted = 5
    book.ended[Outcome.DELIVERED] = 2
    book.ended[Outcome.REFUSED] = 1
    assert book.in_flight == 2
    assert book.as_dict() == {
        "accepted": 5,
        "delivered": 2,
        "superseded": 0,
        "expired": 0,
        "dropped": 0,
        "refused": 1,
        "unknown": 0,
        "in_flight": 2,
    }
    assert repr(book) == "<Book accepted=5 delivered=2 refused=1 in_flight=2>"


@given(figures)
def test_a_book_survives_the_way_over_the_wire(figures: list[int]) -> None:
    book = Book.from_list(figures)
    assert book.as_list() == figures
    assert Book.from_list(book.as_list()) == book


@given(figures, figures)
def test_adding_books_adds_every_figure_and_leaves_the_added_one_alone(
    one: list[int], other: list[int]
) -> None:
    total, added = Book.from_list(one), Book.from_list(other)
    total.add(added)
    assert total.as_list() == [a + b for a, b in zip(one, other, strict=True)]
    assert added.as_list() == other


def test_books_compare_by_their_figures_and_cannot_be_keys() -> None:
    assert Book(2, [1, 0, 0, 0, 0, 0]) == Book(2, [1, 0, 0, 0, 0, 0])
    assert Book(2) != Book(3)
    assert Book(2) != "a book"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Book())


def test_two_books_share_no_list() -> None:
    ended = [0] * 6
    first, second = Book(0, ended), Book(0, ended)
    first.ended[0] = 1
    assert second.ended[0] == 0
    assert ended[0] == 0
