"""From figures to a degree: the worst term decides, and a degree neither flaps nor jumps up."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanebus.wire.quality import JUDGED, Degree, Figures, Judgement, Thresholds, judge

T = Thresholds()
WINDOW_S = 20.0


def figures(rtt_ms: float | None = 10.0, samples: int = 10, **others: Any) -> Figures:
    return Figures(samples, rtt_ms, **others)


def judged(*rtts_ms: float, step_s: float = 2.0) -> Judgement:
    """A judgement after so many looks."""
    judgement = Judgement(T, WINDOW_S)
    for number, rtt_ms in enumerate(rtts_ms):
        judgement.consider(figures(rtt_ms), number * step_s)
    return judgement


@pytest.mark.parametrize(
    ("found", "degree", "reason"),
    [
        (figures(), "excellent", "round trip 10.0 ms"),
        (figures(100.0, jitter_ms=20.0, loss_share=0.01, queue_ms=500.0), "excellent", "round trip 100 ms"),
        (figures(101.0), "good", "round trip 101 ms"),
        (figures(jitter_ms=50.0), "good", "jitter 50.0 ms"),
        (figures(jitter_ms=67.0), "fair", "jitter 67.0 ms"),
        (figures(jitter_ms=150.0, loss_share=0.02), "poor", "jitter 150 ms"),
        (figures(loss_share=0.061), "poor", "loss 6.1 %"),
        (figures(150.0, queue_ms=1500.0), "fair", "queue 1500 ms"),
        (figures(500.0, loss_share=1.0), "poor", "loss 100.0 %"),
    ],
)
def test_the_worst_term_decides_and_is_the_reason(found: Figures, degree: str, reason: str) -> None:
    assert judge(found, T) == (degree, reason)


@pytest.mark.parametrize("found", [Figures(0), figures(samples=4), figures(None, 9, loss_share=1.0)])
def test_too_few_samples_are_an_estimate(found: Figures) -> None:
    assert judge(found, T) == (Degree.ESTIMATING, f"{found.samples} of 5 samples")
    judgement = Judgement(T, WINDOW_S)
    assert not judgement.consider(found, 1.0)
    assert (judgement.degree, judgement.score, judgement.since) == (Degree.ESTIMATING, None, None)


def test_a_bound_may_be_zero() -> None:
    strict = T._replace(excellent=T.excellent._replace(loss_share=0.0))
    assert judge(figures(loss_share=0.0), strict)[0] is Degree.EXCELLENT
    assert judge(figures(loss_share=0.001), strict) == (Degree.GOOD, "loss 0.1 %")


def test_the_first_judgement_is_given_at_once() -> None:
    assert judged(500.0).degree is Degree.POOR


def test_a_clearly_worse_line_falls_at_once() -> None:
    judgement = judged(10.0)
    assert judgement.consider(figures(111.0), 2.0)
    assert (judgement.degree, judgement.reason, judgement.since) == ("good", "round trip 111 ms", 2.0)
    assert judgement.consider(figures(1000.0), 4.0)
    assert judgement.degree is Degree.POOR


def test_a_line_at_a_bound_does_not_flap() -> None:
    judgement = judged(90.0)
    for number in range(100):
        assert not judgement.consider(figures(99.0 if number % 2 else 109.0), 2.0 * number)


def test_a_better_line_rises_when_it_has_held_for_a_window_more() -> None:
    judgement = judged(300.0)
    for number in range(1, 11):
        assert not judgement.consider(figures(50.0 if number != 4 else 150.0), 2.0 * number)
    assert (judgement.degree.value, judgement.reason) == ("fair", "round trip 300 ms")
    assert judgement.consider(figures(50.0), 22.0)
    # The worst of what was found since is what it has deserved.
    assert judgement.degree.value == "good"


def test_a_relapse_begins_the_wait_again() -> None:
    judgement = judged(300.0)
    assert not any(judgement.consider(figures(50.0), at) for at in (2.0, 10.0, 20.0))
    assert not judgement.consider(figures(300.0), 21.0)
    assert not any(judgement.consider(figures(50.0), at) for at in (22.0, 30.0, 41.0))
    assert judgement.consider(figures(50.0), 42.0)


@given(st.lists(st.floats(0.0, 2000.0), min_size=2, max_size=60))
def test_no_degree_rises_within_a_window(rtts_ms: list[float]) -> None:
    judgement = Judgement(T, WINDOW_S)
    changed_at = 0.0
    for number, rtt_ms in enumerate(rtts_ms):
        before = judgement.degree
        if judgement.consider(figures(rtt_ms), 2.0 * number) and before in JUDGED:
            assert (
                JUDGED.index(judgement.degree) > JUDGED.index(before) or 2.0 * number - changed_at >= WINDOW_S
            )
        if judgement.degree is not before:
            changed_at = 2.0 * number
        assert 0.0 <= (judgement.score or 0.0) <= 100.0


def test_the_score_falls_faster_than_it_rises() -> None:
    assert judged(0.0).score == 100.0
    assert judged(0.0, 400.0).score == pytest.approx(100 - 0.8 * 60)
    assert judged(400.0, 0.0).score == pytest.approx(40 + 0.4 * 60)
    assert judged(10_000.0).score == 0.0


def test_samples_that_fail_to_come_change_nothing() -> None:
    judgement = judged(300.0)
    assert not judgement.consider(figures(samples=2), 4.0)
    assert judgement.degree is Degree.FAIR


def test_what_is_lost_is_estimated_anew() -> None:
    judgement = judged(300.0)
    assert judgement.lose("no link", 4.0)
    assert not judgement.lose("no link", 5.0)
    assert (judgement.degree, judgement.score) == (Degree.LOST, 0.0)
    assert judgement.regain(6.0)
    assert not judgement.regain(6.0)
    assert judgement.reason == "0 of 5 samples"
    assert judgement.consider(figures(), 8.0)
    assert judgement.degree is Degree.EXCELLENT
