"""Timers: a heap of instants, run by whoever knows the time."""

from lanebus.broker.timers import Timers
from lanebus.wire.lanes import TIMER_SLACK_S


def test_the_next_instant_is_the_earliest_whatever_the_order_of_asking() -> None:
    timers = Timers()
    assert timers.next() is None
    for when in (3.0, 1.0, 2.0):
        timers.at(when, lambda now: None)
    assert timers.next() == 1.0
    assert len(timers) == 3


def test_what_is_due_runs_earliest_first_and_the_rest_waits() -> None:
    timers = Timers()
    ran: list[tuple[str, float]] = []
    for when, name in ((2.0, "b"), (1.0, "a"), (9.0, "later"), (2.0, "c")):
        timers.at(when, lambda now, name=name: ran.append((name, now)))  # type: ignore[misc]
    assert timers.run(5.0) == 3
    assert ran == [("a", 5.0), ("b", 5.0), ("c", 5.0)]
    assert timers.next() == 9.0


def test_what_is_due_within_the_slack_is_due_now() -> None:
    timers = Timers()
    timers.at(1.0, lambda now: None)
    assert timers.run(1.0 - 2 * TIMER_SLACK_S) == 0
    assert timers.run(1.0 - TIMER_SLACK_S / 2) == 1


def test_an_action_may_ask_for_another_one() -> None:
    timers = Timers()
    ran: list[float] = []

    def again(now: float) -> None:
        ran.append(now)
        if len(ran) < 3:
            timers.at(now, again)

    timers.at(0.0, again)
    assert timers.run(0.0) == 3
    assert len(timers) == 0


def test_a_turn_can_be_asked_for_by_itself() -> None:
    timers = Timers()
    timers.wake(2.0)
    assert timers.next() == 2.0
    assert timers.run(2.0) == 1
    assert timers.next() is None
