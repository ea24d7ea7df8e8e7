"""Long work is done a little at a time, in order, and says the same as if it had been done at once."""

from collections.abc import Iterator
from itertools import count

import msgspec
import pytest

from lanebus.broker.portions import BLOCK_BYTES, MOST_ANSWERS, Answers, Work, complete, rows


def spell(text: str, seen: list[tuple[str, float]], now: float) -> Work[bytes | None]:
    for letter in text:
        seen.append((letter, now))
        now = yield
    return text.encode()


def clock(ticks: Iterator[int]) -> float:
    return float(next(ticks))


def test_rows_are_made_each_at_its_own_instant_and_without_what_is_not_shown() -> None:
    work = rows(["a", "-", "b"], lambda item, now: None if item == "-" else [item, now], 1.0)
    next(work)
    work.send(2.0)
    work.send(3.0)
    with pytest.raises(StopIteration) as stop:
        work.send(4.0)
    assert msgspec.msgpack.decode(b"".join(stop.value.value)) == [["a", 1.0], ["b", 3.0]]


def test_rows_of_any_number_and_size_are_one_array() -> None:
    for number_of, size in ((0, 1), (1, BLOCK_BYTES), (300, 1000)):
        items = [bytes([number % 256]) * size for number in range(number_of)]
        found = complete(rows(items, lambda item, now: item, 0.0), 0.0)
        assert msgspec.msgpack.decode(b"".join(found)) == items
        assert max(map(len, found)) < BLOCK_BYTES + size + 10


def test_work_can_be_completed_at_one_instant() -> None:
    seen: list[tuple[str, float]] = []
    assert complete(spell("abc", seen, 5.0), 5.0) == b"abc"
    assert seen == [("a", 5.0), ("b", 5.0), ("c", 5.0)]


def test_a_step_ends_when_its_time_is_over_and_the_next_goes_on() -> None:
    seen: list[tuple[str, float]] = []
    answers, ticks = Answers(), count()
    answers.begin(b"1", spell("abcd", seen, 0.0))
    assert answers.step(lambda: clock(ticks), 2.0) == []
    assert [letter for letter, _ in seen] == ["a", "b"]
    assert answers.step(lambda: clock(ticks), 0.0) == []
    assert [letter for letter, _ in seen] == ["a", "b", "c"], "one step at least"
    assert answers.step(lambda: clock(ticks), 99.0) == [(b"1", b"abcd")]
    assert len(answers) == 0


def test_answers_are_made_in_the_order_of_their_questions() -> None:
    seen: list[tuple[str, float]] = []
    answers, ticks = Answers(), count()
    answers.begin(b"1", spell("ab", seen, 0.0))
    answers.begin(b"2", spell("", seen, 0.0))
    answers.begin(b"3", spell("c", seen, 0.0))
    assert answers.step(lambda: clock(ticks), 99.0) == [(b"1", b"ab"), (b"2", b""), (b"3", b"c")]


def test_no_more_answers_are_made_than_are_bounded() -> None:
    answers = Answers()
    for number in range(MOST_ANSWERS):
        assert not answers.is_full
        answers.begin(bytes([number]), spell("a", [], 0.0))
    assert answers.is_full
