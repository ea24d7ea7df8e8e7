"""The histogram: exact counts, bounded error of quantiles, merging, and the way over the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanebus.wire.histogram import MAX_VALUE_US, Histogram

values = st.one_of(st.integers(0, 40), st.integers(0, 1_000_000), st.integers(0, MAX_VALUE_US))


def histogram_of(recorded: list[int]) -> Histogram:
    made = Histogram()
    for value in recorded:
        made.record(value)
    return made


@given(st.lists(values, min_size=1, max_size=60), st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_a_sixteenth_of_the_recorded_value(recorded: list[int], share: float) -> None:
    ordered = sorted(recorded)
    true = next(value for rank, value in enumerate(ordered, 1) if rank >= share * len(ordered))
    found = histogram_of(recorded).quantile_us(share)
    assert found is not None
    assert abs(found - true) <= 0.0625 * true


@given(st.lists(st.tuples(values, st.integers(1, 5))))
def test_a_value_that_is_recorded_several_times_at_once_counts_as_often(
    recorded: list[tuple[int, int]],
) -> None:
    made = Histogram()
    for value, times in recorded:
        made.record(value, times)
    one_by_one = histogram_of([value for value, times in recorded for _ in range(times)])
    assert made.as_list() == one_by_one.as_list()
    assert made.count == one_by_one.count


@given(st.integers(0, 15))
def test_small_values_are_exact(value: int) -> None:
    assert histogram_of([value]).quantile_us(0.5) == value


@given(st.lists(values))
def test_count_sum_and_maximum_are_exact(recorded: list[int]) -> None:
    histogram = histogram_of(recorded)
    assert histogram.count == len(recorded)
    assert histogram.sum_us == sum(recorded)
    assert histogram.max_us == max(recorded, default=0)
    assert histogram.mean_us() == (sum(recorded) / len(recorded) if recorded else None)


def test_an_empty_histogram_has_no_quantile_and_no_mean() -> None:
    histogram = Histogram()
    assert histogram.quantile_us(0.5) is None
    assert histogram.mean_us() is None
    assert histogram.as_list() == [0, 0]


@pytest.mark.parametrize(
    ("given_us", "counted_us"), [(-1, 0), (-(1 << 70), 0), (1 << 32, MAX_VALUE_US), (1 << 70, MAX_VALUE_US)]
)
def test_values_out_of_range_count_as_the_nearest_in_range(given_us: int, counted_us: int) -> None:
    assert histogram_of([given_us]).as_list() == histogram_of([counted_us]).as_list()


def test_no_quantile_is_above_the_maximum() -> None:
    assert histogram_of([16, 1025]).quantile_us(1.0) == 1025
    assert histogram_of([16, 1025]).quantile_us(1.5) == 1025


@given(st.lists(values), st.lists(values))
def test_merging_is_the_same_as_recording_everything_in_one(one: list[int], other: list[int]) -> None:
    merged = histogram_of(one)
    merged.merge(histogram_of(other))
    together = histogram_of(one + other)
    assert merged.as_list() == together.as_list()
    assert merged.count == together.count


@given(st.lists(values))
def test_a_histogram_survives_the_way_over_the_wire(recorded: list[int]) -> None:
    histogram = histogram_of(recorded)
    copy = Histogram.from_list(histogram.as_list())
    assert copy.as_list() == histogram.as_list()
    assert copy.count == histogram.count
    assert copy.quantile_us(0.9) == histogram.quantile_us(0.9)


def test_the_figures_in_milliseconds_have_names_and_none_of_them_is_made_up() -> None:
    histogram = Histogram()
    assert histogram.in_ms() == {"p50": None, "p95": None, "p99": None, "max": None}
    for value_us in (1_000, 2_000, 10_000):
        histogram.record(value_us)
    figures = histogram.in_ms()
    assert figures["max"] == 10.0
    assert figures["p50"] == pytest.approx(2.0, rel=0.07)


@given(st.lists(values), st.lists(values))
def test_what_came_since_is_as_if_it_had_been_recorded_alone(before: list[int], after: list[int]) -> None:
    histogram = histogram_of(before)
    counts = histogram.counts[:]
    for value in after:
        histogram.record(value)
    found, alone = histogram.since(counts), histogram_of(after)
    assert (found.counts, found.count) == (alone.counts, alone.count)
    assert abs(found.sum_us - alone.sum_us) <= 0.0625 * alone.sum_us + len(after)
    assert alone.max_us <= found.max_us <= min(histogram.max_us, alone.max_us * 1.125)


def test_all_of_it_came_since_there_was_nothing() -> None:
    histogram = histogram_of([3, 70, 5000])
    assert histogram.since([]).counts == histogram.counts
    assert histogram.since(histogram.counts).quantile_us(0.5) is None
    assert histogram.since(histogram.counts[3:], 3).count == 0


@given(st.lists(values))
def test_how_many_values_are_below_a_power_of_two_is_known_exactly(recorded: list[int]) -> None:
    exponents = range(4, 33)
    below = histogram_of(recorded).below_powers(exponents)
    assert below == [sum(value < 1 << exponent for value in recorded) for exponent in exponents]
