"""Which part of matches is played, and how often."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks.lab import events
from benchmarks.lab.machine import PURE
from benchmarks.lab.setup import MatchTime, Setup, match_time
from benchmarks.lab.tables import matches as table
from benchmarks.measures import matches


def setup(full_matches: MatchTime | None) -> Setup:
    return Setup(
        events=events.Events([], "none"),
        traces=[Path("a.gz")],
        recorded=True,
        rounds=5,
        run_s=2.0,
        soak_s=1.0,
        full_matches=full_matches,
    )


def figures(call: int) -> dict[str, Any]:
    numbers = dict.fromkeys(matches._NUMBERS, float(call))
    late = {"critical": {"p50": float(call), "p99": float(call)}}
    return {
        **numbers,
        "players": 8,
        "matches": 1,
        "deliveries": 9,
        "exact": True,
        "latency_ms": late,
        "ended": {},
        "limits": {},
    }


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The options of every replay; each one's figures are its number."""
    calls: list[list[str]] = []

    def replay(paths: list[Path], *options: str, timeout_s: float) -> dict[str, Any]:
        calls.append(list(options))
        return {}

    monkeypatch.setattr(matches, "replay", replay)
    monkeypatch.setattr(matches, "figures", lambda report: figures(len(calls)))
    monkeypatch.setattr(Setup, "pause", lambda self: None)
    return calls


def test_whole_matches_are_played_once_at_speed_1(replays: list[list[str]]) -> None:
    found = matches.run_whole(setup(None))
    assert replays == [["--speed", "1", "--from", "0", "--processes", "2"]]
    # Everything in a row is of the one run.
    slow = found["cases"]["speed 1"]
    assert {slow[name]["median"] for name in matches._NUMBERS} == {1.0}
    assert slow["latency_ms"]["critical"]["p99"] == 1.0
    assert table({PURE: found}).startswith("Recorded matches; whole matches, once.\n")


def test_a_part_of_whole_matches_is_played_once_too(replays: list[list[str]]) -> None:
    found = matches.run_whole(setup(match_time("60-300")))
    assert [call[2:6] for call in replays] == [["--from", "60", "--until", "300"]]
    assert "speed 1: match time 60 s to 300 s" in table({PURE: found})


def test_else_the_time_in_which_all_are_live_is_played_and_the_fast_one_in_rounds(
    replays: list[list[str]],
) -> None:
    matches.run(setup(None))
    assert [call[1] for call in replays] == ["1", "max", "max", "max"]
    assert all(call[2:6] == ["--from", "15", "--until", "35"] for call in replays)


def test_match_times_are_read_and_written() -> None:
    assert match_time("60-300") == (60.0, 300.0)
    assert match_time("-300") == (0.0, 300.0)
    assert match_time("60-") == (60.0, None)
    assert str(match_time("60-")) == "match time 60 s to the end"


@pytest.mark.parametrize("text", ["60", "300-60", "60-60", "a-b", "", "matches"])
def test_what_is_no_match_time_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|could not convert"):
        match_time(text)
