"""Latency: from a sender's program to a handler, counted for next to nothing and told once."""

from lanebus.adapters.latency import MAX_RECENT, Latency
from lanebus.wire.batches import STAMP_MODULUS
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import Lane


def test_each_lane_tells_what_it_has_handled_since_the_last_report() -> None:
    latency = Latency()
    assert latency.report() == []
    for age in (120, 120, 450):
        latency.note(Lane.CRITICAL, age)
    latency.note(Lane.LOW, 1_900)
    critical, low = latency.report()
    assert (critical.lane, critical.sum_us, critical.max_us) == (Lane.CRITICAL, 69_000, 45_000)
    assert (low.lane, low.sum_us) == (Lane.LOW, 190_000)
    found = Histogram()
    found.add_counts(critical.sum_us, critical.max_us, critical.counts)
    assert (found.count, found.max_us) == (3, 45_000)
    median_us = found.quantile_us(0.5)
    assert median_us is not None
    assert abs(median_us - 12_000) < 800
    assert latency.report() == []


def test_an_event_from_after_now_counts_as_new() -> None:
    latency = Latency()
    latency.note(Lane.NORMAL, STAMP_MODULUS - 1)
    assert latency.report()[0].max_us == 0


def test_any_number_of_different_ages_takes_the_same_room_and_none_is_lost() -> None:
    latency = Latency()
    for age in range(10 * MAX_RECENT):
        latency.note(Lane.NORMAL, age)
        assert len(latency.recent[Lane.NORMAL]) <= MAX_RECENT
    (times,) = latency.report()
    assert sum(times.counts[1::2]) == 10 * MAX_RECENT
