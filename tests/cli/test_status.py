"""`lanebus status`, of a canned broker in both formats."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lanebus.cli.control_client import ControlClient
from lanebus.cli.status import status

BOOK = {
    "accepted": 10,
    "delivered": 8,
    "superseded": 0,
    "expired": 0,
    "dropped": 1,
    "refused": 0,
    "unknown": 0,
    "in_flight": 1,
}
BOOKS = {"critical": BOOK, "normal": BOOK, "low": BOOK}
TRAFFIC = {"batches": 2, "events": 10, "bytes": 1500, "unbatched_bytes": 3000}
LANE = {
    "in": TRAFFIC,
    "out": TRAFFIC,
    "queued_events": 3,
    "queued_bytes": 300,
    "unsettled_events": 4,
    "held_ms": {"p50": 1.5, "p95": 9.0, "p99": 11.25, "max": None},
}
STATUS: dict[str, Any] = {
    "name": "bus\x1b[2J",
    "version": "9.9",
    "compiled": True,
    "epoch": "ab",
    "pid": 7,
    "uptime_s": 3725.0,
    "state": "serving",
    "health": "ok",
    "reasons": [],
    "addresses": {"critical": "tcp://127.0.0.1:5570"},
    "attachments": 3,
    "sessions": {"client": 2, "server": 1, "gateway": 0},
    "services": {f"service-{number}": ["server:a"] for number in range(9)},
    "service_health": {
        "bus": {"health": "ok", "reasons": []},
        "combat": {"health": "ok", "reasons": []},
    },
    "groups": 4,
    "loop": {
        "turns": 12_000,
        "busy_ms": {"p50": 0.05, "p95": 0.2, "p99": 0.5, "max": 9.0},
        "late_ms": {"p50": 0.1, "p95": 0.4, "p99": 0.75, "max": 40.0},
        "late_lately_ms": {"p50": 0.1, "p95": 0.3, "p99": 0.5, "max": 1.0},
    },
    "held_bytes": 2_000,
    "budget_bytes": 512_000_000,
    "cpu_s": 372.5,
    "rss_bytes": 50_000_000,
    "rss_peak_bytes": 60_000_000,
    "ping_mean_ms": None,
    "lanes": {"critical": LANE, "normal": LANE, "low": LANE},
    "control": {"in": {"messages": 1, "bytes": 2}, "out": {"messages": 1, "bytes": 2}},
    "errors": {"bad_magic": 3},
    "violations": {"malformed": 3},
    "cooling_down_s": {},
    "refused": [],
    "unhandled": [],
    "hellos_refused": 0,
    "hung_up": {"unfinished": 0, "garbage": 0, "no_hello": 0, "no_room": 0},
    "open_files": 1234,
    "open_files_limit": 20_000,
    "strangers": 3,
    "books": {"events": BOOKS, "parts": BOOKS},
}


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the broker answers."""
    answer = dict(STATUS)
    monkeypatch.setattr(ControlClient, "request", lambda self, command: {"status": answer}[command])
    return answer


def run(*options: str) -> Result:
    result = CliRunner().invoke(status, list(options), standalone_mode=False)
    assert result.exception is None, result.exception
    return result


def shown(canned: dict[str, Any]) -> list[str]:
    """The lines of the screen, with runs of blanks made one."""
    output = run().output
    assert "\x1b" not in output
    return [" ".join(line.split()) for line in output.splitlines()]


def test_json_is_what_the_broker_said(canned: dict[str, Any]) -> None:
    assert json.loads(run("-o", "json").stdout) == canned


def test_it_is_one_screen(canned: dict[str, Any]) -> None:
    lines = shown(canned)
    assert lines[0] == r"bus\x1b[2J 9.9 (compiled), up 3725.000 s, pid 7, epoch ab, serving, ok"
    assert (
        "loop 12000 turns of 0.05 ms (p99 0.50), late by 0.50 ms "
        "(p99 of the last minute; since the start 0.75, max 40.00)"
    ) in lines
    assert "memory 50000000 bytes, at most 60000000 bytes" in lines
    assert "events held 2000 bytes of 512000000 bytes" in lines
    assert "processor 372.500 s (0.1000)" in lines
    assert any(line.startswith("services") and line.endswith("and 1 more") for line in lines)
    assert "critical 10 2 1500 10 2 1500 3 300 4 1.50 11.25 -" in lines
    assert "total 30 6 4500 30 6 4500 9 900 12 - - -" in lines
    assert "events critical 10 8 0 0 1 0 0 1" in lines
    assert "bad_magic 3" in lines


def test_what_is_not_well_is_said_with_the_reason(canned: dict[str, Any]) -> None:
    assert shown(canned)[1].startswith("addresses")
    canned["health"] = "degraded"
    canned["reasons"] = ["its loop is late: 32.0 ms (p99 of the last minute)", "it is draining"]
    canned["service_health"] = {
        "bus": {"health": "degraded", "reasons": ["its loop is late: 32.0 ms (p99 of the last minute)"]},
        "combat": {"health": "failing", "reasons": ["no instance serves: server:a is gone"]},
        "world": {"health": "ok", "reasons": []},
    }
    lines = shown(canned)
    assert lines[0].endswith(", serving, degraded")
    assert lines[1:3] == ["its loop is late: 32.0 ms (p99 of the last minute)", "it is draining"]
    assert [line for line in lines if " is failing" in line or " is degraded" in line] == [
        "combat is failing: no instance serves: server:a is gone"
    ]


def test_names_that_are_refused_are_said_with_how_long_yet(canned: dict[str, Any]) -> None:
    canned["cooling_down_s"] = {f"player:{number}": 12.5 for number in range(1, 12)}
    refused = [line for line in shown(canned) if line.startswith("refused: ")]
    assert refused[0] == "refused: player:1 broke too many rules, for another 12.500 s"
    assert len(refused) == 8
