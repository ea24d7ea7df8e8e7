"""The ring of figures: what is newest, what is known, and what few figures cannot say."""

import math
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanebus.wire.ring import PERCENTILE_FLOORS, Ring, deviation, mean, percentile


def ring_of(count: int, limit: int = 4) -> Ring:
    ring = Ring(2, limit)
    for number in range(count):
        ring.add(float(number))
        ring.put(0, number * 10.0)
    return ring


def test_an_empty_ring_knows_nothing() -> None:
    ring = Ring(2, 4)
    assert (len(ring), ring.since(-math.inf, 0), list(ring.rows()), ring.last(0)) == (0, [], [], None)


def test_what_is_not_known_is_left_out() -> None:
    ring = ring_of(2)
    assert ring.since(-1.0, 1) == []
    assert list(ring.rows()) == [(0.0, [0.0, None]), (1.0, [10.0, None])]
    assert (ring.last(0), ring.last(1)) == (10.0, None)


@given(st.integers(0, 30), st.integers(1, 7), st.floats(-1.0, 31.0))
def test_the_latest_rows_are_kept_in_order(count: int, limit: int, after: float) -> None:
    ring = ring_of(count, limit)
    kept = range(max(0, count - limit), count)
    assert [at for at, _ in ring.rows()] == list(kept)
    assert ring.since(after, 0) == [number * 10.0 for number in kept if number > after]
    assert ring.last(0) == (10.0 * (count - 1) if count else None)


def test_a_mean_needs_one_figure_and_a_deviation_two() -> None:
    assert (mean([]), mean([3.0])) == (None, 3.0)
    assert (deviation([]), deviation([3.0])) == (None, None)


@given(st.lists(st.floats(0.0, 1e4), min_size=2, max_size=50))
def test_the_deviation_is_the_standard_one_and_not_the_variance(values: list[float]) -> None:
    assert deviation(values) == pytest.approx(stdev(values), abs=1e-6)


@pytest.mark.parametrize(("share", "floor"), PERCENTILE_FLOORS.items())
def test_a_percentile_of_too_few_is_none(share: float, floor: int) -> None:
    values = [float(number) for number in range(1, floor + 1)]
    assert percentile(values[:-1], share) is None
    assert percentile(values, share) == math.ceil(share * floor)
