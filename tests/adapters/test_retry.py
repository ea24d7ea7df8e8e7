"""When to try again: waits that grow, differ, and end."""

import random

import pytest

from lanebus.adapters.retry import MAX_WAIT_S, MIN_WAIT_S, Backoff, _must_not_sleep


def waits(count: int, seed: int = 1) -> list[float]:
    random.seed(seed)
    backoff = Backoff()
    return [backoff.next_wait_s() for _ in range(count)]


def test_waits_double_until_they_reach_their_bound() -> None:
    growing = waits(7)
    for attempt, wait_s in enumerate(growing):
        least_s = MIN_WAIT_S * 2**attempt
        assert least_s <= wait_s <= least_s + MIN_WAIT_S
    assert growing == sorted(growing)


def test_no_wait_is_past_the_bound_however_long_nobody_answers() -> None:
    assert max(waits(3000)) == MAX_WAIT_S
    assert set(waits(3000)[10:]) == {MAX_WAIT_S}


def test_two_processes_do_not_come_back_at_the_same_time() -> None:
    first, second = waits(5, seed=1), waits(5, seed=2)
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_after_a_success_it_starts_over() -> None:
    backoff = Backoff()
    for _ in range(6):
        backoff.next_wait_s()
    assert backoff.attempts == 6
    backoff.succeeded()
    assert backoff.attempts == 0
    assert backoff.next_wait_s() <= 2 * MIN_WAIT_S


def test_backoffs_do_not_share_their_attempts() -> None:
    one, other = Backoff(), Backoff()
    for _ in range(5):
        one.next_wait_s()
    assert (one.attempts, other.attempts) == (5, 0)


def test_a_policy_that_wants_to_sleep_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="never sleeps"):
        _must_not_sleep(1.0)
