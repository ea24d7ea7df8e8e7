"""Goals and what was found."""

from typing import Any

import pytest
from benchmarks.lab.goals import GOALS, judge
from benchmarks.lab.machine import COMPILED, PURE
from benchmarks.lab.tables import goals, verdict
from benchmarks.measures.all import MEASURES, of_build

BATCHES: dict[str, Any] = {
    "sizes": {
        "4.5": {"broker_us": {"median": 3.0}},
        "16": {"broker_us": {"median": 2.5}},
        "64": {"broker_us": {"median": 2.0}},
    }
}


def test_every_goal_is_of_a_measure_that_there_is() -> None:
    assert {goal.measure for goal in GOALS} <= set(MEASURES)


def test_the_compiled_build_has_no_profile_and_the_same_codecs() -> None:
    assert of_build(PURE) == list(MEASURES)
    assert set(MEASURES) - set(of_build(COMPILED)) == {"codec", "profile"}


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    assert {each.reached for each in judge({})} == {None}


def test_a_goal_is_reached_on_its_bound_and_missed_beyond() -> None:
    found = {each.goal.what: each.reached for each in judge({"batches": BATCHES}) if each.value is not None}
    assert found == {
        "broker's time an event, batches of 16": False,
        "broker's time an event, batches of 64": True,
        "broker's time an event, batches of 4.5": True,
    }


def test_a_rival_that_was_missing_leaves_its_goal_open() -> None:
    throughput = {"rivals": {"nats": {"ours_to_theirs": {"median": 4.5}}}}
    found = {each.goal.what: each.reached for each in judge({"throughput": throughput})}
    assert found["throughput, to NATS core"] is True
    assert found["throughput, to MQTT QoS 1"] is None


def test_isolation_is_compared_with_nats_at_the_same_load() -> None:
    def row(bus: str, beside: str, p99_ms: float) -> dict[str, Any]:
        return {"bus": bus, "beside": beside, "p99_ms": {"median": p99_ms}}

    isolation = {
        "saturated_to_idle": {"median": 6.0},
        "rows": [
            row("lanebus", "low saturated", 12.0),
            row("lanebus", "low at 50% of capacity", 10.0),
            row("NATS core", "low at 50% of capacity", 20.0),
            row("lanebus", "low at 90% of capacity", 10.0),
        ],
    }
    found = {each.goal.what: each.value for each in judge({"isolation": isolation})}
    assert found["critical p99 at the same load beside, to NATS, 50 %"] == pytest.approx(0.5)
    assert found["critical p99 at the same load beside, to NATS, 90 %"] is None
    assert found["critical p99 while low is saturated"] == 12.0


def test_the_table_says_what_was_missed() -> None:
    table = goals({PURE: {"batches": BATCHES}})
    assert table.startswith("| goal | target | pure Python | verdict |\n")
    assert "| broker's time an event, batches of 16 | at most 2.00 us | 2.50 us | **not reached** |" in table
    assert "| broker's time an event, batches of 64 | at most 2.00 us | 2.00 us | reached |" in table
    assert "| bytes saved | at least 50.0% | not measured | not measured |" in table


def test_the_table_says_which_build_reaches_a_goal() -> None:
    compiled = {"sizes": BATCHES["sizes"] | {"16": {"broker_us": {"median": 1.5}}}}
    table = goals({PURE: {"batches": BATCHES}, COMPILED: {"batches": compiled}})
    assert table.startswith("| goal | target | pure Python | compiled | verdict |\n")
    what = "| broker's time an event, batches of"
    assert f"{what} 16 | at most 2.00 us | 2.50 us | 1.50 us | compiled only |" in table
    assert f"{what} 64 | at most 2.00 us | 2.00 us | 2.00 us | reached |" in table


@pytest.mark.parametrize(
    ("pure", "compiled", "word"),
    [
        (True, True, "reached"),
        (False, False, "**not reached**"),
        (False, True, "compiled only"),
        (True, False, "pure Python only"),
        (False, None, "**not reached**"),
        (None, True, "reached"),
        (None, None, "not measured"),
    ],
)
def test_a_build_that_was_not_measured_has_no_say(
    pure: bool | None, compiled: bool | None, word: str
) -> None:
    assert verdict({PURE: pure, COMPILED: compiled}) == word


def test_a_short_soak_and_made_up_matches_prove_nothing() -> None:
    def found(*, length_s: float, recorded: bool) -> dict[str, bool | None]:
        case = {
            "matches": 17,
            **{
                name: {"median": 0.04}
                for name in ("broker_us", "broker_share", "messages_saved", "bytes_saved")
            },
        }
        figures: dict[str, Any] = {
            "soak": {"length_s": length_s, "growth": {"highest": 0.005}},
            "matches": {"recorded": recorded, "cases": {"speed 1": case}},
        }
        return {each.goal.what: each.reached for each in judge(figures)}

    real, quick = found(length_s=600.0, recorded=True), found(length_s=30.0, recorded=False)
    for what in (
        "growth of the broker's memory after the first minute",
        "broker, all matches at speed 1",
    ):
        assert (real[what], quick[what]) == (True, None)


def test_of_two_ways_to_attach_the_costlier_one_counts() -> None:
    def row(players: int, share: float) -> dict[str, Any]:
        each = {"median": share}
        return {
            "players": players,
            "broker_share": each,
            "rss_peak_bytes": each,
            "critical_p99_ms": each,
        }

    scale = {"recorded": True, "rows": [row(300, 0.9), row(1001, 0.5), row(1001, 0.7)]}
    found = {each.goal.what: each.value for each in judge({"scale": scale})}
    assert found["broker, 1,000 players"] == 0.7
