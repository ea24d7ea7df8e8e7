"""Turns: how far apart they come, and one warning where they were forgotten."""

import logging
import time
from collections.abc import Callable
from math import inf

import pytest

from lanebus import ServerAdapter
from lanebus.adapters.turns import FORGOTTEN_S, LOOK_S, STALL_S, WARNING_INTERVAL_S, Turns


@pytest.fixture
def turns() -> Turns:
    return Turns("server:a was not polled")


def turn(turns: Turns, now: float, *, took_s: float = 0.0) -> None:
    turns.begin(now)
    turns.end(now + took_s)


def test_a_gap_is_from_the_end_of_a_turn_to_the_next(turns: Turns, caplog: pytest.LogCaptureFixture) -> None:
    turn(turns, 100.0, took_s=60.0)
    turn(turns, 160.5)
    turn(turns, 160.7)
    assert turns.longest_gap_s == pytest.approx(0.5)
    assert (turns.stalls, caplog.text) == (0, "")
    for number in range(100):
        turn(turns, 161.0 + number * 0.03)
    assert turns.mean_gap_s == pytest.approx(0.03, abs=0.001)


def test_gaps_of_seconds_are_counted_and_warned_of_once_a_minute(
    turns: Turns, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    turn(turns, now)
    for _ in range(3):
        now += FORGOTTEN_S + 0.5
        turn(turns, now)
    assert "".join(record.getMessage() for record in caplog.records) == (
        "= server:a was not polled for 5.5 s: nothing is sent or handled meanwhile; poll in every round of the "
        "program's loop"
    )
    turn(turns, now + WARNING_INTERVAL_S)
    assert caplog.text.count("was not polled") == 2
    assert turns.stalls == 4
    assert turns.longest_gap_s == WARNING_INTERVAL_S
    assert caplog.records[0].levelno == logging.WARNING


def test_a_program_that_sends_and_does_not_poll_is_warned_while_it_does(
    turns: Turns, caplog: pytest.LogCaptureFixture
) -> None:
    turn(turns, 100.0)
    assert turns.look_at == 100.0 + LOOK_S
    turns.look(100.0 + FORGOTTEN_S)
    assert caplog.text == ""
    turns.look(106.0)
    assert "was not polled for 6.0 s" in caplog.text
    assert turns.look_at == 106.0 + LOOK_S, "the next events cost nothing"
    turns.look(106.5)
    turn(turns, 107.0)
    assert caplog.text.count("was not polled") == 1
    assert turns.stalls == 1
    assert turns.look_at == 107.0 + LOOK_S


def test_nobody_looks_before_the_first_turn_in_one_and_when_others_give_them(turns: Turns) -> None:
    assert turns.look_at == inf
    turn(turns, 100.0)
    turns.begin(101.0)
    assert turns.look_at == inf
    turns.end(101.0)
    turns.stop()
    assert turns.look_at == inf
    turn(turns, 500.0)
    assert (turns.stalls, turns.longest_gap_s) == (0, 1.0)


def test_a_turn_after_more_than_a_second_is_one_after_a_stall(turns: Turns) -> None:
    assert not turns.begin(100.0)
    turns.end(100.0)
    assert not turns.begin(100.0 + STALL_S)
    turns.end(102.0)
    assert turns.begin(103.1)
    assert turns.stalls == 0, "it is not long enough to be warned of"


@pytest.mark.patches
@pytest.mark.parametrize("give_turn", [ServerAdapter.poll, lambda adapter: adapter.wait(0.001)])
def test_a_poll_that_was_forgotten_is_warned_of_once(
    pair: tuple[ServerAdapter, ServerAdapter],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    give_turn: Callable[[ServerAdapter], int],
) -> None:
    monkeypatch.setattr("lanebus.adapters.turns.FORGOTTEN_S", 0.02)
    one, _ = pair
    one.wait(0.05)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            give_turn(one)
            time.sleep(0.03)
    assert caplog.text.count("server:a was not polled for") == 1
    assert one.stats()["turns"]["stalls"] == 2
    assert 0.03 <= one.stats()["turns"]["longest_gap_s"] < 5.0
