"""What processes say of their handlers: remembered by topic, bounded, and too slow for a minute."""

from lanebus.broker.handling import LATELY_S, MAX_TOPICS, Told, rows, slow, take
from lanebus.wire.lanes import Lane
from lanebus.wire.reports import TopicTimes


def times(topic: str, events: int, over: int = 0, *, max_us: int = 1_000) -> TopicTimes:
    return TopicTimes(topic, Lane.NORMAL, events, over, 16_000, 500, 400, 900, max_us)


def test_what_took_too_long_is_counted_against_the_events_since_the_report_before() -> None:
    topics: dict[tuple[str, Lane], Told] = {}
    take(topics, [times("t", 1_000)], 1.0)
    assert slow(topics, 1.0) == []
    take(topics, [times("t", 1_010, 4, max_us=100_000)], 3.0)
    (told,) = slow(topics, 3.0)
    assert (told.over, told.events) == (4, 10)
    take(topics, [times("t", 1_500, 4, max_us=100_000)], 13.0)
    assert [(each.over, each.events) for each in slow(topics, 3.0 + LATELY_S)] == [(4, 10)]
    assert slow(topics, 3.5 + LATELY_S) == []


def test_a_program_that_has_begun_anew_is_no_riddle() -> None:
    topics: dict[tuple[str, Lane], Told] = {}
    take(topics, [times("t", 1_000, 900)], 1.0)
    take(topics, [times("t", 5)], 2.0)
    assert rows(topics)[0]["events"] == 5


def test_so_many_topics_are_remembered_those_told_of_last() -> None:
    topics: dict[tuple[str, Lane], Told] = {}
    for number in range(MAX_TOPICS + 3):
        take(topics, [times(f"t{number}", number + 1)], 1.0)
    shown = rows(topics)
    assert len(shown) == MAX_TOPICS
    assert (shown[0]["topic"], shown[0]["p99_ms"], shown[0]["budget_ms"]) == (f"t{MAX_TOPICS + 2}", 0.9, 16.0)
