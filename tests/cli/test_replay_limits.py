"""The limits of a replay follow the speed of its match."""

import math

import pytest

from lanebus.cli.replay_limits import policy_at
from lanebus.conf.load import loads
from lanebus.conf.policy import Policy, PolicyConfig


def test_at_the_speed_of_the_match_they_are_the_defaults() -> None:
    assert Policy(**policy_at(1.0)) == PolicyConfig().client


@pytest.mark.parametrize("speed", [0.5, 2.0, 20.0])
def test_at_another_speed_a_match_second_has_the_same_allowance_and_bursts(speed: float) -> None:
    policy = Policy(**policy_at(speed))
    default = PolicyConfig().client
    assert policy.events_per_s / speed == default.events_per_s
    assert policy.events_burst == default.events_burst
    assert policy.down_bytes_per_s * policy.bytes_burst_s == pytest.approx(
        default.down_bytes_per_s * default.bytes_burst_s
    )


def test_as_fast_as_it_goes_there_are_none() -> None:
    policy = Policy(**policy_at(math.inf))
    assert (policy.events_per_s, policy.up_bytes_per_s, policy.down_bytes_per_s) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("speed", [0.1, 1.0, 1_000.0, math.inf])
def test_the_settings_are_ones_that_a_broker_takes(speed: float) -> None:
    text = "[policy.client]\n" + "\n".join(f"{name} = {value}" for name, value in policy_at(speed).items())
    assert loads(text, "x").policy.client == Policy(**policy_at(speed))
