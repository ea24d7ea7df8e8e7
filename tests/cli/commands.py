"""Running the real command in processes of its own."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
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


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something to become true; it is an error if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for counts."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def four_free_ports() -> int:
    """The first of four ports in a row that nobody listens on just now."""
    for port in range(20_000 + os.getpid() % 1000 * 10, 60_000, 4):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for each in range(port, port + 4):
                stack.enter_context(socket.create_server(("127.0.0.1", each)))
            return port
    raise AssertionError("no four free ports in a row")
