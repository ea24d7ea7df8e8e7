"""When a server's handlers wait: its events may be another instance's by now."""

import pytest

from lanebus.adapters.suspension import Suspension


@pytest.fixture
def suspension() -> Suspension:
    """Of an instance whose events move after two seconds; it has just had a turn."""
    suspension = Suspension()
    suspension.welcomed(2.0)
    assert not suspension.turn(100.0)
    return suspension


def test_handlers_run_while_the_links_are_there_and_turns_come(suspension: Suspension) -> None:
    assert not suspension.turn(100.9)
    assert not suspension.holds(100.9)


def test_without_links_handlers_run_for_half_the_failover_time(suspension: Suspension) -> None:
    suspension.lost(100.5)
    suspension.lost(101.4)
    assert not suspension.holds(101.5)
    assert suspension.holds(101.6)
    suspension.welcomed(2.0)
    assert not suspension.holds(101.7)


def test_after_a_long_time_without_a_turn_the_broker_is_asked_first(suspension: Suspension) -> None:
    assert suspension.turn(101.5)
    assert suspension.holds(101.5)
    suspension.answered(int(101.4e6))
    assert suspension.holds(101.5)
    suspension.answered(int(101.5 * 1e6))
    assert not suspension.holds(101.5)


def test_links_that_were_lost_meanwhile_hold_until_the_broker_has_welcomed_again(
    suspension: Suspension,
) -> None:
    suspension.turn(130.0)
    suspension.lost(130.0)
    suspension.turn(130.5)
    assert suspension.holds(130.5)
    suspension.welcomed(2.0)
    assert not suspension.holds(130.5)


def test_nothing_is_held_before_a_failover_time_is_known() -> None:
    suspension = Suspension()
    assert not suspension.turn(1.0)
    assert not suspension.turn(500.0)
    suspension.lost(600.0)
    assert not suspension.holds(900.0)
