"""Error numbers and the one exception that foreign bytes may raise."""

import pytest

from lanebus.wire.errors import ErrorNumber, ProtocolError


def test_numbers_are_unique_and_have_three_digits_of_five_families() -> None:
    numbers = [number.value for number in ErrorNumber.__members__.values()]
    assert len(numbers) == len(set(numbers))
    assert {number // 100 for number in numbers} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("number", ErrorNumber)
def test_a_label_is_the_name_in_small_letters(number: ErrorNumber) -> None:
    assert number.label == number.name.lower()


def test_an_error_says_its_rule_its_number_and_what_was_found() -> None:
    error = ProtocolError(ErrorNumber.BATCH_GAP, "batch 7, expected 6")
    assert error.number is ErrorNumber.BATCH_GAP
    assert error.detail == "batch 7, expected 6"
    assert str(error) == "batch_gap (204): batch 7, expected 6"
