"""The quality of one session: its line judged, and how stable it was."""

import pytest

from lanebus.broker.line import Line
from lanebus.broker.quality import CHANGES, Change, Quality, thresholds_of
from lanebus.conf.model import QualityConfig
from lanebus.wire.quality import Degree, Thresholds

CONFIG = QualityConfig()


def line_of(rtt_ms: float) -> Line:
    line = Line(0.0)
    for number in range(10):
        line.ping(rtt_ms, 2.0, 0.0, number * 2.0)
    return line


def test_the_defaults_of_both_sides_are_the_same() -> None:
    assert thresholds_of(CONFIG) == Thresholds()


def test_a_change_has_its_time_and_its_reason() -> None:
    quality = Quality(CONFIG)
    change = quality.consider(line_of(150.0), 0.0, 18.0)
    assert change == Change(18.0, Degree.ESTIMATING, Degree.GOOD, "round trip 150 ms")
    assert quality.changes == [change]
    assert quality.consider(line_of(150.0), 0.0, 19.0) is None


def test_what_waits_in_our_own_queues_counts() -> None:
    quality = Quality(CONFIG)
    change = quality.consider(line_of(10.0), 2500.0, 18.0)
    assert change is not None
    assert (change.after, change.reason) == (Degree.POOR, "queue 2500 ms")


@pytest.mark.parametrize(("line", "rtt_ms"), [(Line(0.0), 90.0), (line_of(30.0), 120.0)])
def test_behind_a_gateway_both_round_trips_count(line: Line, rtt_ms: float) -> None:
    quality = Quality(CONFIG)
    quality.outside_ms = 90.0
    assert quality.figures(line, None, 18.0).rtt_ms == rtt_ms


def test_a_gateway_that_says_nothing_adds_nothing() -> None:
    quality = Quality(CONFIG)
    assert quality.figures(Line(0.0), None, 18.0).rtt_ms is None
    assert quality.figures(line_of(30.0), None, 18.0).rtt_ms == 30.0


def test_outages_are_counted_and_the_longest_is_known() -> None:
    quality = Quality(CONFIG)
    assert quality.longest_s(5.0) == 0.0
    for away, back in ((10.0, 14.0), (20.0, 21.0)):
        quality.away("no link", away)
        quality.back(back)
    assert (quality.outages, quality.resumes, quality.longest_s(30.0)) == (2, 2, 4.0)
    quality.away("no link", 30.0)
    assert quality.longest_s(37.0) == 7.0
    assert [change.after for change in quality.changes] == [
        Degree.LOST,
        Degree.ESTIMATING,
        Degree.LOST,
        Degree.ESTIMATING,
        Degree.LOST,
    ]


def test_silence_is_news_once_and_is_over_with_the_next_judgement() -> None:
    quality = Quality(CONFIG)
    change = quality.silent(5.5, 20.0)
    assert change == Change(20.0, Degree.ESTIMATING, Degree.LOST, "silent for 5.5 s")
    assert quality.silent(7.5, 22.0) is None
    regained = quality.consider(line_of(30.0), 0.0, 18.0)
    assert regained is not None
    assert regained.after is Degree.EXCELLENT


def test_changes_are_bounded() -> None:
    quality = Quality(CONFIG)
    for number in range(CHANGES):
        quality.away("no link", number)
        quality.back(number + 0.5)
    assert len(quality.changes) == CHANGES
