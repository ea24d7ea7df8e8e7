"""Ports that are free now, and that no connection of ours can take while nobody listens there."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

from lanebus.cli.exits import CliError, Exit

PORTS: Final = 4
"""Critical, normal, low and control."""


def free_ports(hosts: list[str]) -> list[int]:
    """Four ports that are free at all of `hosts`, below those that the system gives to outgoing connections.

    A port from that range could be taken by one of our own connections while the broker is dead.

    Raises:
        CliError: `PORT_BUSY` when there are none to be found.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    candidates = random.SystemRandom().sample(range(10_000, max(first, 20_000)), 200)
    found: list[int] = []
    for port in candidates:
        if all(_is_free(host, port) for host in hosts):
            found.append(port)
            if len(found) == PORTS:
                return found
    raise CliError("there are no free ports", Exit.PORT_BUSY)


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
