"""When the broker is told what was received and handled."""

from tests.adapters.hand import Hand

from lanebus.adapters.reporting import SOON_S, Reporting

START = 100.0
WINDOW = 64


def received(batches: int) -> Hand:
    hand = Hand().up()
    for number in range(1, batches + 1):
        hand.arrive(number)
    return hand


def test_what_came_is_told_after_the_interval_together_with_what_comes_meanwhile() -> None:
    reporting, hand = Reporting(), received(1)
    assert not reporting.is_due(hand.core.incoming, WINDOW, START)
    assert reporting.due == START + reporting.interval_s
    assert not reporting.is_due(hand.core.incoming, WINDOW, START + 0.1)
    assert reporting.is_due(hand.core.incoming, WINDOW, START + reporting.interval_s)
    reporting.stop()
    assert reporting.due is None


def test_nothing_to_tell_is_not_told() -> None:
    reporting, hand = Reporting(), received(0)
    assert not reporting.is_due(hand.core.incoming, WINDOW, START)
    assert reporting.due is None


def test_half_a_window_is_told_at_once() -> None:
    reporting, hand = Reporting(), received(3)
    assert not reporting.is_due(hand.core.incoming, 8, START)
    assert reporting.is_due(hand.core.incoming, 6, START)


def test_what_the_broker_waits_for_is_told_soon_and_not_again_and_again() -> None:
    reporting, hand = Reporting(), received(1)
    reporting.soon()
    assert reporting.is_due(hand.core.incoming, WINDOW, START)
    reporting.stop()
    reporting.soon()
    assert not reporting.is_due(hand.core.incoming, WINDOW, START)
    assert reporting.is_due(hand.core.incoming, WINDOW, START + SOON_S)


def test_a_broker_that_drains_is_told_everything_at_once() -> None:
    reporting, hand = Reporting(), received(1)
    reporting.hurry(START)
    assert reporting.is_due(hand.core.incoming, WINDOW, START)
    reporting.stop()
    reporting.is_due(hand.core.incoming, WINDOW, START)
    assert reporting.due == START
