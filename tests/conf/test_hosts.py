"""What may stand where a host is named."""

import pytest

from lanebus.conf.hosts import bind_problem, dial_problem

BINDABLE = [
    "*",
    "0.0.0.0",
    "127.0.0.1",
    "::",
    "::1",
    "fe80::1%eth0",
    "eth0",
    "br-lan",
    "enp3s0f1np1",
    "eth0.100",
]
DIALLABLE = [
    "127.0.0.1",
    "::1",
    "2001:db8::1",
    "localhost",
    "bus",
    "bus.example.com.",
    "my_bus",
    "xn--bcher-kva.example",
]
NEITHER = {
    "127.0.0.1:5570": "port",
    "bus:5570": "port",
    "[::1]": "brackets",
    "[::1]:5570": "brackets",
    "tcp://127.0.0.1": "scheme",
    "tcp://127.0.0.1:5570": "scheme",
    "127.0.0.1 ": "blank",
    " bus": "blank",
    "two words": "blank",
    "bus\n": "blank",
    "bus/": "path",
    "10.0.0.0/8": "path",
    "b\u00fccher": "xn--",
    "999.1.1.1": "no address",
    "10.0.0": "no address",
    "224.0.0.1": "multicast|one machine",
    "ff02::1": "multicast|one machine",
    "a..b": "name|neither",
}


@pytest.mark.parametrize("host", BINDABLE)
def test_a_socket_is_bound_to_addresses_and_interfaces(host: str) -> None:
    assert bind_problem(host) is None


@pytest.mark.parametrize("host", DIALLABLE)
def test_peers_dial_addresses_and_names(host: str) -> None:
    assert dial_problem(host) is None


@pytest.mark.parametrize(("host", "problem"), NEITHER.items())
def test_a_host_stands_alone(host: str, problem: str) -> None:
    for found in (bind_problem(host), dial_problem(host)):
        assert found is not None
        assert any(word in found for word in problem.split("|"))


@pytest.mark.parametrize("host", ["localhost", "bus.example.com", "a.example.com", "x" * 16])
def test_a_socket_is_not_bound_to_names_of_hosts(host: str) -> None:
    assert bind_problem(host) is not None


@pytest.mark.parametrize("host", ["*", "0.0.0.0", "::", "-bus", "x" * 64, ".", "a." * 127 + "a"])
def test_nobody_dials_what_is_no_host(host: str) -> None:
    assert dial_problem(host) is not None
