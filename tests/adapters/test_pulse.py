"""The pulse of a connection: when to ping, and when silence is a loss."""

import pytest

from lanebus.adapters.outlane import OutLane, Window
from lanebus.adapters.pulse import Pulse
from lanebus.adapters.retry import HELLO_TIMEOUT_S, RETURN_TIMEOUT_S
from lanebus.wire.header import NUMBERS_USED_UP
from lanebus.wire.lanes import LANES, Lane

START = 100.0
OUT_LANES = [OutLane(lane, Window()) for lane in LANES]


def up() -> Pulse:
    """All links have just come up."""
    pulse = Pulse()
    pulse.dialled(START)
    pulse.welcomed(START)
    pulse.heard_at = START
    pulse.up(START)
    return pulse


def test_a_broker_that_is_silent_after_the_dial_is_given_up_and_the_next_time_later() -> None:
    pulse = Pulse()
    assert pulse.gives_up(START) == 0.0
    pulse.dialled(START)
    assert pulse.give_up_at == START + HELLO_TIMEOUT_S
    assert pulse.gives_up(START + HELLO_TIMEOUT_S - 0.1) == 0.0
    assert pulse.gives_up(START + HELLO_TIMEOUT_S) == HELLO_TIMEOUT_S
    pulse.dialled(START)
    assert pulse.give_up_at == START + 2 * HELLO_TIMEOUT_S


def test_a_welcome_gives_the_other_links_their_time() -> None:
    pulse = Pulse()
    pulse.dialled(START)
    pulse.welcomed(START + 1.0)
    assert pulse.give_up_at == START + 1.0 + HELLO_TIMEOUT_S


def test_links_that_were_up_give_a_broker_longer() -> None:
    pulse = up()
    assert pulse.gives_up(START + RETURN_TIMEOUT_S) == 0.0
    pulse.stop()
    pulse.dialled(START)
    assert pulse.give_up_at == START + RETURN_TIMEOUT_S


def test_a_ping_leaves_at_once_and_then_at_intervals() -> None:
    pulse = up()
    assert pulse.is_ping_due(START)
    pulse.pinged(START)
    assert not pulse.is_ping_due(START + pulse.ping_interval_s - 0.1)
    assert pulse.is_ping_due(START + pulse.ping_interval_s)
    pulse.stop()
    assert not pulse.is_ping_due(START + 100.0)


def test_silence_is_a_loss_after_the_lease() -> None:
    pulse = up()
    assert pulse.look(START + pulse.lease_s, OUT_LANES) == ""
    assert pulse.look(START + pulse.lease_s + 2.0, OUT_LANES) == "silent for 12.0 s"
    pulse.heard_at = START + pulse.lease_s
    assert pulse.look(START + pulse.lease_s + 4.0, OUT_LANES) == ""


def test_silence_is_a_loss_for_who_pings_in_each_turn_too() -> None:
    pulse = up()
    for turn in range(6):
        assert pulse.look(START + 2.0 * turn, OUT_LANES) == ""
        pulse.pinged(START + 2.0 * turn)
    pulse.pinged(START + 12.0)
    assert pulse.look(START + 12.0, OUT_LANES) == "silent for 12.0 s"


def test_a_lane_whose_batches_have_no_numbers_left_needs_fresh_links() -> None:
    pulse = up()
    lanes = [OutLane(lane, Window()) for lane in LANES]
    lanes[Lane.LOW].next_number = NUMBERS_USED_UP
    assert pulse.look(START, lanes) == ""
    lanes[Lane.LOW].next_number += 1
    assert pulse.look(START + pulse.ping_interval_s, lanes) == "the numbers of batches on low are used up"


def test_a_ping_says_how_much_later_than_it_should_have_it_leaves() -> None:
    pulse = Pulse()
    pulse.up(10.0)
    assert pulse.pinged(10.0) == 0.0
    assert pulse.pinged(11.0) == 0.0, "one that is asked for in between is not late"
    assert pulse.pinged(18.0) == pytest.approx(5.0)
    pulse.stop()
    assert pulse.pinged(99.0) == 0.0
