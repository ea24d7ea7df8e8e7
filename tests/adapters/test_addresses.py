"""Addresses of brokers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanebus.adapters.addresses import Address, parse_address
from lanebus.adapters.client import ClientAdapter


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("tcp://127.0.0.1:5570", "127.0.0.1", 5570),
        ("tcp://bus:1", "bus", 1),
        ("tcp://bus-1.eu_west.example.:65535", "bus-1.eu_west.example.", 65535),
        ("tcp://bücher.example:5570", "bücher.example", 5570),
        ("tcp://[::1]:5570", "::1", 5570),
        ("tcp://[fe80::1%eth0]:5570", "fe80::1%eth0", 5570),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)
    assert str(parse_address(text)) == text


WRONG = {
    "": "by tcp alone",
    "127.0.0.1:5570": "by tcp alone",
    "udp://127.0.0.1:5570": "by tcp alone",
    "ipc:///tmp/bus": "by tcp alone",
    "inproc://bus": "by tcp alone",
    "carrier-pigeon://coop": "by tcp alone",
    "tcp://": "a host, a colon and a port",
    "tcp://127.0.0.1": "a host, a colon and a port",
    "tcp://127.0.0.1:": "a host, a colon and a port",
    "tcp://127.0.0.1:port": "a host, a colon and a port",
    "tcp://127.0.0.1:5570/": "a host, a colon and a port",
    "tcp://127.0.0.1:5570/lane": "a host, a colon and a port",
    "tcp://127.0.0.1:5570\n": "a host, a colon and a port",
    "tcp://127.0.0.1:5570,tcp://b:1": "a host, a colon and a port",
    "tcp://::1:5570": "a host, a colon and a port",
    "tcp://:5570": "the name of no host",
    "tcp://*:5570": "the name of no host",
    "tcp://a b:5570": "the name of no host",
    "tcp://10.0.0.1;bus:5570": "the name of no host",
    "tcp://[127.0.0.1]:5570": "is no IPv6 address",
    "tcp://[]:5570": "is no IPv6 address",
    "tcp://h:0": "ports are 1 to 65535",
    "tcp://h:99999": "ports are 1 to 65535",
    f"tcp://{'h' * 300}:1": "the name of no host",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_address_is_refused_where_it_is_given_by_name_with_examples(text: str) -> None:
    for brokers in (text, ["tcp://127.0.0.1:5570", text]):
        with pytest.raises(ValueError, match="is no address of a broker") as caught:
            ClientAdapter("1", broker=brokers)
        assert WRONG[text] in str(caught.value)
        assert repr(text)[:30] in str(caught.value)
        assert "tcp://127.0.0.1:5570" in str(caught.value)


@pytest.mark.parametrize("brokers", [[], (), iter([])])
def test_an_adapter_needs_a_broker(brokers: list[str]) -> None:
    with pytest.raises(ValueError, match="at least one address of a broker"):
        ClientAdapter("1", broker=brokers)


@given(st.one_of(st.text(), st.text().map("tcp://{}".format), st.binary(), st.none(), st.integers()))
def test_anything_is_an_address_or_a_value_error(text: str) -> None:
    try:
        found = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(found)) == found
