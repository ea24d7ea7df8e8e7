"""How many attachments the process' limit of open files has room for."""

from __future__ import annotations

import logging
import resource
from typing import Final

log = logging.getLogger("lanebus.broker")

PER_ATTACHMENT: Final = 3
"""Connections, each with one descriptor."""
RESERVE: Final = 128
"""Descriptors for all else: listening sockets, wake-ups, log, connections that have not said hello."""


def room_for(attachments: int) -> int:
    """Raise this process' limit of open files as far as `attachments` need and it may; how many there is room for."""
    needed = PER_ATTACHMENT * attachments + RESERVE
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < needed:
        limit = needed if most == resource.RLIM_INFINITY else min(needed, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return attachments
    room = max(1, (limit - RESERVE) // PER_ATTACHMENT)
    log.info(
        "= the limit of %d open files has room for %d attachments, not for the %d of limits.attachments",
        limit,
        room,
        attachments,
    )
    return room
