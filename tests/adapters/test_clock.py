"""The broker's clock as an adapter knows it."""

import pytest

from lanebus.adapters.clock import BrokerClock
from lanebus.wire.batches import STAMP_MODULUS, TICKS_PER_S


def measured(offset_s: float, *, rtt_s: float = 0.02, now: float = 100.0) -> BrokerClock:
    """A clock after one exchange with a broker that is ahead by `offset_s`."""
    clock = BrokerClock()
    clock.measure(int((now - rtt_s / 2 + offset_s) * TICKS_PER_S), rtt_s, now)
    return clock


@pytest.mark.parametrize("offset_s", [0.0, 1234.5, -50.0])
def test_an_age_is_right_whatever_the_difference_of_the_clocks(offset_s: float) -> None:
    clock = measured(offset_s)
    stamp = clock.stamp(101.0)
    assert clock.age_s(stamp, 101.5) == pytest.approx(0.5, abs=2 / TICKS_PER_S)


def test_an_age_is_never_negative() -> None:
    clock = measured(0.0)
    assert clock.age_s(clock.stamp(102.0), 101.0) == 0.0


def test_an_age_survives_the_wrap_of_the_stamps() -> None:
    clock = measured(STAMP_MODULUS / TICKS_PER_S - 100.5)
    before, after = clock.stamp(100.0), clock.stamp(101.0)
    assert after < before
    assert clock.age_s(before, 101.0) == pytest.approx(1.0, abs=2 / TICKS_PER_S)


def test_the_exchange_with_the_least_round_trip_decides() -> None:
    clock = measured(10.0, rtt_s=0.01)
    clock.measure(int((100.0 - 0.5 + 11.0) * TICKS_PER_S), 1.0, 100.0)
    assert clock.rtt_s == 1.0
    assert clock.stamp(100.0) == pytest.approx(110.0 * TICKS_PER_S, abs=2)


def test_an_old_best_exchange_fades_so_that_drift_is_followed() -> None:
    clock = measured(10.0, rtt_s=0.010)
    for _ in range(9):
        clock.measure(int((100.0 - 0.01 + 10.5) * TICKS_PER_S), 0.020, 100.0)
    assert clock.stamp(100.0) == pytest.approx(110.5 * TICKS_PER_S, abs=2)


def test_a_new_epoch_of_the_broker_begins_anew() -> None:
    clock = measured(1000.0, rtt_s=0.001)
    clock.restart()
    clock.measure(int((100.0 - 0.1 + 5.0) * TICKS_PER_S), 0.2, 100.0)
    assert clock.stamp(100.0) == pytest.approx(105.0 * TICKS_PER_S, abs=2)


def test_before_the_first_exchange_there_is_no_round_trip() -> None:
    assert BrokerClock().rtt_s is None
