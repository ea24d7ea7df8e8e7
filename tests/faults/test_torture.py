"""The whole laboratory, for a few seconds: real processes, real faults, and nothing of the promise is broken."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.trace_files import write_duel

from lanebus.cli.exits import Exit
from lanebus.cli.main import run

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def tortured(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The report of a torture that must not have broken anything."""
    status = run(["torture", "-o", "json", *arguments])
    shown = capsys.readouterr()
    assert shown.out, shown.err
    report: dict[str, Any] = json.loads(shown.out)
    assert report["breaches"] == [], json.dumps(report, indent=2)
    assert status == Exit.OK
    assert report["accepted"] > 500
    assert report["drained"]
    assert sum(report["faults"].values()) > 0
    return report


def test_spoilt_links_break_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report = tortured(capsys, "--seed", "4", "--duration", "10", "--faults", "links", "--strict")
    # While no process dies there is no reason to refuse anything.
    assert set(report["ends"]) == {"delivered"}
    assert report["redelivered"] == report["unexpanded"] == 0


def test_spoilt_links_and_a_killed_broker_break_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report = tortured(capsys, "--seed", "5", "--duration", "10", "--faults", "links,kill_broker")
    assert report["faults"]["kill_broker"] >= 1


def test_peers_that_are_stopped_and_killed_break_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = "stop_receiver,kill_client,kill_server,kill_gateway"
    report = tortured(capsys, "--seed", "6", "--duration", "10", "--faults", kinds)
    assert report["redelivered"] > 0


def test_a_recorded_match_through_dead_processes_and_spoilt_links_breaks_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    match = write_duel(tmp_path / "duel.jsonl.gz", count=200, step_s=0.02)
    report = tortured(capsys, "--seed", "30", "--duration", "7", "--peers", "4", "--trace", str(match))
    made = {kind for kind, count in report["faults"].items() if count}
    assert made >= {"kill_broker", "kill_server", "kill_gateway", "kill_client", "latency", "freeze", "reset"}
