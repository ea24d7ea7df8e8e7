"""Standard output that is closed, full, or of an encoding without our characters: told as such, by every command."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.commands import LANEBUS, complaint, environment, wait_until

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.exits import Exit

pytestmark = pytest.mark.system

ASKING = [
    "status",
    "queues",
    "peers",
    "stats",
    "services",
    "groups",
    "limits",
    "dead",
    "alerts",
    "log",
    "metrics",
    "audit",
]


@pytest.fixture(scope="module")
def control() -> Iterator[str]:
    with BrokerProcess() as broker:
        yield broker.addresses["control"]


def shell(words: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with what a shell makes of its streams: ``"$@" >/dev/full``."""
    return subprocess.run(
        ["sh", "-c", words, "sh", *LANEBUS, *arguments],
        capture_output=True,
        text=True,
        env=environment(**(env or {})),
        timeout=30,
    )


@pytest.mark.parametrize("name", ASKING)
def test_a_full_disk_is_no_internal_fault(name: str, control: str) -> None:
    line = complaint(shell('"$@" >/dev/full', name, "-s", control), Exit.CANNOT_WRITE)
    assert "standard output cannot be written: no space left on device" in line


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["status"], ["status", "-o", "json"]])
def test_a_closed_output_is_no_internal_fault(arguments: list[str], control: str) -> None:
    server = ["-s", control] if arguments[0] == "status" else []
    finished = shell('"$@" >&-', *arguments, *server)
    assert finished.returncode == Exit.CANNOT_WRITE
    assert "standard output cannot be written: bad file descriptor" in finished.stderr
    assert "fault" not in finished.stderr


def test_the_cause_is_json_where_json_was_asked_for(control: str) -> None:
    finished = shell('"$@" >/dev/full', "status", "-o", "json", "-s", control)
    assert finished.returncode == Exit.CANNOT_WRITE
    assert json.loads(finished.stderr)["error"]["name"] == "cannot_write"


def test_nobody_hears_a_closed_standard_error(control: str) -> None:
    finished = shell('"$@" 2>&- <&-', "why", "nobody", "-s", control)
    assert (finished.returncode, finished.stdout) == (Exit.UNKNOWN, "")


def test_a_terminal_without_our_characters_is_written_to_all_the_same(control: str) -> None:
    finished = shell('"$@"', "groups", "sp\u00e4t", "-s", control, env={"PYTHONIOENCODING": "ascii"})
    assert finished.returncode == Exit.UNKNOWN
    finished = shell('"$@"', "status", "-s", control, env={"PYTHONIOENCODING": "ascii"})
    assert finished.returncode == Exit.OK, finished.stderr


@pytest.mark.parametrize("streams", [">&-", "<&- >&- 2>&-", ">/dev/full"])
def test_a_broker_serves_and_ends_in_order_whatever_its_streams_are(streams: str, tmp_path: Path) -> None:
    settings = tmp_path / "broker.toml"
    log = tmp_path / "log"
    settings.write_text('[log]\nlevel = "debug"\n')
    errors = "" if "2>" in streams else f" 2>{log}"
    process = subprocess.Popen(
        [
            "sh",
            "-c",
            f'exec "$@" {streams}{errors}',
            "sh",
            *LANEBUS,
            "broker",
            "-c",
            settings,
            "--free-ports",
        ],
        env=environment(),
    )
    try:
        listening = Path(f"/proc/{process.pid}/net/tcp")
        wait_until(lambda: _listens(process.pid, listening))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == Exit.OK, log.read_text() if log.exists() else ""
    finally:
        process.kill()
        process.wait()


def test_a_broker_that_cannot_announce_itself_says_so() -> None:
    line = complaint_of_last(shell('"$@" >/dev/full', "broker", "--free-ports", "--announce"))
    assert "standard output cannot be written" in line


def complaint_of_last(finished: subprocess.CompletedProcess[str]) -> str:
    assert finished.returncode == Exit.CANNOT_WRITE, finished.stderr
    return finished.stderr.splitlines()[-1]


def _listens(pid: int, table: Path) -> bool:
    """Whether a process has four sockets that listen: the lanes and the control endpoint."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(descriptor.readlink()))
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return sum(row[3] == "0A" and f"socket:[{row[9]}]" in inodes for row in rows) >= 4


def test_the_interpreter_has_nothing_to_add_at_its_end(control: str) -> None:
    finished = shell('"$@" >/dev/full', "status", "-s", control)
    assert "Exception ignored" not in finished.stderr
