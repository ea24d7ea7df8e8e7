"""The process' limit of open files: raised as far as it may be, and how many attachments it has room for."""

from __future__ import annotations

import logging
import resource
from pathlib import Path
from typing import Final

log = logging.getLogger("lanebus.broker")

PER_ATTACHMENT: Final = 3
"""Connections, each with one descriptor."""
RESERVE: Final = 128
"""Descriptors for all else: listening sockets, wake-ups, log, connections that have not said hello, some to spare."""
OWN: Final = 48
"""Descriptors that are no connections, where the system does not say how many there are."""


class OpenFilesError(Exception):
    """The limit of open files is too low for a broker; the text says how to raise it."""


def room_for(attachments: int) -> int:
    """Raise this process' limit of open files as far as `attachments` need and it may; how many there is room for.

    Raises:
        OpenFilesError: there is room for none.
    """
    needed = PER_ATTACHMENT * attachments + RESERVE
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < needed:
        limit = needed if most == resource.RLIM_INFINITY else min(needed, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return attachments
    room = (limit - RESERVE) // PER_ATTACHMENT
    if room < 1:
        raise OpenFilesError(
            f"the limit of open files is {limit}, and a broker needs {RESERVE + PER_ATTACHMENT} at least, "
            f"{PER_ATTACHMENT} of them for each attachment: raise it (ulimit -n, LimitNOFILE=)"
        )
    log.info(
        "= the limit of %d open files has room for %d attachments, not for the %d of limits.attachments",
        limit,
        room,
        attachments,
    )
    return room


def limit_of_open_files() -> int | None:
    """How many this process may have; None if there is no limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else limit


def count_open_files(folder: Path = Path("/proc/self/fd")) -> int:
    """How many this process has now."""
    try:
        return sum(1 for _ in folder.iterdir())
    except OSError:
        return OWN
