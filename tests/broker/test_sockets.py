"""The broker's sockets: their options, and addresses that cannot be had."""

import ctypes
import socket as plain
from collections.abc import Iterator

import pytest
import zmq

from lanebus.broker.sockets import BindError, bind, make_router, port_of

Socket = zmq.Socket[bytes]


class Maker:
    """Makes sockets, and closes them all."""

    def __init__(self) -> None:
        self.context: zmq.Context[Socket] = zmq.Context()
        self.sockets: list[Socket] = []

    def router(self) -> Socket:
        self.sockets.append(make_router(self.context, high_water_mark=256, frame_bytes=1000))
        return self.sockets[-1]

    def dealer(self, address: str) -> Socket:
        dealer = self.context.socket(zmq.DEALER)
        self.sockets.append(dealer)
        dealer.connect(address)
        return dealer

    def close(self) -> None:
        for socket in self.sockets:
            socket.close(linger=0)
        self.context.term()


@pytest.fixture
def maker() -> Iterator[Maker]:
    maker = Maker()
    yield maker
    maker.close()


@pytest.fixture
def router(maker: Maker) -> Socket:
    return maker.router()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (zmq.SNDHWM, 256),
        (zmq.RCVHWM, 256),
        (zmq.MAXMSGSIZE, 5096),
        (zmq.HANDSHAKE_IVL, 2000),
        (zmq.BACKLOG, 4096),
        (zmq.HEARTBEAT_IVL, 5000),
        (zmq.HEARTBEAT_TIMEOUT, 15000),
        (zmq.LINGER, 500),
    ],
)
def test_every_option_is_set_before_the_socket_is_bound(router: Socket, option: int, value: int) -> None:
    assert router.getsockopt(option) == value


def test_a_peer_that_is_not_there_is_an_error_and_not_a_loss(router: Socket) -> None:
    bind(router, "127.0.0.1", 0, "critical")
    with pytest.raises(zmq.ZMQError) as caught:
        router.send_multipart([b"nobody", b"frame"], zmq.NOBLOCK)
    assert caught.value.errno == zmq.EHOSTUNREACH


def test_routing_ids_start_somewhere_else_in_every_socket(maker: Maker) -> None:
    starts = set()
    for _ in range(4):
        router = maker.router()
        address = bind(router, "127.0.0.1", 0, "low")
        maker.dealer(address).send(b"x")
        assert router.poll(5000)
        starts.add(router.recv_multipart()[0])
    assert len(starts) > 1


def test_a_c_library_without_srand_is_no_reason_to_fail(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*args: object) -> object:
        raise OSError("no libc")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    maker.router()


def test_port_0_is_a_free_port_and_the_address_names_it(router: Socket) -> None:
    address = bind(router, "127.0.0.1", 0, "critical")
    assert address == f"tcp://127.0.0.1:{port_of(address)}"
    assert port_of(address) > 0


def test_an_ipv6_address_is_bound_too(router: Socket) -> None:
    try:
        with plain.socket(plain.AF_INET6, plain.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    address = bind(router, "::1", 0, "critical")
    assert address == f"tcp://[::1]:{port_of(address)}"


def test_a_port_in_use_is_named_with_the_cause(maker: Maker, router: Socket) -> None:
    port = port_of(bind(router, "127.0.0.1", 0, "critical"))
    second = maker.router()
    with pytest.raises(BindError) as caught:
        bind(second, "127.0.0.1", port, "low")
    assert str(caught.value) == (
        f"cannot bind the low socket to tcp://127.0.0.1:{port}: "
        "the port is in use; is another broker running?"
    )


def test_an_address_of_another_machine_is_named_with_the_cause(router: Socket) -> None:
    with pytest.raises(BindError, match=r"control socket to tcp://203\.0\.113\.7:\*: no network interface"):
        bind(router, "203.0.113.7", 0, "control")


def test_a_host_that_is_none_is_named(router: Socket) -> None:
    with pytest.raises(BindError, match="tcp://not a host:5570"):
        bind(router, "not a host", 5570, "critical")


def test_an_address_without_a_port_has_none() -> None:
    with pytest.raises(ValueError, match="tcp://host has no port"):
        port_of("tcp://host")
