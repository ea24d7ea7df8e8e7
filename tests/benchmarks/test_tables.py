"""Tables of one build, and of both."""

from typing import Any

import pytest
from benchmarks.lab import report, tables
from benchmarks.lab.machine import COMPILED, PURE
from benchmarks.lab.statistics import spread


def rows(found: Any) -> list[list[str]]:
    return [[name, str(value)] for name, value in found.items()]


def rival(title: str, per_s: float, ratio: float, **more: Any) -> dict[str, Any]:
    return {
        "title": title,
        "promise": f"what {title} promises",
        "settings": "none",
        "per_s": spread([per_s]),
        "ours_to_theirs": spread([ratio]),
        **{name: spread([1.0]) for name in ("broker_us", "sender_us", "receiver_us")},
        "lost": 0,
        **more,
    }


def throughput(ours: float, **others: float) -> dict[str, Any]:
    rivals = {name: rival(name, per_s, ours / per_s) for name, per_s in others.items()}
    mine = rival("lanebus", ours, 1.0, notes={"events_per_batch": 200.0})
    return {
        "events": "9 events",
        "payload_bytes": 80,
        "in_flight": 100,
        "rivals": {"lanebus": mine, **rivals},
        "missing": {},
    }


def test_one_build_has_no_column_of_builds() -> None:
    for build in (PURE, COMPILED):
        found = tables.beside({build: {"a": 1}}, ["size", "us"], rows)
        assert found == "| size | us |\n| --- | ---: |\n| a | 1 |"


def test_rows_of_both_builds_stand_below_each_other() -> None:
    found = tables.beside({PURE: {"a": 9, "b": 8}, COMPILED: {"a": 4, "c": 3}}, ["size", "us"], rows)
    assert found.split("\n") == [
        "| size | build | us |",
        "| --- | --- | ---: |",
        "| a | pure Python | 9 |",
        "| a | compiled | 4 |",
        "| b | pure Python | 8 |",
        "| c | compiled | 3 |",
    ]


def test_what_both_builds_say_is_said_once() -> None:
    found = tables.notes(
        {PURE: {"say": ["x.", "y.", "y."]}, COMPILED: {"say": ["x.", "z."]}}, lambda each: each["say"]
    )
    assert found == "\n\nx.\n\nPure Python: y.\n\nCompiled: z."
    assert tables.notes({COMPILED: {"say": ["x."]}}, lambda each: each["say"]) == "\n\nx."


def test_wide_tables_come_once_for_each_build() -> None:
    table = tables.one_by_one(lambda found: str(found["x"]))
    assert table({PURE: {"x": 1}}) == "1"
    assert table({PURE: {"x": 1}, COMPILED: {"x": 2}}) == "**Pure Python**\n\n1\n\n**Compiled**\n\n2"


def test_throughput_has_a_ratio_from_each_builds_own_run() -> None:
    both = {
        PURE: throughput(100.0, nats=200.0, redis=50.0),
        COMPILED: throughput(300.0, nats=150.0, mqtt=30.0),
    }
    found = [line.split(" | ") for line in tables.throughput(both).split("\n") if line.startswith("| ")]
    by_title = {line[0].strip("| "): line[1:4] for line in found if len(line) > 3}
    assert by_title[""][1:] == ["lanebus to it", "compiled to it"]
    assert by_title["lanebus"] == ["100 (100-100)", "1.00 (1.00-1.00)", ""]
    assert by_title["lanebus, compiled"] == ["300 (300-300)", "", "1.00 (1.00-1.00)"]
    assert by_title["nats"] == ["200 (200-200)", "0.50 (0.50-0.50)", "2.00 (2.00-2.00)"]
    assert by_title["redis"][1:] == ["2.00 (2.00-2.00)", ""]
    assert by_title["mqtt"][1:] == ["", "10.00 (10.00-10.00)"]


def test_throughput_of_one_build_has_one_ratio() -> None:
    assert "| lanebus to it | broker us |" in tables.throughput({PURE: throughput(100.0, nats=200.0)})
    found = tables.throughput({COMPILED: throughput(100.0, nats=200.0)})
    assert "| compiled to it | broker us |" in found
    assert "| lanebus, compiled | 100 (100-100) | 1.00" in found


@pytest.mark.parametrize("name", list(tables.TABLES))
def test_every_table_of_both_builds_is_whole(name: str) -> None:
    found = report.read_all()
    if name not in found:
        pytest.skip(f"{name} was not measured")
    (build, each), *_ = found[name].items()
    for builds in ({build: each}, {PURE: each, COMPILED: each}):
        block = report.blocks_of({name: builds})[name]
        columns = 0
        for line in block.split("\n"):
            cells = line.count(" |")
            assert not line.startswith("|") or not columns or cells == columns, line
            columns = cells if line.startswith("|") else 0
        assert block.count(" UTC, commit ") == len(builds)
