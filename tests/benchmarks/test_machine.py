"""What a machine is, and what others do on it."""

import subprocess
import sys

import pytest
from benchmarks.lab.machine import COMPILED, PURE, Others, build, machine, version_of

import lanebus.broker.core

BURN = "import time\nwhile time.process_time() < {}: pass"


def burn(seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", BURN.format(seconds)])


def test_a_machine_is_told_by_what_matters() -> None:
    found = machine()
    assert found["cores"] >= 1
    assert found["memory_mb"] > 100
    assert found["processor"]
    assert found["versions"]["pyzmq"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("/lib/lanebus/broker/core.py", PURE),
        ("/lib/lanebus/broker/core.cpython-311-x86_64-linux-gnu.so", COMPILED),
        ("/lib/lanebus/broker/core.so", COMPILED),
    ],
)
def test_the_build_is_told_by_what_is_imported(
    monkeypatch: pytest.MonkeyPatch, file: str, expected: str
) -> None:
    monkeypatch.setattr(lanebus.broker.core, "__file__", file)
    assert build() == expected


def test_a_child_that_has_ended_is_no_other() -> None:
    others = Others()
    with burn(0.5) as child:
        child.wait()
    # The same span without knowing of the child: its half second is somebody else's.
    busy_s, own_s = others._spent_s()
    _, first_busy_s, first_own_s = others._begun
    assert own_s - first_own_s >= 0.5
    assert busy_s - first_busy_s >= 0.45
    assert others.cores() >= 0.0


def test_a_program_that_there_is_not_has_no_version() -> None:
    assert version_of(["no-such-program-here"]) == ""
    assert version_of([sys.executable, "--version"]).startswith("Python 3")
