"""A peer's own view of its connection."""

from statistics import stdev

import pytest

from lanebus.adapters.quality import MIN_PINGS, ConnectionQuality, OwnLine

PING_S = 2.0


def line_of(*rtts_s: float | None, start: float = 0.0) -> OwnLine:
    """A line with a ping every two seconds; None is one that was not answered."""
    line = OwnLine()
    for number, rtt_s in enumerate(rtts_s):
        at = start + number * PING_S
        line.pinged(PING_S, at)
        if rtt_s is not None:
            line.answered(rtt_s, at + rtt_s)
    return line


def quality(line: OwnLine, now: float, *, is_up: bool = True) -> ConnectionQuality:
    return line.quality(now, is_up=is_up, ping_interval_s=PING_S)


def test_before_the_first_ping_there_is_nothing() -> None:
    assert quality(OwnLine(), 5.0) == ConnectionQuality(
        *("estimating", "0 of 5 samples", None, None, None, None)  # type: ignore[arg-type]
    )


def test_pings_make_a_judgement() -> None:
    rtts = [0.030, 0.050, 0.040, 0.050, 0.030]
    found = quality(line_of(*rtts), 8.1)
    assert (found.label.value, found.reason) == ("excellent", "jitter 10.0 ms")
    assert found.rtt_ms == pytest.approx(40.0)
    assert found.jitter_ms == pytest.approx(stdev(rtts) * 1e3, rel=1e-5)
    assert found.loss_share == 0.0
    assert found.score == pytest.approx(90.0)


def test_pings_without_an_answer_are_lost() -> None:
    found = quality(line_of(*(0.03,) * 6, None, 0.03, 0.03, 0.03), 18.1)
    assert found.loss_share == pytest.approx(0.1)
    assert (found.label.value, found.reason) == ("poor", "loss 10.0 %")


def test_of_too_few_pings_no_share_is_lost() -> None:
    assert quality(line_of(*(None,) * (MIN_PINGS - 1)), 6.1).loss_share is None


def test_a_ping_out_of_turn_makes_none_lost() -> None:
    line = line_of(*(0.03,) * 6)
    for at in (12.0, 12.1, 12.2):
        line.pinged(PING_S, at)
    line.answered(0.25, 12.25)
    assert quality(line, 12.3).loss_share == 0.0


def test_an_answer_that_was_not_asked_for_is_no_sample() -> None:
    line = line_of(0.03)
    line.answered(0.0001, 0.5)
    assert quality(line, 0.6).rtt_ms == pytest.approx(30.0)


def test_without_links_it_is_lost_and_then_begins_anew() -> None:
    line = line_of(*(0.9,) * 6)
    assert quality(line, 11.0).label.value == "poor"
    line.away()
    found = quality(line, 12.0, is_up=False)
    assert (found.label.value, found.reason, found.score) == ("lost", "no link", 0.0)
    line.pinged(PING_S, 14.0)
    found = quality(line, 14.0)
    assert (found.label.value, found.rtt_ms) == ("estimating", None)
    line.answered(0.02, 14.02)
    assert quality(line, 14.1).rtt_ms == pytest.approx(20.0)


def test_a_broker_that_does_not_answer_is_lost_before_the_links_are() -> None:
    line = line_of(*(0.03,) * 6, None, None, None)
    assert quality(line, 16.9).label.value == "excellent"
    found = quality(line, 17.5)
    assert (found.label.value, found.reason) == ("lost", "no answer for 5.5 s")
    line.answered(5.6, 17.6)
    assert quality(line, 17.7).label.value == "poor"


def test_what_waited_for_the_program_is_no_round_trip() -> None:
    line = line_of(*(0.03,) * 5)
    line.pinged(PING_S, 10.0)
    line.stalled(16.0)
    assert not line.answered(6.0, 16.0)
    found = quality(line, 16.1)
    assert found.rtt_ms == pytest.approx(30.0)
    assert found.label.value == "excellent"
    line.pinged(PING_S, 16.2)
    assert line.answered(0.05, 16.25)
    assert quality(line, 16.3).rtt_ms == pytest.approx(200 / 6)


def test_the_view_is_what_the_last_answer_made_it() -> None:
    line = line_of(*(0.03,) * 4)
    assert line.view == ("estimating", "4 of 5 samples")
    line.pinged(PING_S, 8.0)
    line.answered(0.03, 8.03)
    assert line.view == ("excellent", "round trip 30.0 ms")


def test_a_nap_of_the_program_makes_no_ping_lost() -> None:
    line = line_of(*(0.030,) * 5, None)  # the answer to the last one came, and nobody read it
    line.stalled(17.0)
    line.pinged(PING_S, 17.0)
    assert quality(line, 17.0).loss_share == 0.0
    line.answered(0.030, 17.03)
    line.pinged(PING_S, 19.0)
    line.pinged(PING_S, 21.0)
    assert quality(line, 21.0).loss_share == pytest.approx(1 / 8, rel=0.2), (
        "one that is not answered is lost still"
    )
