"""Hanging up on real connections: the right one ends, and what is not it is left alone."""

import os
import socket
from collections.abc import Iterator

import pytest

from lanebus.broker.hangup import hang_up

pytestmark = pytest.mark.system


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection: the far end, and ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname(), timeout=5.0)
        near, _ = listener.accept()
    with far, near:
        yield far, near


def test_the_far_end_sees_the_end_and_the_descriptor_stays(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    far, near = pair
    assert hang_up(near.fileno(), "127.0.0.1")
    assert far.recv(1) == b""
    assert os.fstat(near.fileno())


def test_a_connection_from_elsewhere_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    far, near = pair
    assert not hang_up(near.fileno(), "127.0.0.2")
    assert not hang_up(near.fileno(), "")
    near.sendall(b"x")
    assert far.recv(1) == b"x"


def test_where_the_port_is_known_too_another_connection_of_the_host_is_left_alone(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    far, near = pair
    host, port = far.getsockname()
    assert not hang_up(near.fileno(), (host, port + 1))
    assert not hang_up(near.fileno(), None)
    assert hang_up(near.fileno(), (host, port))


def test_what_is_no_connection_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    read, write = os.pipe()
    try:
        assert not hang_up(read, "127.0.0.1")
    finally:
        os.close(read)
        os.close(write)
    assert not hang_up(-1, "127.0.0.1")
    assert not hang_up(read, "127.0.0.1")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not hang_up(ours.fileno(), "127.0.0.1")


def test_one_that_has_ended_already_cannot_be_ended() -> None:
    with socket.socket() as unconnected:
        assert not hang_up(unconnected.fileno(), "127.0.0.1")
