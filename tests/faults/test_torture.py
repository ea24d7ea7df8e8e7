"""The whole laboratory, for a few seconds: real processes, real faults, and nothing of the promise is broken."""

import json
from typing import Any

import pytest

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
