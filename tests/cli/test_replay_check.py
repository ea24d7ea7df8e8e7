"""The checker of one stream: each class of fault, planted, alone and together."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from lanebus.cli.replay_check import Faults, StreamChecker


class Events:
    """Some events; those of the stream under test have even indexes, as other receivers get the others."""

    def __init__(self, count: int, kinds: int = 1000) -> None:
        self.topics = [f"topic.{index % 3}" for index in range(2 * count)]
        self.payloads = [b"%d" % (index % kinds) for index in range(2 * count)]
        self.numbers = [index + 1 for index in range(2 * count)]
        self.expected = array("i", range(0, 2 * count, 2))

    def checker(self) -> StreamChecker:
        return StreamChecker(self, self.expected)

    def arrive(self, checker: StreamChecker, *positions: int) -> list[int]:
        """Let events arrive, given by their place in the stream; returns what `take` returned."""
        found = []
        for position in positions:
            index = 2 * position
            found.append(checker.take(self.numbers[index], self.topics[index], self.payloads[index]))
        return found


def is_complete(checker: StreamChecker) -> bool:
    return checker.complete


def test_a_clean_stream() -> None:
    events = Events(5)
    checker = events.checker()
    assert not is_complete(checker)
    assert events.arrive(checker, 0, 1, 2, 3, 4) == [0, 2, 4, 6, 8]
    assert is_complete(checker)
    assert checker.delivered == checker.total == 5
    assert checker.faults() == Faults()
    assert not checker.faults()


def test_an_empty_stream_is_complete() -> None:
    checker = Events(0).checker()
    assert is_complete(checker)
    assert not checker.faults()


def test_lost_in_the_middle_and_at_the_end() -> None:
    events = Events(6)
    checker = events.checker()
    assert events.arrive(checker, 0, 1, 4) == [0, 2, 8]
    assert checker.faults() == Faults(lost=3)
    assert checker.delivered == 3
    assert not is_complete(checker)


def test_duplicated() -> None:
    events = Events(4)
    checker = events.checker()
    assert events.arrive(checker, 0, 1, 1, 0, 2, 3, 3) == [0, 2, -1, -1, 4, 6, -1]
    assert checker.faults() == Faults(duplicated=3)
    assert is_complete(checker)


def test_misordered_is_not_lost() -> None:
    events = Events(5)
    checker = events.checker()
    assert events.arrive(checker, 0, 2, 3, 1, 4) == [0, 4, 6, 2, 8]
    assert checker.faults() == Faults(misordered=1)
    assert is_complete(checker)


def test_swapped_events_of_the_same_content_are_misordered() -> None:
    events = Events(4, kinds=1)
    events.topics = ["same"] * 8
    checker = events.checker()
    events.arrive(checker, 0, 2, 1, 3)
    assert checker.faults() == Faults(misordered=1)


def test_a_duplicate_of_content_that_comes_again_is_no_jump() -> None:
    events = Events(10, kinds=2)
    events.topics = ["same"] * 20
    checker = events.checker()
    events.arrive(checker, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert checker.faults() == Faults(duplicated=1)
    assert is_complete(checker)


def test_a_changed_payload_is_corrupted_and_not_lost() -> None:
    events = Events(3)
    checker = events.checker()
    events.arrive(checker, 0)
    assert checker.take(3, "topic.2", b"2!") == -1
    events.arrive(checker, 2)
    assert checker.faults() == Faults(corrupted=1)
    assert checker.delivered == 2
    assert is_complete(checker)


def test_a_changed_topic_is_corrupted() -> None:
    events = Events(2)
    checker = events.checker()
    assert checker.take(1, "topic.1", b"0") == -1
    events.arrive(checker, 1)
    assert checker.faults() == Faults(corrupted=1)


def test_corrupted_and_late() -> None:
    events = Events(4)
    checker = events.checker()
    events.arrive(checker, 0, 2)
    assert checker.take(3, "topic.2", b"?") == -1
    events.arrive(checker, 3)
    assert checker.faults() == Faults(corrupted=1)
    assert is_complete(checker)


def test_corrupted_copy_of_what_has_arrived() -> None:
    events = Events(2)
    checker = events.checker()
    events.arrive(checker, 0, 1)
    assert checker.take(1, "topic.0", b"?") == -1
    assert checker.faults() == Faults(corrupted=1)
    assert checker.delivered == 2


def test_an_event_for_somebody_else_is_corrupted() -> None:
    events = Events(2)
    checker = events.checker()
    assert checker.take(events.numbers[1], events.topics[1], events.payloads[1]) == -1
    assert checker.take(99, "topic.0", b"0") == -1
    events.arrive(checker, 0, 1)
    assert checker.faults() == Faults(corrupted=2)
    assert is_complete(checker)


def test_an_order_that_is_decided_later() -> None:
    events = Events(4)
    decided: list[int] = []

    def refill() -> Iterator[int]:
        while decided:
            yield decided.pop(0)

    checker = StreamChecker(events, array("i"), total=4, refill=refill)
    assert not is_complete(checker)
    decided += [0, 2]
    events.arrive(checker, 0)
    decided += [4, 6]
    events.arrive(checker, 1, 3)
    assert checker.faults() == Faults(lost=1)
    events.arrive(checker, 2)
    assert checker.faults() == Faults(misordered=1)
    assert is_complete(checker)


def test_what_was_never_sent_is_lost_too() -> None:
    checker = StreamChecker(Events(4), array("i"), total=4, refill=lambda: iter(()))
    assert checker.faults() == Faults(lost=4)


def test_faults_add_up() -> None:
    total = Faults(lost=1)
    total.add(Faults(lost=2, duplicated=3, misordered=4, corrupted=5))
    assert total == Faults(lost=3, duplicated=3, misordered=4, corrupted=5)
    assert total


@given(st.integers(1, 60), st.integers(1, 4), st.randoms(use_true_random=False))
def test_planted_faults_are_counted_exactly(count: int, kinds: int, dice: random.Random) -> None:
    """Of each event one thing happens: nothing, a loss, one to three duplicates, a changed payload, or a delay."""
    events = Events(count, kinds)
    planted = Faults()
    arrivals: list[tuple[int, int, bool]] = []  # when, place, whole
    for place in range(count):
        fate = dice.randrange(8)
        whole = True
        when = 100 * place
        if fate == 0:
            planted.lost += 1
            continue
        if fate == 1:
            copies = dice.randrange(1, 4)
            planted.duplicated += copies
            arrivals += [(when + 1 + 100 * dice.randrange(20), place, True) for _ in range(copies)]
        elif fate == 2:
            planted.corrupted += 1
            whole = False
        elif fate == 3:
            when += 2 + 100 * dice.randrange(1, 20)
        arrivals.append((when, place, whole))
    arrivals.sort(key=lambda arrival: arrival[0])
    # A delayed event is only out of order when a later one has overtaken it.
    highest = -1
    seen: set[int] = set()
    for _, place, whole in arrivals:
        if place not in seen:
            planted.misordered += whole and place < highest
        seen.add(place)
        highest = max(highest, place)
    checker = events.checker()
    for _, place, whole in arrivals:
        index = 2 * place
        checker.take(
            events.numbers[index], events.topics[index], events.payloads[index] + (b"" if whole else b"!")
        )
    assert checker.faults() == planted
    assert checker.delivered == count - planted.lost - planted.corrupted
