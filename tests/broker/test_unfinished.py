"""Messages without an end: what has come by a connection since something of it was read, and who is looked at when."""

import pytest

from lanebus.broker.connections import Connection
from lanebus.broker.unfinished import DRIP_BYTES_PER_S, STEP_BYTES, Rounds, has_too_much
from lanebus.wire.lanes import Lane

MOST_BYTES = 1000


def connection(descriptor: int = 7) -> Connection:
    return Connection(Lane.LOW, descriptor, 0.0)


def test_without_a_message_all_that_came_counts() -> None:
    new = connection()
    assert [has_too_much(new, 0.0, came, MOST_BYTES, 0.0) for came in (0, 1000, 1001)] == [False, False, True]


def test_with_every_message_that_is_read_it_counts_from_there() -> None:
    peer = connection()
    assert not has_too_much(peer, 1.0, 5000, MOST_BYTES, 1.0)
    assert not has_too_much(peer, 1.0, 6000, MOST_BYTES, 1.0)
    assert has_too_much(peer, 1.0, 6001, MOST_BYTES, 1.0)
    assert not has_too_much(peer, 1.1, 50_000, MOST_BYTES, 1.1)
    assert not has_too_much(peer, 1.1, 51_000, MOST_BYTES, 1.1)


def test_heartbeats_of_months_are_no_message() -> None:
    idle = connection()
    month_s = 30 * 86_400.0
    came = int(month_s * DRIP_BYTES_PER_S)
    assert not has_too_much(idle, 0.0, came, MOST_BYTES, month_s)
    assert has_too_much(idle, 0.0, came + MOST_BYTES + 1, MOST_BYTES, month_s)


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
