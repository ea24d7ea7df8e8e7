"""The last minute of a histogram: what was recorded before the older of two notes is not in it."""

from lanebus.broker.lately import Lately
from lanebus.wire.histogram import Histogram


def recorded(histogram: Histogram) -> list[int]:
    """The values of a histogram with small values, which have a bucket each."""
    return [value for value, count in enumerate(histogram.counts[:16]) for _ in range(count)]


def test_before_the_first_note_it_is_all() -> None:
    histogram, lately = Histogram(), Lately()
    histogram.record(3)
    assert recorded(lately.of(histogram)) == [3]


def test_what_is_older_than_two_notes_is_not_in_it() -> None:
    histogram, lately = Histogram(), Lately()
    seen = []
    for value in range(5):
        histogram.record(value)
        seen.append(recorded(lately.of(histogram)))
        lately.note(histogram)
    assert seen == [[0], [0, 1], [1, 2], [2, 3], [3, 4]]


def test_without_anything_new_it_becomes_empty() -> None:
    histogram, lately = Histogram(), Lately()
    histogram.record(9)
    lately.note(histogram)
    assert recorded(lately.of(histogram)) == [9]
    lately.note(histogram)
    assert lately.of(histogram).count == 0
    assert lately.of(histogram).quantile_us(0.99) is None


def test_the_histogram_itself_goes_on() -> None:
    histogram, lately = Histogram(), Lately()
    for value in (5, 700_000):
        histogram.record(value)
        lately.note(histogram)
        lately.of(histogram).record(1)
    assert (histogram.count, histogram.max_us) == (2, 700_000)
