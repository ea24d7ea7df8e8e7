"""Running the real command in processes of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

LANEBUS = (sys.executable, "-m", "lanebus.cli.main")
NOBODY = "tcp://127.0.0.1:9"
"""An endpoint at which nothing listens."""


def environment(**changes: str) -> dict[str, str]:
    """This process' environment without what would change a command's behaviour, and with `changes`."""
    private = ("LANEBUS_", "JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(private)} | changes


def lanebus(
    *arguments: str | Path, timeout_s: float = 60.0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `lanebus` with `arguments` to its end."""
    return subprocess.run(
        [*LANEBUS, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(**(env or {})),
    )


def complaint(finished: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line that a failed command has said; it must have failed with `code`."""
    assert finished.returncode == code, f"exit {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
    assert finished.stdout == ""
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, finished.stderr
    assert lines[0].startswith("lanebus: ")
    return lines[0]
