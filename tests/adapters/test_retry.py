"""When to try again: waits that grow, differ, and end."""

import random

import pytest

from lanebus.adapters.retry import (
    HELLO_TIMEOUT_S,
    MAX_HELLO_TIMEOUT_S,
    MAX_WAIT_S,
    MIN_WAIT_S,
    RETURN_TIMEOUT_S,
    Backoff,
    Patience,
    _must_not_sleep,
)


def waits(count: int, seed: int = 1) -> list[float]:
    random.seed(seed)
    backoff = Backoff()
    return [backoff.next_wait_s() for _ in range(count)]


def test_the_longest_that_a_wait_may_be_doubles_until_it_reaches_its_bound() -> None:
    rounds = [waits(8, seed) for seed in range(300)]
    for attempt, drawn in enumerate(zip(*rounds, strict=True)):
        most_s = min(2 * MIN_WAIT_S * 2**attempt, MAX_WAIT_S)
        assert min(drawn) >= MIN_WAIT_S
        assert most_s * 0.9 < max(drawn) <= most_s


def test_no_wait_is_past_the_bound_however_long_nobody_answers() -> None:
    assert max(waits(3000)) <= MAX_WAIT_S


def test_waits_at_the_bound_are_spread_over_all_of_it() -> None:
    late = waits(3000)[10:]
    for tenth in range(1, 10):
        share = sum(wait_s < tenth * MAX_WAIT_S / 10 for wait_s in late) / len(late)
        assert share == pytest.approx(
            (tenth * MAX_WAIT_S / 10 - MIN_WAIT_S) / (MAX_WAIT_S - MIN_WAIT_S), abs=0.05
        )


def test_after_an_announced_end_the_first_attempt_is_very_soon_and_not_everybodys_at_once() -> None:
    random.seed(1)
    backoff = Backoff()
    soon = {backoff.jitter_s() for _ in range(100)}
    assert len(soon) == 100
    assert max(soon) <= MIN_WAIT_S
    assert backoff.attempts == 0


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


def test_a_silent_broker_is_given_twice_as_long_each_time_up_to_a_bound() -> None:
    patience = Patience()
    given = []
    for _ in range(5):
        given.append(patience.s)
        patience.was_in_vain()
    assert given == [HELLO_TIMEOUT_S, 2 * HELLO_TIMEOUT_S, 4 * HELLO_TIMEOUT_S, *[MAX_HELLO_TIMEOUT_S] * 2]
    patience.succeeded()
    assert patience.s == RETURN_TIMEOUT_S
