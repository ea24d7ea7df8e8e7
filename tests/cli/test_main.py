"""The command as a whole: its list of commands, its versions, and how every failure ends."""

import os
import socket
import subprocess
import time
from pathlib import Path

import click
import pytest
from tests.cli.commands import LANEBUS, NOBODY, complaint, environment, lanebus
from tests.cli.trace_files import write_duel

import lanebus as package
from lanebus.cli import main as main_module
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.main import COMMANDS, cli, run
from lanebus.wire.build import is_compiled, with_build


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == Exit.OK
    shown = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert f"  {name}  " in shown
        assert entry.summary.split()[0] in shown


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_can_be_loaded_and_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help
    assert run([name, "--help"]) == Exit.OK
    assert f"lanebus {name}" in capsys.readouterr().out


def test_version() -> None:
    shown = lanebus("--version")
    assert shown.returncode == Exit.OK
    assert shown.stdout == f"lanebus, version {with_build(package.__version__, compiled=is_compiled())}\n"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["status", "--nonsense"], ["status", "-o", "xml"], ["replay"]], ids=" ".join
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == Exit.USAGE
    captured = capsys.readouterr()
    assert "Usage:" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--speed", "0"], "neither a positive number nor 'max'"),
        (["--speed", "fast"], "neither a positive number nor 'max'"),
        (["--from", "3", "--until", "3"], "is not after"),
        (["--control", NOBODY], "goes with --broker"),
        (["--processes", "0"], "processes"),
        (["--broker", "tcp://nowhere"], "tcp://HOST:PORT"),
    ],
)
def test_replay_usage(
    tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_duel(tmp_path / "duel.jsonl.gz")
    assert run(["replay", str(path), *arguments]) == Exit.USAGE
    assert words in capsys.readouterr().err


def test_no_broker_is_told_at_once() -> None:
    started = time.monotonic()
    line = complaint(lanebus("status", "--server", NOBODY, "--timeout", "30"), Exit.UNAVAILABLE)
    assert time.monotonic() - started < 10
    assert NOBODY in line
    assert "connection refused" in line
    assert "lanebus broker" in line


def test_the_endpoint_from_the_environment() -> None:
    line = complaint(lanebus("status", env={"LANEBUS_CONTROL": "tcp://127.0.0.1:10"}), Exit.UNAVAILABLE)
    assert "tcp://127.0.0.1:10" in line


@pytest.mark.parametrize(
    "endpoint", ["localhost", "tcp://localhost", "udp://a:1", "tcp://a:b", "tcp://:5573"]
)
def test_no_endpoint(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--server", endpoint]) == Exit.USAGE
    assert "tcp://HOST:PORT" in capsys.readouterr().err


def test_a_listener_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        line = complaint(lanebus("status", "--server", endpoint, "--timeout", "0.3"), Exit.TIMEOUT)
    assert "within 0.3 s" in line
    assert "--timeout" in line


def test_replay_without_a_broker(tmp_path: Path) -> None:
    path = write_duel(tmp_path / "duel.jsonl.gz")
    line = complaint(lanebus("replay", path, "--broker", "tcp://127.0.0.1:6"), Exit.UNAVAILABLE)
    assert NOBODY in line, "the control endpoint is the critical port + 3"


def test_replay_of_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.jsonl.gz"
    assert str(path) in complaint(lanebus("replay", path), Exit.NO_INPUT)


def test_replay_of_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = write_duel(tmp_path / "duel.jsonl.gz", count=400)
    path.write_bytes(path.read_bytes()[:-500])
    line = complaint(lanebus("replay", path), Exit.BAD_DATA)
    assert str(path) in line
    assert "line" in line


def test_wrong_configuration(tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text("[lanes.critical]\nprot = 1\n")
    line = complaint(lanebus("broker", "--config", path), Exit.CONFIG)
    assert str(path) in line
    assert "prot" in line


def test_configuration_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.toml"
    assert str(path) in complaint(lanebus("broker", "--config", path), Exit.CONFIG)


def test_ports_exclude_each_other() -> None:
    finished = lanebus("broker", "--port", "7000", "--free-ports")
    assert finished.returncode == Exit.USAGE
    assert "exclude each other" in finished.stderr


def test_a_busy_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = min(server.getsockname()[1], 65_532)
        finished = lanebus("broker", "--port", str(port))
    assert finished.returncode == Exit.PORT_BUSY
    # Before it, a broker may have logged what it found on this machine.
    line = finished.stderr.splitlines()[-1]
    assert str(port) in line
    assert "--port" in line


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(main_module.cli, "main", _raise(KeyboardInterrupt()))
    assert run([]) == Exit.INTERRUPTED
    assert capsys.readouterr().err == ""


def test_an_error_of_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(main_module.cli, "main", _raise(CliError("peer \x1b[2J is gone", Exit.BAD_DATA)))
    assert run([]) == Exit.BAD_DATA
    assert capsys.readouterr().err == "lanebus: peer \\x1b[2J is gone\n"


def test_an_internal_fault_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LANEBUS_DEBUG", raising=False)
    monkeypatch.setattr(main_module.cli, "main", _raise(ZeroDivisionError("by\nzero")))
    assert run([]) == Exit.INTERNAL
    assert capsys.readouterr().err == (
        "lanebus: internal fault: ZeroDivisionError: by zero; set LANEBUS_DEBUG=1 to see where\n"
    )
    monkeypatch.setenv("LANEBUS_DEBUG", "1")
    assert run([]) == Exit.INTERNAL
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        finished = subprocess.run(
            [*LANEBUS, "--help"],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=30,
        )
    finally:
        os.close(write)
    assert finished.stderr == ""
    assert finished.returncode == Exit.BROKEN_PIPE


def _raise(error: BaseException) -> object:
    def raising(**more: object) -> None:
        raise error

    return raising
