"""Allowances: exact over any stretch of time, shared by lanes, and never beyond a burst."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanebus.broker.allowance import SHARES, USE_WINDOW_S, Allowance, Bucket
from lanebus.wire.lanes import LANES, Lane

RATE, BURST = 100.0, 200.0


def taken(allowance: Allowance, lane: Lane, now: float, most: int = 10_000) -> int:
    """Take single events until there is none left, and say how many there were."""
    allowance.refill(now)
    count = 0
    while count < most and allowance.has(lane):
        allowance.take(lane, 1.0)
        count += 1
    return count


def flood(allowance: Allowance, lane: Lane, since: float, until: float, step_s: float = 0.01) -> int:
    """All that a lane can take in a stretch of time, looking every `step_s`."""
    steps = round((until - since) / step_s)
    return sum(taken(allowance, lane, since + step_s * step) for step in range(1, steps + 1))


def test_its_use_is_the_share_of_the_rate_over_the_last_window() -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    assert allowance.use(0.0) == 0.0
    for second in range(1, 10):
        allowance.take(LANES[second % 3], 85.0)
        assert allowance.use(second) == 0.0
    allowance.take(Lane.LOW, 85.0)
    assert allowance.use(USE_WINDOW_S) == pytest.approx(0.85)
    assert allowance.used == 850.0
    # Until the next window is over.
    allowance.take(Lane.CRITICAL, 240.0)
    assert allowance.use(15.0) == pytest.approx(0.85)
    assert allowance.use(22.0) == pytest.approx(0.2)
    assert allowance.use(32.0) == 0.0


def test_what_is_spent_is_its_use_too_and_what_was_refused_is_not() -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    while allowance.spend(Lane.NORMAL, 10.0, 0.0):
        pass
    spent = allowance.used
    assert 0.0 < spent < BURST
    assert not allowance.spend(Lane.NORMAL, 10.0, 0.0)
    assert allowance.used == spent
    assert allowance.spend(Lane.NORMAL, 10.0, USE_WINDOW_S)
    assert allowance.use(USE_WINDOW_S) == pytest.approx((spent + 10.0) / (USE_WINDOW_S * RATE))


def test_half_of_the_burst_is_kept_for_the_critical_lane() -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    for lane in (Lane.NORMAL, Lane.LOW):
        taken(allowance, lane, 0.0)
    assert taken(allowance, Lane.CRITICAL, 0.0) == BURST / 2


def test_a_lane_alone_gets_the_whole_rate() -> None:
    for lane in LANES:
        allowance = Allowance(RATE, BURST, 0.0)
        flood(allowance, lane, 0.0, 10.0)
        assert flood(allowance, lane, 10.0, 40.0) == pytest.approx(30.0 * RATE, rel=0.01)


def test_lanes_that_all_want_everything_get_their_shares() -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    counts = [0, 0, 0]
    for step in range(1, 6_001):
        for lane in LANES:
            counts[lane] += taken(allowance, lane, step * 0.01)
    assert sum(counts) <= BURST + 60.0 * RATE + len(LANES)
    for lane in LANES:
        assert counts[lane] == pytest.approx(SHARES[lane] * (BURST + 60.0 * RATE), rel=0.02)


def test_neither_bulk_nor_telemetry_takes_anything_from_critical() -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    for step in range(1, 3_000):
        now = step * 0.01
        taken(allowance, Lane.LOW, now)
        taken(allowance, Lane.NORMAL, now)
        # Forty a second: less than half of the rate, and never turned away.
        if step % 5 < 2:
            assert allowance.has(Lane.CRITICAL)
            allowance.take(Lane.CRITICAL, 1.0)


def test_no_stretch_of_time_lets_more_pass_than_burst_and_rate_allow() -> None:
    # Fixed windows let through twice their limit across an edge, and one more than that.
    allowance = Allowance(RATE, BURST, 0.0)
    times: list[float] = []
    for step in range(1_000):
        now = step * 0.013
        times += [now] * taken(allowance, Lane.CRITICAL, now)
    for index, start in enumerate(times):
        for stretch_s in (0.1, 1.0, 2.0):
            inside = sum(start <= at < start + stretch_s for at in times[index:])
            assert inside <= BURST + RATE * stretch_s + 1
        if index > 50:
            break


def test_it_fills_with_time_and_not_with_traffic() -> None:
    # A limiter that is reset only when something is sent mutes whoever is sent nothing.
    allowance = Allowance(RATE, BURST, 0.0)
    before = taken(allowance, Lane.NORMAL, 0.0)
    assert taken(allowance, Lane.NORMAL, 0.0) == 0
    assert taken(allowance, Lane.NORMAL, 100.0) == before


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    allowance = Allowance(RATE, BURST, 50.0)
    taken(allowance, Lane.NORMAL, 50.0)
    for now in (50.0, 49.0, -1e9):
        assert taken(allowance, Lane.NORMAL, now) == 0


def test_the_first_event_passes_whatever_the_interval() -> None:
    # A rate measured over a tiny interval is nearly infinite; an allowance measures no rate.
    allowance = Allowance(RATE, BURST, 0.0)
    allowance.refill(1e-9)
    assert allowance.has(Lane.NORMAL)


def test_a_leap_of_the_clock_gives_no_more_than_a_burst() -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    for lane in LANES:
        taken(allowance, lane, 0.0)
    assert sum(taken(allowance, lane, 1e12) for lane in LANES) <= BURST + len(LANES)


def test_what_is_larger_than_the_burst_passes_and_is_paid_back() -> None:
    allowance = Allowance(1_000.0, 2_000.0, 0.0)
    assert allowance.has(Lane.NORMAL)
    allowance.take(Lane.NORMAL, 10_000.0)
    taken(allowance, Lane.LOW, 0.0)
    assert not allowance.has(Lane.NORMAL)
    wait_s = allowance.wait_s(Lane.NORMAL)
    allowance.refill(wait_s)
    assert allowance.has(Lane.NORMAL)
    assert wait_s == pytest.approx(10_000 / 1_000, rel=0.3)


def test_when_it_says_to_come_back_there_is_something() -> None:
    for lane in LANES:
        allowance = Allowance(RATE, BURST, 0.0)
        for each in LANES:
            taken(allowance, each, 0.0)
        wait_s = allowance.wait_s(lane)
        assert not allowance.has(lane)
        assert taken(allowance, lane, wait_s) >= 1
    assert Allowance(RATE, BURST, 0.0).wait_s(Lane.LOW) == 0.0


def test_who_kept_to_the_rate_while_the_broker_stood_still_is_not_over_it() -> None:
    stalled_s = 5.0
    late, punctual = Allowance(RATE, BURST, 0.0), Allowance(RATE, BURST, 0.0)
    for allowance, late_s in ((late, stalled_s), (punctual, 0.0)):
        allowance.refill(stalled_s, late_s)
    assert taken(punctual, Lane.NORMAL, stalled_s) < RATE * stalled_s
    counted = 0
    while late.has(Lane.NORMAL):
        late.take(Lane.NORMAL, 1.0)
        counted += 1
    assert counted >= RATE * stalled_s


def test_what_grew_while_the_broker_was_late_is_gone_when_it_is_punctual_again() -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    allowance.refill(5.0, 5.0)
    allowance.refill(5.01, 0.0)
    assert sum(taken(allowance, lane, 5.02) for lane in LANES) <= BURST + len(LANES)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(LANES), st.floats(0.0, 2.0), st.integers(1, 300)), min_size=1, max_size=60
    )
)
def test_it_never_gives_more_than_it_has(steps: list[tuple[Lane, float, int]]) -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    now, total, largest = 0.0, 0.0, 0
    for lane, later_s, amount in steps:
        now += later_s
        allowance.refill(now)
        if allowance.has(lane):
            allowance.take(lane, amount)
            total += amount
            largest = max(largest, amount)
        # Each lane may be in debt by one event.
        assert total <= BURST + RATE * now + len(LANES) * largest + 1e-6


def test_the_used_share_is_that_of_the_lane_that_has_least_left() -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    assert allowance.used_share == 0.0
    allowance.take(Lane.CRITICAL, 50.0)
    allowance.take(Lane.NORMAL, 15.0)
    assert allowance.used_share == 0.5
    taken(allowance, Lane.NORMAL, 0.0)
    assert allowance.used_share == 1.0
    assert allowance.is_low(Lane.NORMAL)


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    bucket = Bucket(10.0, 5.0, 0.0)
    assert sum(bucket.take(1.0, 0.0) for _ in range(20)) == 5
    assert sum(bucket.take(1.0, 0.001 * step) for step in range(1, 10_001)) == pytest.approx(100, abs=1)


def test_a_whole_is_spent_or_nothing_of_it() -> None:
    allowance = Allowance(RATE, BURST, 0.0)
    share = BURST * SHARES[Lane.NORMAL]
    assert not allowance.spend_whole(Lane.NORMAL, share + 1.0, 0.0)
    assert allowance.used == 0.0
    assert allowance.spend_whole(Lane.NORMAL, share, 0.0)
    assert not allowance.spend_whole(Lane.NORMAL, 1.0, 0.0)
    assert allowance.spend_whole(Lane.NORMAL, 1.0, 1.0)
    assert allowance.used == share + 1.0
