"""`lanebus broker`, and the child process that other commands start it in."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.commands import LANEBUS, environment, lanebus

from lanebus.cli.broker import on_ports_from
from lanebus.cli.broker_process import BrokerProcess, toml_text
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError, Exit
from lanebus.conf.load import load, loads

pytestmark = pytest.mark.system


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for counts."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def status(broker: BrokerProcess) -> dict[str, object]:
    with ControlClient(broker.addresses["control"], timeout_s=10) as client:
        answer: dict[str, object] = client.request("status")
        return answer


def start(*arguments: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*LANEBUS, "broker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**env),
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_itself_serves_and_stops_in_order(number: signal.Signals) -> None:
    with start("--free-ports", "--announce") as child:
        assert child.stdout is not None
        announced = json.loads(child.stdout.readline())
        assert announced["pid"] == child.pid
        assert set(announced["addresses"]) == {"critical", "normal", "low", "control"}
        with ControlClient(announced["addresses"]["control"], timeout_s=10) as client:
            assert client.request("status")["pid"] == child.pid
        child.send_signal(number)
        out, err = child.communicate(timeout=20)
    assert child.returncode == Exit.OK, err
    assert out == ""
    assert "Traceback" not in err


def test_the_journal_gets_priorities() -> None:
    with start("--free-ports", "--announce", JOURNAL_STREAM="8:1") as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.terminate()
        _, err = child.communicate(timeout=20)
    assert err
    assert all(line.startswith("<6>") for line in err.splitlines())


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(10)
        with start("--free-ports", NOTIFY_SOCKET=str(path)) as child:
            assert manager.recv(4096).startswith(b"READY=1")
            child.terminate()
            said = b""
            while not said.startswith(b"STOPPING=1"):
                said = manager.recv(4096)
            child.communicate(timeout=20)


def test_port_and_the_three_that_follow() -> None:
    config = on_ports_from(load(None), 7000)
    assert [config.lanes.critical.port, config.lanes.normal.port, config.lanes.low.port] == [7000, 7001, 7002]
    assert config.control.port == 7003
    assert config.lanes.critical.hold_ms == load(None).lanes.critical.hold_ms


def test_overrides_are_written_as_toml() -> None:
    overrides = {
        "broker": {"name": 'a "quoted" name, größer'},
        "lanes": {"low": {"hold_ms": 12.5}},
        "compression": {"threshold_bytes": 0},
    }
    config = loads(toml_text(overrides), "test")
    assert config.broker.name == 'a "quoted" name, größer'
    assert config.lanes.low.hold_ms == 12.5
    assert config.compression.threshold_bytes == 0
    with pytest.raises(TypeError, match="'x'"):
        toml_text({"x": None})


def test_a_child_is_started_and_stopped() -> None:
    broker = BrokerProcess({"broker": {"name": "tested"}})
    assert not broker.alive()
    assert broker.stop() is None
    with broker:
        assert broker.alive()
        found = status(broker)
        assert (found["pid"], found["name"]) == (broker.pid, "tested")
        assert found["addresses"] == broker.addresses
        wait_until(lambda: "serving" in broker.log_text())
    assert not broker.alive()
    assert broker.exit_status == 0
    assert broker.log_text() == ""


def test_a_child_that_was_killed_is_not_alive() -> None:
    with BrokerProcess() as broker:
        os.kill(broker.pid, signal.SIGKILL)
        wait_until(lambda: not broker.alive())
        assert broker.exit_status == -signal.SIGKILL


def test_a_child_that_does_not_stop_is_killed() -> None:
    broker = BrokerProcess(stop_grace_s=0.2)
    broker.start()
    os.kill(broker.pid, signal.SIGSTOP)
    assert broker.stop() == -signal.SIGKILL


def test_a_child_that_cannot_start_is_explained() -> None:
    broker = BrokerProcess({"broker": {"nmae": "x"}})
    with pytest.raises(CliError, match=r"ended with status 78 while it started: .*nmae") as caught:
        broker.start()
    assert caught.value.code == Exit.UNAVAILABLE
    assert not broker.alive()


def test_a_child_that_says_nothing_is_given_up() -> None:
    broker = BrokerProcess(start_timeout_s=0.001)
    with pytest.raises(CliError, match=r"did not start within 0\.001 s"):
        broker.start()
    assert not broker.alive()


def test_a_child_dies_with_its_parent() -> None:
    program = """
        import time
        from lanebus.cli.broker_process import BrokerProcess
        broker = BrokerProcess()
        broker.start()
        print(broker.pid, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, env=environment()
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.kill()
    wait_until(lambda: is_gone(pid))


def test_a_child_whose_parent_is_gone_does_not_begin() -> None:
    finished = lanebus("broker", "--free-ports", "--die-with", "1")
    assert finished.returncode == Exit.FAILED
    assert "has ended" in finished.stderr
