"""What the process takes and may take, from the files of a system made up and of this one."""

import sys
from pathlib import Path

import pytest

from lanebus.broker.resident import memory_bytes, resident_bytes

MEMINFO = "MemTotal:        4096 kB\nMemFree:         1024 kB\n"


@pytest.fixture
def system(tmp_path: Path) -> tuple[Path, Path]:
    """The folders `proc` and `cgroup` of a machine with 4 MiB."""
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (cgroups / "system.slice/lanebus.service").mkdir(parents=True)
    (proc / "meminfo").write_text(MEMINFO)
    (proc / "self/cgroup").write_text("1:cpu:/old\n0::/system.slice/lanebus.service\n")
    return proc, cgroups


def test_without_a_limit_it_may_take_the_machines_memory(system: tuple[Path, Path]) -> None:
    proc, cgroups = system
    assert memory_bytes(proc, cgroups) == 4 << 20
    (cgroups / "system.slice/lanebus.service/memory.max").write_text("max\n")
    assert memory_bytes(proc, cgroups) == 4 << 20


@pytest.mark.parametrize("group", ["system.slice/lanebus.service", "system.slice", ""])
def test_the_limit_of_any_group_above_counts(system: tuple[Path, Path], group: str) -> None:
    proc, cgroups = system
    (cgroups / group / "memory.max").write_text("1048576\n")
    assert memory_bytes(proc, cgroups) == 1 << 20


def test_the_least_limit_counts(system: tuple[Path, Path]) -> None:
    proc, cgroups = system
    (cgroups / "system.slice/memory.max").write_text("2097152\n")
    (cgroups / "system.slice/lanebus.service/memory.max").write_text("999999999\n")
    assert memory_bytes(proc, cgroups) == 2 << 20


def test_a_group_at_the_root_is_the_root(system: tuple[Path, Path]) -> None:
    proc, cgroups = system
    (proc / "self/cgroup").write_text("0::/\n")
    (cgroups / "memory.max").write_text("1048576\n")
    assert memory_bytes(proc, cgroups) == 1 << 20


def test_a_system_that_does_not_say(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path, tmp_path) is None
    assert resident_bytes(tmp_path) > 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these files")
def test_this_process_takes_some_of_what_it_may() -> None:
    limit = memory_bytes()
    assert limit is not None
    assert 1 << 20 < resident_bytes() < limit


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these files")
def test_what_it_takes_is_as_it_is_now() -> None:
    before = resident_bytes()
    held = bytearray(b"x") * (32 << 20)
    assert resident_bytes() - before > len(held) / 2
