"""The comparison with another commit's code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.lab.events import make_up
from benchmarks.lab.guard import (
    LEAST_ROUNDS,
    ROUNDS,
    SAME,
    SHOWN,
    compare,
    figures_of,
    lines,
    measure,
    unpack,
)
from benchmarks.lab.machine import machine
from benchmarks.lab.processes import Failed
from benchmarks.lab.side import ROOT, Side
from benchmarks.lab.statistics import spread


def changed(name: str, values: list[float]) -> dict[str, Any]:
    return SAME | {name: spread(values)}


def worse(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [verdict.name for verdict in compare(before, now) if verdict.is_worse]


def test_the_same_is_not_worse() -> None:
    assert worse(SAME, SAME) == []


def test_less_throughput_and_more_latency_are_worse() -> None:
    assert worse(SAME, changed("per_s", [0.7] * 3)) == ["per_s"]
    assert worse(SAME, changed("idle_s", [1.6] * 3)) == ["idle_s"]


def test_more_throughput_and_less_latency_are_better() -> None:
    assert worse(SAME, changed("per_s", [1.5] * 3)) == []
    assert worse(SAME, changed("idle_s", [0.5] * 3)) == []


def test_a_change_within_the_tolerance_is_none() -> None:
    assert worse(SAME, changed("broker_us", [1.05] * 3)) == []


def test_eight_percent_of_processor_time_is_the_limit() -> None:
    for name in ("broker_us", "sender_us", "receiver_us"):
        # 1 / 1.09 is 8.3 % less for the same time.
        assert worse(SAME, changed(name, [1.09] * 3)) == [name]
        assert worse(SAME, changed(name, [1.08] * 3)) == []


def test_many_rounds_make_the_same_noise_count_less() -> None:
    rounds = [1.0, 1.3, 1.15, 1.05, 1.25]
    assert worse(SAME, changed("broker_us", rounds[:3])) == []
    assert worse(SAME, changed("broker_us", rounds * 5)) == ["broker_us"]


def test_a_change_within_the_noise_is_none() -> None:
    noisy = changed("idle_s", [0.6, 1.2, 1.9])
    assert worse(SAME, noisy) == []
    assert worse(noisy, changed("idle_s", [2.2] * 3)) == []
    assert worse(SAME, changed("idle_s", [2.2] * 3)) == ["idle_s"]


def test_a_figure_that_the_last_commit_lacks_is_shown_and_not_judged() -> None:
    before = {name: each for name, each in SAME.items() if name != "settle_us"}
    verdicts = {verdict.name: verdict for verdict in compare(before, changed("settle_us", [9.0] * 3))}
    assert verdicts["settle_us"].before is None
    assert not verdicts["settle_us"].is_worse


def test_the_comparison_in_words() -> None:
    here = {"context": {"at": "2026-01-02 03:04", "machine": machine() | {"commit": "abc"}}}
    found = lines(compare(SAME, changed("per_s", [0.5] * 3)), here, "abc123")
    assert found[0] == "against abc, measured 2026-01-02 03:04:"
    assert len(found) == 2 + len(SHOWN)
    assert found[1].split()[:4] == ["WORSE", "1.000", "->", "0.500"]
    assert "-50.0%" in found[1]
    assert found[-1] == "figures are ratios to the pure Python build of abc123, in alternating runs"
    there = {"context": {"at": "then", "machine": machine() | {"processor": "Z80"}}}
    assert lines([], there, "abc123")[1] == "  on another machine: Z80"
    assert lines([], None, "abc123")[0] == "against abc123 itself:"


def test_both_codes_make_the_same_runs_and_take_turns_in_being_first() -> None:
    asked: list[tuple[str, str]] = []

    def side(who: str, cost: float) -> Callable[[str], dict[str, float]]:
        def run(name: str) -> dict[str, float]:
            asked.append((who, name))
            return {f"{name}_figure": cost * len(asked)}

        return run

    columns: dict[str, tuple[list[float], list[float]]] = {}
    measure(side("ours", 1.0), side("theirs", 1.0), columns)
    assert len(columns["full_figure"][0]) == len(columns["full_figure"][1]) == ROUNDS
    assert len(columns["cores_figure"][0]) == 2 * ROUNDS
    assert 0 < len(columns["idle_figure"][0]) < ROUNDS
    for run in ("full", "cores"):
        first = [who for who, name in asked[::2] if name == run]
        assert first.count("ours") == first.count("theirs")
    assert [name for _, name in asked[::2]] == [name for _, name in asked[1::2]]
    # In the first round ours was the first call, in the second one, which begins with the seventh, theirs.
    assert columns["full_figure"][0][:2] == [1.0, 8.0]
    assert columns["full_figure"][1][:2] == [2.0, 7.0]


def test_when_time_is_up_there_are_fewer_rounds() -> None:
    columns: dict[str, tuple[list[float], list[float]]] = {}
    measure(lambda name: {name: 1.0}, lambda name: {name: 1.0}, columns, until_s=0.0)
    assert len(columns["full"][0]) == LEAST_ROUNDS


def test_figures_are_ratios_within_their_round() -> None:
    assert figures_of({"broker_us": ([6.0, 12.0], [2.0, 4.0])})["broker_us"]["values"] == [3.0, 3.0]


def test_a_commit_is_unpacked_beside_the_checkout(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    unpack("HEAD", tmp_path)
    assert (tmp_path / "src" / "lanebus" / "broker" / "core.py").is_file()
    with pytest.raises(Failed, match="git archive: "):
        unpack("no-such-commit", tmp_path)


@pytest.mark.system
def test_a_side_runs_the_code_that_it_is_given(tmp_path: Path) -> None:
    package = tmp_path / "src" / "lanebus"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit(7)")
    trace = make_up(tmp_path)[0]
    with (
        Side("another code", [trace], tmp_path) as other,
        pytest.raises(Failed, match="another code ended with"),
    ):
        other.run("cores")
    with Side("this code", [trace]) as side:
        found = side.run("cores")
        with pytest.raises(Failed, match="this code: KeyError"):
            side.run("no such run")
    assert set(found) <= set(SHOWN)
    assert all(value > 0 for value in found.values())
