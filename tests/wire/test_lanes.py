"""The lane table: numbers, names, timings, and lookup by what users write."""

import pytest

from lanebus.wire.lanes import DEFAULT_TIMINGS, LANE_NAMES, LANES, Lane, lane_of


def test_the_three_lanes_are_numbered_by_priority() -> None:
    assert [(lane.value, lane.label) for lane in LANES] == [(0, "critical"), (1, "normal"), (2, "low")]
    assert tuple(Lane) == LANES


def test_every_lane_has_a_timing_whose_hold_fits_its_interval() -> None:
    assert len(DEFAULT_TIMINGS) == len(LANES)
    for timing in DEFAULT_TIMINGS:
        assert 0 < timing.hold_s < timing.interval_s


def test_lower_priorities_wait_longer_for_company() -> None:
    assert list(DEFAULT_TIMINGS) == sorted(DEFAULT_TIMINGS)


@pytest.mark.parametrize("lane", LANES)
def test_a_lane_is_found_by_its_name_and_by_itself(lane: Lane) -> None:
    assert lane_of(lane.label) is lane
    assert lane_of(lane) is lane


@pytest.mark.parametrize("name", ["urgent", "", "Critical", "critical ", 0, None, ["low"]])
def test_anything_else_is_no_lane_and_the_text_lists_those_there_are(name: object) -> None:
    with pytest.raises(ValueError, match="use one of critical, normal, low") as raised:
        lane_of(name)  # type: ignore[arg-type]
    assert repr(name) in str(raised.value)
    assert all(lane in str(raised.value) for lane in LANE_NAMES)
