"""The process' memory: what it takes, and what it may take."""

from __future__ import annotations

import os
import resource
from functools import cache
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def resident_bytes(proc: Path = _PROC) -> int:
    """What the process takes now; where the system does not say, the most that it ever took."""
    try:
        return int(os.pread(_figures(proc), 64, 0).split()[1]) * _PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@cache
def _figures(proc: Path) -> int:
    # Kept open: it is read often, and also when no descriptor is left.
    return os.open(proc / "self/statm", os.O_RDONLY | os.O_CLOEXEC)


def memory_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """What the process may take: the machine's memory, or the least limit of its control groups; None if unknown."""
    limits = [
        int(line.split()[1]) * 1024 for line in _lines(proc / "meminfo") if line.startswith("MemTotal:")
    ]
    for line in _lines(proc / "self/cgroup"):
        # The line of the unified hierarchy; a limit of any group above counts too.
        if line.startswith("0::"):
            group = line.removeprefix("0::").strip("/")
            parts = group.split("/") if group else []
            for depth in range(len(parts) + 1):
                said = _lines(cgroups.joinpath(*parts[:depth]) / "memory.max")
                limits.extend(int(limit) for limit in said if limit.isdecimal())
    return min(limits, default=None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
