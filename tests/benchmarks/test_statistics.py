"""Medians, ratios, percentiles and growth."""

import pytest
from benchmarks.lab.statistics import curve_shares, growth, latency, quantile, ratios, spread


def test_a_quantile_lies_between_its_neighbours_in_proportion() -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert quantile([1.0, 2.0], 0.25) == 1.25
    assert quantile([7.0], 0.99) == 7.0
    assert quantile([1.0, 9.0], 1.0) == 9.0


def test_there_is_no_quantile_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_a_spread_keeps_the_values_in_their_order() -> None:
    found = spread([30.0, 10.0, 20.0])
    assert found == {
        "median": 20.0,
        "low": 15.0,
        "high": 25.0,
        "min": 10.0,
        "max": 30.0,
        "values": [30.0, 10.0, 20.0],
    }


def test_ratios_are_taken_round_by_round() -> None:
    # Both fell by half in the second round: the machine was busy, and the ratio is the same.
    found = ratios([100.0, 50.0], [200.0, 100.0])
    assert found["values"] == [0.5, 0.5]
    with pytest.raises(ValueError, match="2 rounds of one and 1"):
        ratios([1.0, 2.0], [1.0])


def test_latencies_are_shown_in_milliseconds() -> None:
    found = latency([index / 1000 for index in range(1, 1001)])
    assert found["count"] == 1000
    assert found["p50_ms"] == pytest.approx(500.5)
    assert found["p99_ms"] == pytest.approx(990.01)
    assert found["max_ms"] == pytest.approx(1000.0)
    assert len(found["curve_ms"]) == len(curve_shares())
    assert found["curve_ms"] == sorted(found["curve_ms"])
    assert curve_shares()[-1] == pytest.approx(1.0)


def test_no_latencies_are_no_error() -> None:
    assert latency([]) == {"count": 0}


def test_growth_is_counted_from_the_end_of_the_warm_up() -> None:
    found = growth([10.0, 90.0, 100.0, 100.0, 103.0, 101.0], 2)
    assert found["base"] == 100.0
    assert found["highest"] == pytest.approx(0.03)
    assert found["at_end"] == pytest.approx(0.01)
    with pytest.raises(ValueError, match="nothing comes after"):
        growth([1.0], 0)
