"""`lanebus replay` as a command, and what it reports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.lab.processes import Failed

BUS = "lanebus replay"


def replay(paths: Sequence[Path], *options: str, timeout_s: float) -> dict[str, Any]:
    """Play matches and return the report, also of one that found something wrong.

    Raises:
        Failed: it did not come to an end, or to no report.
    """
    command = [sys.executable, "-m", "lanebus.cli.main", "replay", *map(str, paths), *options, "-o", "json"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"{BUS} took longer than {timeout_s:g} s") from None
    try:
        report: dict[str, Any] = json.loads(ended.stdout)
    except ValueError:
        words = ended.stderr.strip().splitlines()
        raise Failed(f"{BUS} ended with status {ended.returncode}: {words[-1] if words else ''}") from None
    return report


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """What a report says of one replay, as plain figures."""
    return {
        "players": report["players"],
        "matches": report["matches"],
        "events": report["events_sent"],
        "deliveries": report["delivered"],
        "per_s": report["delivered"] / report["duration_s"],
        "duration_s": report["duration_s"],
        "exact": report["ledger_balanced"]
        and not any(report[name] for name in ("lost", "duplicated", "misordered", "corrupted")),
        "ended": {name: report[name] for name in ("refused", "dropped", "expired", "superseded", "unknown")},
        "limits": report["limits"],
        "messages_saved": report["messages"]["reduction"],
        "bytes_saved": report["bytes"]["reduction"],
        "broker_share": report["broker"]["cpu_share"],
        "broker_us": report["broker"]["cpu_s"] / max(1, report["delivered"]) * 1e6,
        "rss_peak_bytes": report["broker"]["rss_peak"],
        "latency_ms": {lane: each["latency_ms"] for lane, each in report["by_lane"].items()},
    }
