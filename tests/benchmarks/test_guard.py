"""The comparison with the last commit."""

from typing import Any

from benchmarks.lab.guard import SHOWN, compare, figures_of, lines
from benchmarks.lab.machine import machine
from benchmarks.lab.statistics import spread

STEADY = {name: spread([1.0, 1.0, 1.0]) for name in SHOWN}


def changed(name: str, values: list[float]) -> dict[str, Any]:
    return STEADY | {name: spread(values)}


def worse(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [verdict.name for verdict in compare(before, now) if verdict.is_worse]


def test_the_same_is_not_worse() -> None:
    assert worse(STEADY, STEADY) == []


def test_less_throughput_and_more_latency_are_worse() -> None:
    assert worse(STEADY, changed("throughput", [0.8] * 3)) == ["throughput"]
    assert worse(STEADY, changed("idle", [1.6] * 3)) == ["idle"]


def test_more_throughput_and_less_latency_are_better() -> None:
    assert worse(STEADY, changed("throughput", [1.5] * 3)) == []
    assert worse(STEADY, changed("idle", [0.5] * 3)) == []


def test_a_change_within_the_tolerance_is_none() -> None:
    assert worse(STEADY, changed("broker", [1.05] * 3)) == []


def test_a_change_within_the_noise_is_none() -> None:
    noisy = changed("saturated", [0.6, 1.2, 1.9])
    assert worse(STEADY, noisy) == []
    assert worse(noisy, changed("saturated", [2.2] * 3)) == []
    assert worse(STEADY, changed("saturated", [2.2] * 3)) == ["saturated"]


def test_a_figure_that_the_last_commit_lacks_is_shown_and_not_judged() -> None:
    before = {name: each for name, each in STEADY.items() if name != "cores"}
    verdicts = {verdict.name: verdict for verdict in compare(before, changed("cores", [9.0] * 3))}
    assert verdicts["cores"].before is None
    assert not verdicts["cores"].is_worse


def test_the_comparison_in_words() -> None:
    here = {"context": {"at": "2026-01-02 03:04", "machine": machine() | {"commit": "abc"}}}
    found = lines(compare(STEADY, changed("throughput", [0.5] * 3)), here)
    assert found[0] == "against abc, measured 2026-01-02 03:04:"
    assert len(found) == 1 + len(SHOWN)
    assert found[1].split()[:4] == ["WORSE", "1.000", "->", "0.500"]
    assert "-50.0%" in found[1]
    there = {"context": {"at": "then", "machine": machine() | {"processor": "Z80"}}}
    assert lines([], there)[1] == "  on another machine: Z80"
    assert lines([], None) == ["the last commit holds no figures to compare with"]


def test_figures_are_ratios_within_their_round() -> None:
    names = ("per_s", "bare_per_s", "idle_s", "hop_s", "full_s", "yardstick_us")
    columns = {name: [2.0, 4.0] for name in (*names, "broker_us", "sender_us", "receiver_us", "cores_us")}
    columns["broker_us"] = [6.0, 12.0]
    found = figures_of(columns)
    assert set(found) == set(SHOWN)
    assert found["broker"]["values"] == [3.0, 3.0]
    assert found["idle"]["values"] == [1.0, 1.0]
