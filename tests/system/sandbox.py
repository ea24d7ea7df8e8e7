"""A real systemd with the broker's unit, in namespaces of its own, and a script that is run beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
UNIT = REPOSITORY / "systemd" / "lanebus.service"
SANDBOX = Path(
    os.environ.get("LANEBUS_SYSTEMD_SANDBOX", REPOSITORY.parent / "shared" / "tools" / "systemd-sandbox")
)
"""A program that boots systemd in namespaces of its own: `SANDBOX UNIT_FOLDER COMMAND...` runs a command beside it."""

WATCHDOG_S = 2

MASKED = (
    "sysinit.target",
    "basic.target",
    "multi-user.target",
    "network-online.target",
    "systemd-tmpfiles-setup.service",
)
"""What must not start: the sandbox shares the machine's files, and the services of a boot empty /tmp among others."""

OVERRIDE = f"""\
[Unit]
DefaultDependencies=no

[Service]
ExecStart=
ExecStart="{{python}}" -m lanebus.cli.main broker --config "{{config}}"
WatchdogSec={WATCHDOG_S}
RestartSec=100ms
TimeoutStartSec=20
TimeoutStopSec=10
TimeoutAbortSec=5
LimitCORE=0
StandardError=append:{{log}}
# The interpreter and the settings may lie in a home folder or in /tmp, readable by their owner only.
DynamicUser=no
ProtectHome=no
PrivateTmp=no
"""

BEGINNING = """\
import json, os, signal, subprocess, sys, time
from pathlib import Path

FIELDS = "ActiveState,SubState,StatusText,MainPID,NRestarts,Result,ExecMainStatus,Type"
seen = {}


def systemctl(verb):
    return subprocess.run(["systemctl", verb, "lanebus.service"], capture_output=True, text=True)


def show():
    text = subprocess.run(
        ["systemctl", "show", "lanebus.service", "--property", FIELDS], capture_output=True, text=True
    ).stdout
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def until(wanted, seconds):
    deadline = time.monotonic() + seconds
    while not wanted(state := show()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return state


def note(name, value):
    seen[name] = value
    Path(sys.argv[1]).write_text(json.dumps(seen))


note("booted", True)
needs = subprocess.run(
    ["systemctl", "show", "lanebus.service", "--value", "--property", "Requires,Requisite,BindsTo,Wants"],
    capture_output=True,
    text=True,
).stdout.split()
note("needs", needs)
# Starting a boot's services here would change the machine outside.
if set(needs) - {"system.slice", "network-online.target", "-.mount"}:
    sys.exit("lanebus.service would start more than itself")
started = systemctl("start")
note("start", {"status": started.returncode, "stderr": started.stderr})
note("started", show())
"""
"""How every script begins: it starts the service, and notes what it sees in the file that its first argument names."""

needs_systemd = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="booting systemd needs root"),
    pytest.mark.skipif(not os.access(SANDBOX, os.X_OK), reason=f"there is no sandbox at {SANDBOX}"),
    pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="systemd is not installed"),
]


def run(
    work: Path, config: str, script: str, *arguments: str, timeout_s: float
) -> tuple[dict[str, Any], str]:
    """Run a script, which goes on from `BEGINNING`, beside a systemd: what it noted, and what the broker logged."""
    settings = work / "lanebus.toml"
    settings.write_text(config)
    drop_in = work / "units" / "lanebus.service.d" / "test.conf"
    drop_in.parent.mkdir(parents=True)
    log = work / "stderr.log"
    drop_in.write_text(OVERRIDE.format(python=sys.executable, config=settings, log=log))
    for unit in MASKED:
        (work / "units" / unit).symlink_to("/dev/null")
    (work / "units" / UNIT.name).write_text(UNIT.read_text())
    scenario, results = work / "scenario.py", work / "results.json"
    scenario.write_text(BEGINNING + script)
    finished = subprocess.run(
        [SANDBOX, work / "units", sys.executable, scenario, results, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    if not results.exists():
        pytest.skip(f"systemd does not boot in namespaces here: {finished.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(results.read_text())
    said = log.read_text() if log.exists() else ""
    assert finished.returncode == 0, f"{found}\n{finished.stderr}\n{said}"
    assert found["start"]["status"] == 0, f"{found}\n{finished.stderr}\n{said}"
    return found, said
