"""The examples as programs, each in a process of its own, with a real broker."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lanebus.cli.broker_process import BrokerProcess

pytestmark = pytest.mark.system


@pytest.fixture
def broker() -> Iterator[str]:
    """The address of a broker."""
    with BrokerProcess() as process:
        yield process.addresses["critical"]


def start(stack: ExitStack, module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start an example; it is killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", f"lanebus.examples.{module}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stack.callback(process.communicate)
    stack.callback(process.kill)
    return process


def end(process: subprocess.Popen[str], *, complains: bool = False) -> str:
    """Ctrl-C; returns what the program has printed. It must end in order, and silently unless it found no broker."""
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert all("is not connected, and tries on" in line for line in errors.splitlines())
    assert bool(errors) is complains
    return output


def test_the_arena_and_two_swarms(broker: str) -> None:
    with ExitStack() as stack:
        server = start(stack, "arena.server", "--broker", broker, "--seed", "3")
        swarms = [
            start(stack, "arena.bot", "--broker", broker, "--count", "3", "--prefix", prefix)
            for prefix in ("", "red-")
        ]
        time.sleep(6.0)
        for swarm in swarms:
            told = end(swarm)
            assert "3 of 3 connected, 3 playing" in told
            assert told.endswith("closed, 0 events without an answer\n")
        told = end(server)
        assert re.search(r"tick 1\d\d: 6 players, player:\S+ leads with \d+ points", told)
        assert told.endswith("closed, 0 events without an answer\n")


@pytest.mark.parametrize("module", ["arena.server", "arena.bot"])
def test_without_a_broker_nothing_breaks(module: str) -> None:
    with ExitStack() as stack:
        process = start(stack, module, "--broker", "tcp://127.0.0.1:9")
        if module == "arena.server":
            _, errors = process.communicate(timeout=20)
            assert process.returncode == 69
            assert "\nno arena: no broker took server:arena-1 in" in errors
        else:
            time.sleep(1.0)
            assert end(process, complains=True) == "closed, 0 events without an answer\n"


def hello(part: str, broker: str) -> list[str]:
    """The command of one of the two programs. They dial the default address; in a test that is another one."""
    run = "import sys, runpy, lanebus.adapters.base; runpy.run_module(sys.argv[1], run_name='__main__')"
    patched = (
        f"import lanebus.adapters.client as c, lanebus.adapters.server as s; kw = dict(broker={broker!r})\n"
    )
    patched += "for k in (c.ClientAdapter, s.ServerAdapter): k.__init__.__kwdefaults__.update(kw)\n" + run
    return [sys.executable, "-u", "-c", patched, f"lanebus.examples.hello_{part}"]


def test_hello(broker: str) -> None:
    with ExitStack() as stack:
        server = subprocess.Popen(
            hello("server", broker), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        stack.callback(server.communicate)
        stack.callback(server.kill)
        # The broker keeps what it says until there is a server, for as long as it is young.
        client = subprocess.run(hello("client", broker), capture_output=True, text=True, timeout=20)
        assert client.returncode == 0, client.stderr
        assert re.fullmatch(r"server:greeter-1 says 'welcome, player:42', \d+\.\d ms ago\n", client.stdout)
        server.send_signal(signal.SIGINT)
        said, errors = server.communicate(timeout=20)
        assert (server.returncode, said) == (0, "")
        assert "Traceback" not in errors


def test_hello_without_a_server_says_what_is_missing(broker: str) -> None:
    client = subprocess.run(hello("client", broker), capture_output=True, text=True, timeout=30)
    assert client.returncode == 1
    assert client.stdout == ""
    assert client.stderr.splitlines()[-1] == (
        "nobody has answered player.hello in 5 s; start who does with: python -m lanebus.examples.hello_server"
    )


@pytest.mark.parametrize("part", ["server", "client"])
def test_hello_without_a_broker_says_what_is_missing(part: str) -> None:
    program = subprocess.run(hello(part, "tcp://127.0.0.1:9"), capture_output=True, text=True, timeout=30)
    assert (program.returncode, program.stdout) == (1, "")
    assert program.stderr.splitlines()[-1].endswith("; start one with: lanebus broker")
    assert "Traceback" not in program.stderr


@pytest.mark.parametrize("part", ["server", "client"])
def test_the_readme_shows_the_same_programs(part: str) -> None:
    root = Path(__file__).parents[2]
    _, code = (root / "examples" / f"hello_{part}.py").read_text().split('"""\n\n', 1)
    assert f"```python\n{code}```\n" in (root / "README.md").read_text()
