"""Runs: sets of numbers as pairs of first and last."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cost import cost_of
from tests.named import numbers_in

from lanebus.wire.batches import MAX_UNSIGNED
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.runs import (
    MAX_RUN_NUMBERS,
    Lookup,
    add_number,
    add_run,
    check_runs,
    count_numbers,
    first_part,
    forget_below,
    runs_from,
    runs_of,
)


@given(st.sets(st.integers(0, 60)))
def test_the_runs_of_a_set_name_exactly_its_numbers_in_order(numbers: set[int]) -> None:
    runs = runs_of(numbers)
    assert list(numbers_in(runs)) == sorted(numbers)
    assert check_runs(runs) == len(numbers)


@given(st.sets(st.integers(0, 60)))
def test_the_runs_of_a_set_are_as_few_as_possible(numbers: set[int]) -> None:
    beginnings = sum(number - 1 not in numbers for number in numbers)
    assert len(runs_of(numbers)) == 2 * beginnings


@given(st.lists(st.integers(0, 20), unique=True))
def test_numbers_added_in_any_order_are_all_there_once(numbers: list[int]) -> None:
    runs: list[int] = []
    for number in numbers:
        add_number(runs, number)
    assert list(numbers_in(runs)) == numbers
    assert check_runs(runs) == len(numbers)


@pytest.mark.parametrize(
    ("numbers", "runs"),
    [
        ([], []),
        ([5], [5, 5]),
        ([1, 2, 3, 5, 8, 9], [1, 3, 5, 5, 8, 9]),
        ([9, 1, 2], [1, 2, 9, 9]),
    ],
)
def test_runs_are_pairs_of_first_and_last(numbers: list[int], runs: list[int]) -> None:
    assert runs_of(numbers) == runs


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([1], "1 bounds of runs: they come in pairs"),
        ([1, 2, 3], "3 bounds of runs"),
        ([2, 1], "run from 2 to 1"),
        ([1, 1, 9, 0], "run from 9 to 0"),
        ([0, MAX_RUN_NUMBERS], "more than"),
        ([1, MAX_RUN_NUMBERS, 1, 1], "more than"),
        ([0, (1 << 53) - 1], "more than"),
    ],
)
def test_malformed_and_oversized_runs_are_refused(runs: list[int], text: str) -> None:
    with pytest.raises(ProtocolError, match=text) as raised:
        check_runs(runs)
    assert raised.value.number is ErrorNumber.BAD_BODY


def test_runs_at_the_limit_are_legal() -> None:
    assert check_runs([1, MAX_RUN_NUMBERS]) == MAX_RUN_NUMBERS
    assert check_runs([]) == 0


@given(st.dictionaries(st.integers(0, 40), st.text(max_size=2)), st.integers(0, 40), st.integers(0, 40))
def test_forgetting_takes_away_what_is_below_and_keeps_the_rest_in_order(
    numbers: dict[int, str], old: int, new: int
) -> None:
    old, new = sorted((old, new))
    known = {number: value for number, value in numbers.items() if number >= old}
    expected = [(number, value) for number, value in known.items() if number >= new]
    forget_below(known, old, new)
    assert list(known.items()) == expected


def test_forgetting_a_long_way_costs_only_what_is_there() -> None:
    numbers = {5: "five", 1 << 52: "far"}
    forget_below(numbers, 1, 1 << 51)
    assert numbers == {1 << 52: "far"}


@given(st.lists(st.integers(1, 60), unique=True), st.integers(1, 70))
def test_runs_from_a_number_name_what_is_not_below_it_in_as_few_as_possible(
    numbers: list[int], base: int
) -> None:
    runs: list[int] = []
    for number in numbers:
        add_number(runs, number)
    assert runs_from(runs, base) == runs_of(number for number in numbers if number >= base)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))))
def test_a_run_is_added_as_its_numbers_would_be(stretches: list[tuple[int, int]]) -> None:
    at_once: list[int] = []
    singly: list[int] = []
    for first, more in stretches:
        add_run(at_once, first, first + more)
        for number in range(first, first + more + 1):
            add_number(singly, number)
    assert at_once == singly


pairs = st.tuples(st.integers(0, 300), st.integers(0, 60)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(
    st.sets(st.integers(0, 300), max_size=120),
    st.lists(st.lists(pairs, max_size=5), max_size=5),
)
def test_a_lookup_takes_exactly_what_is_held_each_once_and_in_the_order_of_the_runs(
    numbers: set[int], messages: list[list[tuple[int, int]]]
) -> None:
    held = {number: str(number) for number in numbers}
    left = dict(held)
    lookup = Lookup()
    for pairs_of_one in messages:
        runs = [bound for pair in pairs_of_one for bound in pair]
        found = [left.pop(number, None) for number in numbers_in(runs)]
        expected = [value for value in found if value is not None]
        assert list(lookup.take(runs, held)) == expected
        assert held == left
        assert count_numbers(runs) == len(list(numbers_in(runs)))


def test_one_lookup_serves_several_that_hold_something() -> None:
    lookup = Lookup()
    one, other = {1: "a", 900: "b"}, {2: "c", 900: "d"}
    runs = [1, 1000]
    assert list(lookup.take(runs, one)) == ["a", "b"]
    assert list(lookup.take(runs, other)) == ["c", "d"]
    assert one == other == {}


@pytest.mark.parametrize("named", [1 << 20, MAX_UNSIGNED], ids=["a million", "all"])
@pytest.mark.parametrize("spread", [1, 9, 1000])
def test_a_lookup_costs_as_much_as_is_held_and_the_runs_are_long(named: int, spread: int) -> None:
    held = {number * spread: "x" for number in range(1, 1001)}
    runs = [first for number in range(500) for first in (number, named)]
    taken: list[str] = []

    def take() -> None:
        taken.extend(Lookup().take(runs, held))

    cost = cost_of(take)
    assert len(taken) == 1000
    assert cost.lines < 40 * (1000 + len(runs))
    assert cost.bytes < 200 * (1000 + len(runs))


class Asked(dict[int, str]):
    """Counts for how many numbers it was asked."""

    times = 0

    def pop(self, number: int, default: Any = None) -> Any:
        self.times += 1
        return super().pop(number, default)


@pytest.mark.patches
@given(
    st.sets(st.integers(0, 2000), max_size=300),
    st.lists(st.tuples(st.integers(0, 4000), st.sampled_from([0, 9, 50, 299, 1 << 20])), max_size=60),
)
def test_a_lookup_asks_for_few_numbers_that_are_not_held_however_often_they_are_named(
    numbers: set[int], named: list[tuple[int, int]]
) -> None:
    held = Asked(dict.fromkeys(numbers, "x"))
    runs = [bound for first, size in named for bound in (first, first + size)]
    list(Lookup().take(runs, held))
    assert held.times <= 100 + 3 * len(numbers) + 10 * len(named)


def test_runs_are_cut_by_bounds_and_by_numbers() -> None:
    runs = [1, 1, 3, 10, 20, 29]
    assert first_part(runs, 6) == (runs, [])
    assert first_part(runs, 5) == ([1, 1, 3, 10], [20, 29])
    assert first_part(runs, 1) == ([1, 1], [3, 10, 20, 29])
    assert first_part(runs, 6, 4) == ([1, 1, 3, 5], [6, 10, 20, 29])
    assert first_part(runs, 6, 9) == ([1, 1, 3, 10], [20, 29])
    assert first_part([], 6) == ([], [])
