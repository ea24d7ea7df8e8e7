"""Free ports are free, and out of the way of connections."""

import socket
from pathlib import Path

import pytest

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.ports import PORTS, free_ports

HOSTS = ["127.0.0.1", "127.0.1.1"]


def test_ports_are_free_at_every_host_and_no_connection_can_take_them() -> None:
    ports = free_ports(HOSTS)
    assert len(set(ports)) == PORTS
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    for port in ports:
        assert port < first or first < 20_000
        for host in HOSTS:
            socket.create_server((host, port)).close()


def test_there_may_be_no_free_ports() -> None:
    # An address that is nobody's: nothing can be bound there.
    with pytest.raises(CliError) as caught:
        free_ports(["203.0.113.1"])
    assert caught.value.code == Exit.PORT_BUSY
