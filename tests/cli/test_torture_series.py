"""Several tortures: which seeds, a line for each, and what they come to."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.cli.commands import complaint, lanebus
from tests.cli.trace_files import write_duel

from lanebus.cli.exits import Exit
from lanebus.cli.output import Out
from lanebus.cli.torture_check import Findings
from lanebus.cli.torture_plan import make_plan
from lanebus.cli.torture_report import build
from lanebus.cli.torture_run import Outcome
from lanebus.cli.torture_series import (
    MAX_SEEDS,
    parse_seeds,
    show_failed,
    show_heading,
    show_run,
    show_summary,
    summary_of,
)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", [7]),
        ("1-4", [1, 2, 3, 4]),
        ("1,3, 9-10", [1, 3, 9, 10]),
        ("3 1 2", [3, 1, 2]),
        ("1-3 2", [1, 2, 3]),
    ],
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "1-", "-3", "1-2-3", "4-2", "1.5", f"0-{MAX_SEEDS}"])
def test_what_is_no_list_of_seeds_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="seed"):
        parse_seeds(text)


def report(
    seed: int, *, lost: int = 0, outage_s: float = 1.0, latencies_ms: tuple[float, ...] = ()
) -> dict[str, Any]:
    found = Findings(accepted=1000 * seed, handled=2000 * seed, redelivered=seed, longest_outage_s=outage_s)
    found.lost["middle"] = lost
    found.latencies_ms = list(latencies_ms)
    outcome = Outcome(
        faults=Counter(reset=3, kill_broker=2),
        is_drained=True,
        queues_empty=True,
        ledger_balanced=True,
    )
    return build(make_plan(seed, 10.0, ["reset", "kill_broker", "close"], 4), outcome, found, strict=False)


def test_a_summary_adds_counts_and_tells_the_worst_time() -> None:
    reports = [report(1, latencies_ms=(2.0, 30.0)), report(2, outage_s=7.5, latencies_ms=(4.0,)), report(3)]
    summary = summary_of(reports, {})
    assert summary["runs"] == 3
    assert summary["traffic_s"] == 30.0
    assert summary["broken"] == {}
    assert summary["faults"] == {"reset": 9, "kill_broker": 6, "close": 0}
    assert (summary["accepted"], summary["handled"], summary["redelivered"]) == (6000, 12_000, 6)
    assert summary["longest_outage_s"] == 7.5
    assert summary["latency_ms"] == {"p50_median": 3.0, "p99_max": 4.0}


def test_a_summary_names_every_seed_that_broke_something_or_did_not_run() -> None:
    summary = summary_of([report(1), report(2, lost=3)], {9: "the broker did not start"})
    assert summary["broken"] == {"2": ["lost"], "9": ["not_run"]}
    assert summary["lost"] == 3
    assert summary_of([], {9: "x"})["latency_ms"] == {"p50_median": None, "p99_max": None}


def test_every_run_has_one_line_under_its_headings() -> None:
    stream = io.StringIO()
    out = Out("table", stream)
    show_heading(out)
    show_run(out, report(12, outage_s=3.25))
    show_run(out, report(7, lost=3))
    show_failed(out, 8, "the broker did not start")
    heading, good, bad, failed = stream.getvalue().splitlines()
    assert heading.split()[:4] == ["SEED", "FAULTS", "KILLS", "ACCEPTED"]
    assert good.split()[:4] == ["12", "5", "2", "12000"]
    assert len(good.removesuffix("  unbroken")) == len(heading)
    assert good.endswith("unbroken")
    assert bad.endswith("BROKEN: lost")
    assert "NOT RUN: the broker did not start" in failed


def test_the_summary_says_what_broke() -> None:
    stream = io.StringIO()
    show_summary(Out("table", stream), summary_of([report(1), report(2, lost=3)], {}))
    shown = stream.getvalue()
    for words in ("2 tortures", "BROKEN: seed 2: lost", "reset 6, kill_broker 4", "3 lost"):
        assert words in shown
    assert "close" not in shown
    stream = io.StringIO()
    show_summary(Out("table", stream), summary_of([report(1)], {}))
    assert "unbroken" in stream.getvalue()


@pytest.mark.system
def test_usage() -> None:
    finished = lanebus("torture", "--seeds", "1-x")
    assert finished.returncode == Exit.USAGE
    assert "'1-x' is no seed" in finished.stderr
    finished = lanebus("torture", "--seed", "1", "--seeds", "1-2")
    assert finished.returncode == Exit.USAGE
    assert "exclude each other" in finished.stderr
    assert "none.gz" in complaint(lanebus("torture", "--seeds", "1", "--trace", "none.gz"), Exit.NO_INPUT)


@pytest.mark.system
def test_each_torture_of_a_series_plays_the_next_match_and_keeps_its_files(tmp_path: Path) -> None:
    short = write_duel(tmp_path / "short.jsonl.gz", count=20)
    long = write_duel(tmp_path / "long.jsonl.gz", count=60)
    finished = lanebus(
        *("torture", "--seeds", "1,2", "--duration", "3", "--faults", "none", "--peers", "2", "-o", "json"),
        *("--trace", short, "--trace", long, "--matches", "1", "--keep", tmp_path / "kept"),
    )
    assert finished.returncode == Exit.OK, finished.stderr
    told = json.loads(finished.stdout)
    assert [run["seed"] for run in told["runs"]] == [1, 2]
    assert told["summary"]["broken"] == told["failed"] == {}
    assert told["summary"]["accepted"] == sum(run["accepted"] for run in told["runs"])
    # The first one is over after a second and begins again; both are played for all of the three seconds.
    assert [run["accepted"] > 0 for run in told["runs"]] == [True, True]
    sizes = [
        (tmp_path / "kept" / f"seed-{seed}" / "server_server-0.traffic").stat().st_size for seed in (1, 2)
    ]
    assert sizes[0] != sizes[1]
