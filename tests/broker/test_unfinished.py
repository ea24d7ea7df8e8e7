"""Messages without an end: what has come by a connection since something of it was read, and who is looked at when."""

import pytest

from lanebus.broker.connections import Connection
from lanebus.broker.unfinished import (
    DRIP_BYTES_PER_S,
    NOTED_BYTES,
    STEP_BYTES,
    Holders,
    Rounds,
    unfinished_bytes,
)
from lanebus.wire.lanes import Lane


def connection(descriptor: int = 7) -> Connection:
    return Connection(Lane.LOW, descriptor, 0.0)


def test_without_a_message_all_that_came_counts() -> None:
    new = connection()
    assert [unfinished_bytes(new, 0.0, came, 0.0) for came in (0, 1000, 1001)] == [0, 1000, 1001]


def test_with_every_message_that_is_read_it_counts_from_there() -> None:
    peer = connection()
    came = [(1.0, 5000), (1.0, 6000), (1.1, 50_000), (1.1, 50_001), (1.2, 60_000)]
    assert [unfinished_bytes(peer, heard, all_bytes, 0.0) for heard, all_bytes in came] == [0, 1000, 0, 1, 0]


def test_heartbeats_of_months_are_no_message() -> None:
    idle = connection()
    month_s = 30 * 86_400.0
    came = int(month_s * DRIP_BYTES_PER_S)
    assert unfinished_bytes(idle, 0.0, came // 2, month_s) == 0
    assert unfinished_bytes(idle, 0.0, came + 1000, month_s) == 1000


def test_of_those_who_hold_too_much_together_the_largest_go_until_it_is_not_too_much() -> None:
    holders = Holders(5 * NOTED_BYTES)
    small, *large = (connection(number) for number in range(5))
    holders.note(small, NOTED_BYTES)
    for number, each in enumerate(large):
        holders.note(each, (number + 1) * NOTED_BYTES + 1)
    assert set(holders) == set(large)
    assert holders.too_many() == [large[3], large[2]]
    large[3].is_over = True
    assert holders.too_many() == [large[2]]
    holders.note(large[2], 0)
    assert holders.too_many() == []
    assert list(holders) == large[:2]


def test_a_round_looks_at_each_once_a_portion_at_a_time() -> None:
    all_of_them = [connection(number) for number in range(10)]
    rounds = Rounds(4)
    found = [rounds.take(all_of_them, 0) for _ in range(3)]
    assert [len(portion) for portion in found] == [4, 4, 2]
    assert {each for portion in found for each in portion} == set(all_of_them)
    assert len(rounds.take(all_of_them, 0)) == 4
    assert rounds.take([], 0)
    assert rounds.take([], 0)
    assert rounds.take([], 0) == []


@pytest.mark.parametrize("taken_before", [0, 1])
def test_when_the_process_has_grown_by_much_a_whole_round_hurries(taken_before: int) -> None:
    all_of_them = [connection(number) for number in range(10)]
    rounds = Rounds(4)
    rounds.take(all_of_them, 100)
    for _ in range(taken_before):
        rounds.take(all_of_them, 100 + STEP_BYTES)
    hurried = []
    for _ in range(3):
        hurried.extend(rounds.take(all_of_them, 101 + STEP_BYTES))
        assert rounds.hurries
    assert set(hurried) == set(all_of_them)
    # It may stay as large as it is by now.
    rounds.take(all_of_them, 101 + STEP_BYTES)
    assert not rounds.hurries
    rounds.take(all_of_them, 101 + 2 * STEP_BYTES)
    assert not rounds.hurries
    rounds.take(all_of_them, 102 + 2 * STEP_BYTES)
    assert rounds.hurries


def test_what_the_process_gives_back_it_may_not_take_again_unseen() -> None:
    rounds = Rounds(4)
    rounds.take([], 10 * STEP_BYTES)
    rounds.take([], STEP_BYTES)
    rounds.take([], 2 * STEP_BYTES + 1)
    assert rounds.hurries
