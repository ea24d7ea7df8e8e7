"""`systemctl restart` in the middle of a match: the broker drains, another takes its place, and nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.system.sandbox import needs_systemd, run

TRACES = Path(os.environ.get("LANEBUS_TRACES", Path(__file__).parents[3] / "shared" / "traces"))
TRACE = TRACES / "sc2-4v4-tracker.jsonl.gz"

pytestmark = [
    *needs_systemd,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not TRACE.exists(), reason="the recorded matches are not here"),
]

SCENARIO = """\
lanebus = [sys.executable, "-m", "lanebus.cli.main"]


def accepted():
    status = subprocess.run([*lanebus, "status", "-o", "json"], capture_output=True)
    if status.returncode:
        return 0
    return sum(lane["in"]["events"] for lane in json.loads(status.stdout)["lanes"].values())


replay = subprocess.Popen(
    [*lanebus, "replay", sys.argv[2], "--relay", "--speed", "4", "--from", "100", "--until", "160",
     "--broker", "tcp://127.0.0.1:5570", "-o", "json"],
    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
)
deadline = time.monotonic() + 40
while accepted() < 300 and time.monotonic() < deadline:
    time.sleep(0.05)
note("before", show())
began = time.monotonic()
note("restart", systemctl("restart").returncode)
note("restart_s", time.monotonic() - began)
note("after", show())
note("playing", replay.poll() is None)
output, errors = replay.communicate(timeout=60)
note("replay", {"status": replay.returncode, "errors": errors})
note("report", json.loads(output) if output else None)
note("stop", systemctl("stop").returncode)
note("stopped", show())
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one restart in the middle of a replay showed."""
    found, said = run(tmp_path_factory.mktemp("systemd"), "", SCENARIO, str(TRACE), timeout_s=150)
    return found | {"said": said}


def test_the_broker_was_replaced_in_the_middle_of_the_match(seen: dict[str, Any]) -> None:
    assert seen["restart"] == 0
    assert seen["before"]["MainPID"] != seen["after"]["MainPID"]
    assert seen["after"]["ActiveState"] == "active"
    assert seen["playing"]


def test_both_brokers_ended_in_order(seen: dict[str, Any]) -> None:
    assert seen["said"].count("= draining for at most") == 2
    assert seen["said"].count("= drained ") == 2
    assert (seen["stop"], seen["stopped"]["Result"], seen["stopped"]["ExecMainStatus"]) == (0, "success", "0")
    # A restart that was asked for is none that systemd had to make.
    assert seen["after"]["NRestarts"] == "0"


def test_every_event_was_delivered_once_and_in_order(
    seen: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    report = seen["report"]
    assert seen["replay"]["status"] == 0, seen["replay"]["errors"]
    assert report["events_sent"] > 1000
    assert report["delivered"] == report["deliveries_expected"]
    faults = ("lost", "duplicated", "misordered", "corrupted", "refused", "dropped", "unknown")
    assert {name: report[name] for name in faults} == dict.fromkeys(faults, 0)
    assert report["ledger_balanced"] is True
    assert report["longest_gap_s"] > 0
    with capsys.disabled():
        print(
            f"\nplanned restart: longest gap {report['longest_gap_s']:.2f} s, "
            f"systemctl took {seen['restart_s']:.2f} s"
        )
