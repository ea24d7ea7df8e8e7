"""The outcome of a torture: what counts as a breach, and that both formats show it."""

import io
from collections import Counter
from pathlib import Path

import pytest
from tests.cli.commands import complaint, lanebus

from lanebus.cli.exits import Exit
from lanebus.cli.output import Out
from lanebus.cli.torture_check import Findings
from lanebus.cli.torture_plan import make_plan
from lanebus.cli.torture_report import build, show
from lanebus.cli.torture_run import Outcome

PLAN = make_plan(7, 10.0, ["reset", "kill_broker"], 4)


def good() -> Outcome:
    return Outcome(
        faults=Counter(reset=3, kill_broker=1),
        drain_s=0.5,
        is_drained=True,
        queues_empty=True,
        ledger_balanced=True,
    )


def test_a_clean_run_has_no_breaches_whatever_the_promise_allows() -> None:
    found = Findings(accepted=10, handled=9, unexpanded=2, redelivered=3, orphaned=1)
    found.ends.update({"delivered": 8, "refused: nobody": 2})
    found.latencies_ms = [float(number) for number in range(100)]
    report = build(PLAN, good(), found, strict=False)
    assert report["breaches"] == []
    assert report["seed"] == 7
    assert report["duration_s"] == 10.0
    assert report["faults"] == {"reset": 3, "kill_broker": 1}
    assert report["lost"] == {"total": 0, "head": 0, "middle": 0, "tail": 0}
    assert report["latency_ms"] == {"p50": 49.0, "p99": 98.0, "max": 99.0}
    assert build(PLAN, good(), found, strict=True)["breaches"] == ["unexpanded"]


@pytest.mark.parametrize(
    "name", ["duplicated", "misordered", "unexpected", "corrupted", "unsettled", "misbooked"]
)
def test_each_count_is_a_breach(name: str) -> None:
    found = Findings()
    setattr(found, name, 2)
    report = build(PLAN, good(), found, strict=False)
    assert report["breaches"] == [name]
    assert report[name] == 2


def test_the_rest_that_is_a_breach() -> None:
    found = Findings(crashed=["player:1 life 2"])
    found.lost["middle"] += 1
    report = build(PLAN, Outcome(), found, strict=False)
    assert report["breaches"] == ["lost", "crashed", "not_drained", "queues_not_empty", "ledger_not_balanced"]
    assert report["latency_ms"] == {"p50": None, "p99": None, "max": None}


def test_tables_say_the_same() -> None:
    found = Findings(accepted=1234, misordered=5)
    found.lost["tail"] += 3
    found.ends["refused: nobody"] = 17
    found.note("misordered", "server:s life 1 low #7")
    outcome = good()
    outcome.problems.append("audit: something")
    stream = io.StringIO()
    show(Out("table", stream), build(PLAN, outcome, found, strict=False))
    shown = stream.getvalue()
    for words in (
        "seed 7",
        "BROKEN: misordered, lost",
        "1234",
        "3 at the tail",
        "refused: nobody",
        "#7",
        "audit",
    ):
        assert words in shown
    stream = io.StringIO()
    show(Out("table", stream), build(PLAN, good(), Findings(), strict=False))
    assert "unbroken" in stream.getvalue()


@pytest.mark.system
def test_usage(tmp_path: Path) -> None:
    finished = lanebus("torture", "--faults", "flood")
    assert finished.returncode == Exit.USAGE
    assert "'flood' is no fault" in finished.stderr
    assert lanebus("torture", "--peers", "1").returncode == Exit.USAGE
    (tmp_path / "something").touch()
    assert "not empty" in complaint(lanebus("torture", "--keep", tmp_path), Exit.CANNOT_WRITE)
    nowhere = tmp_path / "something" / "run"
    assert "something" in complaint(lanebus("torture", "--keep", nowhere), Exit.CANNOT_WRITE)
    assert "none.gz" in complaint(lanebus("torture", "--trace", tmp_path / "none.gz"), Exit.NO_INPUT)
