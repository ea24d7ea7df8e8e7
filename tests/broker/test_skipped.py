"""Skipped numbers: exactly those that were jumped over and have not come, however far a sender jumps."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from lanebus.broker.skipped import Skipped


@given(st.lists(st.tuples(st.sampled_from("jcf"), st.integers(1, 60)), max_size=120))
def test_they_are_what_was_jumped_over_has_not_come_and_is_not_below_the_base(
    steps: list[tuple[str, int]],
) -> None:
    skipped = Skipped()
    expected: set[int] = set()
    last = base = 0
    for what, number in steps:
        if what == "j":
            # One that comes stands between two runs.
            skipped.jump(last + 1, last + number)
            expected.update(range(last + 1, last + number + 1))
            last += number + 1
        elif what == "c":
            assert skipped.came(number) is (number in expected)
            expected.discard(number)
        else:
            base = max(base, number)
            skipped.forget_below(base)
            expected = {each for each in expected if each >= base}
        assert [each for each in range(last + 3) if each in skipped] == sorted(expected)
        assert {each for first, end in skipped.runs() for each in range(first, end + 1)} >= expected


def test_a_jump_takes_no_more_for_being_far() -> None:
    tracemalloc.start()
    try:
        skipped = Skipped()
        for jump in range(100):
            skipped.jump(jump << 40, (jump << 40) + (1 << 39))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000
    assert (7 << 40) + 5 in skipped


def test_a_run_that_has_come_in_order_leaves_nothing_behind() -> None:
    skipped = Skipped()
    skipped.jump(1, 1000)
    for number in (*range(500, 900), *range(1, 500), *range(1000, 899, -1)):
        assert skipped.came(number)
    assert skipped.runs() == []
    assert not skipped._came


def test_what_has_come_is_forgotten_with_its_run() -> None:
    skipped = Skipped()
    skipped.jump(1, 100)
    skipped.jump(102, 200)
    for number in (50, 150):
        skipped.came(number)
    skipped.forget_below(102)
    assert skipped._came == {150}
    skipped.forget_below(1000)
    assert not skipped._came
