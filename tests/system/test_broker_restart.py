"""The broker's process is killed in the middle of a match, and another takes its place on the same ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lanebus.cli.ports import free_ports

TRACES = Path(os.environ.get("LANEBUS_TRACES", Path(__file__).parents[3] / "shared" / "traces"))
TRACE = TRACES / "sc2-4v4-tracker.jsonl.gz"
DEADLINE_S = 60.0

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not TRACE.exists(), reason="the recorded matches are not here"),
]

LANEBUS = [sys.executable, "-m", "lanebus.cli.main"]


@contextmanager
def broker(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A broker's process, bound when this begins."""
    with subprocess.Popen(
        [*LANEBUS, "broker", "--config", str(config), "--announce"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.terminate()


def test_a_replay_survives_the_kill_of_its_broker_without_losing_anything(tmp_path: Path) -> None:
    critical, normal, low, control = free_ports(["127.0.0.1"])
    config = tmp_path / "lanebus.toml"
    config.write_text(
        f"[lanes.critical]\nport = {critical}\n[lanes.normal]\nport = {normal}\n"
        f"[lanes.low]\nport = {low}\n[control]\nport = {control}\n"
    )
    replay = [
        *(*LANEBUS, "replay", str(TRACE), "--relay", "--speed", "4", "--from", "100", "--until", "160"),
        *("--broker", f"tcp://127.0.0.1:{critical}", "--control", f"tcp://127.0.0.1:{control}"),
        *("-o", "json"),
    ]
    with ExitStack() as stack:
        first = stack.enter_context(broker(config))
        player = stack.enter_context(
            subprocess.Popen(replay, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(player.kill)
        wait_for_traffic(control, events=300)
        first.send_signal(signal.SIGKILL)
        first.wait()
        stack.enter_context(broker(config))
        output, errors = player.communicate(timeout=DEADLINE_S)
    assert player.returncode == 0, errors
    report = json.loads(output)
    assert report["events_sent"] > 1000
    assert report["delivered"] == report["deliveries_expected"]
    faults = ("lost", "duplicated", "misordered", "corrupted", "refused", "dropped", "unknown")
    assert {name: report[name] for name in faults} == dict.fromkeys(faults, 0)
    assert report["ledger_balanced"] is True


def wait_for_traffic(control: int, *, events: int) -> None:
    """Wait until the broker has accepted that many events."""
    deadline = time.monotonic() + DEADLINE_S
    seen = 0
    while seen < events:
        assert time.monotonic() < deadline, f"{seen} events in {DEADLINE_S:g} s"
        status = subprocess.run(
            [*LANEBUS, "status", "--server", f"tcp://127.0.0.1:{control}", "-o", "json"],
            capture_output=True,
            check=False,
        )
        if status.returncode == 0:
            seen = sum(lane["in"]["events"] for lane in json.loads(status.stdout)["lanes"].values())
