"""`lanebus broker`, and the child process that other commands start it in."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from tests.cli.commands import LANEBUS, environment, four_free_ports, is_gone, lanebus, wait_until

from lanebus.cli.broker import on_ports_from
from lanebus.cli.broker_process import BrokerProcess, merged, toml_text
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.main import run
from lanebus.conf.load import load, loads

pytestmark = pytest.mark.system


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


@pytest.fixture
def _untouched() -> Iterator[None]:
    """What a broker in this process changes of the process."""
    logger = logging.getLogger("lanebus")
    before = (logger.handlers[:], logger.level, logger.propagate, logging.raiseExceptions)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    logger.handlers[:], logger.level, logger.propagate, logging.raiseExceptions = before
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_too_few_open_files_are_an_error_of_the_configuration() -> None:
    command = ["sh", "-c", 'ulimit -n 16; exec "$@"', "sh", *LANEBUS, "broker", "--free-ports"]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment(), check=False
    )
    assert ended.returncode == Exit.CONFIG, ended.stderr
    assert ended.stderr.startswith("lanebus: the limit of open files is 16, and a broker needs 131 at least")


@pytest.mark.usefixtures("_untouched")
@pytest.mark.parametrize("ports", ["--free-ports", "--port"])
def test_in_this_process_too(ports: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('[broker]\nname = "here"\n[log]\nformat = "json"\n')
    options = [ports, *([str(four_free_ports())] if ports == "--port" else [])]
    said: list[str] = []

    def has_announced() -> bool:
        said.append(capsys.readouterr().out)
        return "".join(said).endswith("\n")

    def end() -> None:
        try:
            wait_until(has_announced)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = Thread(target=end)
    thread.start()
    code = run(["broker", "--announce", "--config", str(config), *options])
    thread.join(20)
    assert code == Exit.OK
    assert json.loads("".join(said))["pid"] == os.getpid()


@pytest.mark.usefixtures("_untouched")
def test_errors_in_this_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broker.toml"
    path.write_text("nonsense")
    assert run(["broker", "--config", str(path)]) == Exit.CONFIG
    assert run(["broker", "--port", "7000", "--free-ports"]) == Exit.USAGE
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert run(["broker", "--port", str(min(server.getsockname()[1], 65_532))]) == Exit.PORT_BUSY
    assert run(["broker", "--die-with", "1"]) == Exit.FAILED
    assert len(capsys.readouterr().err.splitlines()) >= 4


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
        "groups": {"client_may_join": ["room:*", "lobby"]},
    }
    config = loads(toml_text(overrides), "test")
    assert config.broker.name == 'a "quoted" name, größer'
    assert config.lanes.low.hold_ms == 12.5
    assert config.compression.threshold_bytes == 0
    assert config.groups.client_may_join == ["room:*", "lobby"]
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


def test_a_child_that_was_killed_is_started_again_on_its_ports() -> None:
    with BrokerProcess({"lanes": {"low": {"hold_ms": 150.0}}}, keep_ports=True) as broker:
        first, addresses = status(broker), broker.addresses
        broker.kill()
        assert broker.exit_status == -signal.SIGKILL
        broker.launch()
        while not broker.is_ready(wait_s=1.0):
            assert broker.alive()
        second = status(broker)
        assert broker.addresses == addresses == second["addresses"]
        assert second["pid"] == broker.pid != first["pid"]
        assert second["epoch"] != first["epoch"]
        assert broker.log_text().count("serving on") == 2


def test_settings_are_merged_table_by_table() -> None:
    ours = {"lanes": {"low": {"hold_ms": 150.0}}, "log": {"level": "debug"}}
    theirs = {"lanes": {"low": {"port": 7}, "normal": {"port": 8}}}
    assert merged(ours, theirs) == {
        "lanes": {"low": {"hold_ms": 150.0, "port": 7}, "normal": {"port": 8}},
        "log": {"level": "debug"},
    }


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
