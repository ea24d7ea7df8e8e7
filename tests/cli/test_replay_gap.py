"""Gaps in delivery: silence counts only while something is due."""

import random

import pytest

from lanebus.cli.replay_gap import GapMeter


def longest(*deliveries: tuple[float, float]) -> float:
    """Of deliveries, each with the time when it was sent."""
    meter = GapMeter()
    for sent_at, now in deliveries:
        meter.deliver(sent_at, now)
    return meter.longest_s


def test_silence_while_nothing_was_sent_is_no_gap() -> None:
    assert longest((0.0, 0.01), (60.0, 60.01), (120.0, 120.02)) == pytest.approx(0.02)


def test_a_gap_begins_with_the_delivery_before_it() -> None:
    assert longest((0.0, 0.1), (0.05, 2.1)) == pytest.approx(2.0)


def test_a_gap_begins_with_the_sending_when_that_was_later() -> None:
    assert longest((0.0, 0.1), (1.0, 2.1)) == pytest.approx(1.1)


def test_what_is_delivered_steadily_though_late_makes_no_long_gap() -> None:
    assert longest(*((float(second), second + 10.0) for second in range(100))) == pytest.approx(10.0)
    late = [(0.0, 0.1), *((0.0, 0.1 * count) for count in range(2, 100))]
    assert longest(*late) == pytest.approx(0.1)


def test_what_was_due_longest_counts_though_it_is_delivered_behind_what_was_sent_later() -> None:
    assert longest((0.0, 0.1), (1.9, 2.1), (0.05, 2.2)) == pytest.approx(2.0)
    assert longest((0.0, 0.1), (1.9, 2.1), (1.5, 2.2)) == pytest.approx(0.6)


@pytest.mark.parametrize("seed", range(20))
def test_it_finds_what_looking_at_all_deliveries_at_once_finds(seed: int) -> None:
    chance = random.Random(seed)
    # Bursts after outages, as a broker's restart makes them, in any order within a burst.
    deliveries: list[tuple[float, float]] = []
    now = 0.0
    for _ in range(6):
        start = now
        now += chance.uniform(0.5, 5.0)
        deliveries += [(chance.uniform(start, now), now + place / 1000) for place in range(5)]
        now += 0.1
    truth = 0.0
    previous = float("-inf")
    for place, (_, at) in enumerate(deliveries):
        oldest = min(sent for sent, _ in deliveries[place:] if sent <= at)
        truth = max(truth, at - max(previous, oldest))
        previous = at
    assert longest(*deliveries) == pytest.approx(truth)
