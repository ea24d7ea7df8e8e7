"""Adapters' sockets: one context a process, one life a socket."""

import socket as plain
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import zmq

from lanebus.adapters.sockets import NOBLOCK, POLLIN, POLLOUT, Socket, context, dial, pending

DEADLINE_S = 10.0


@pytest.fixture
def router() -> Iterator[tuple[Socket, str]]:
    """A listening socket, and its address."""
    own: zmq.Context[Socket] = zmq.Context()
    listening = own.socket(zmq.ROUTER)
    listening.setsockopt(zmq.LINGER, 0)
    port = listening.bind_to_random_port("tcp://127.0.0.1")
    yield listening, f"tcp://127.0.0.1:{port}"
    listening.close()
    own.term()


def until_not_writable(socket: Socket) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while pending(socket) & POLLOUT:
        assert time.monotonic() < deadline, "the lost connection does not show"
        socket.poll(10)


def test_a_process_has_one_context() -> None:
    assert context() is context()


def test_a_forked_child_has_a_context_of_its_own() -> None:
    program = """
import os
from lanebus.adapters.sockets import context
mine = context()
child = os.fork()
if not child:
    os._exit(0 if context() is not mine else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "0"


def test_a_dialled_socket_sends_and_shows_what_it_is_ready_for(router: tuple[Socket, str]) -> None:
    listening, address = router
    socket = dial(address, frame_bytes=1000)
    assert pending(socket) == POLLOUT
    socket.send(b"hello", NOBLOCK)
    route, frame = listening.recv_multipart()
    assert frame == b"hello"
    listening.send_multipart([route, b"welcome"])
    assert socket.poll(int(DEADLINE_S * 1000))
    assert pending(socket) == POLLIN | POLLOUT
    assert socket.recv() == b"welcome"
    socket.close()


def test_a_lost_connection_is_not_made_again(router: tuple[Socket, str]) -> None:
    listening, address = router
    socket = dial(address, frame_bytes=1000)
    socket.send(b"hello")
    listening.recv_multipart()
    listening.unbind(address)
    listening.close()
    until_not_writable(socket)
    assert not pending(socket) & POLLIN
    socket.close()


def test_a_connection_that_nobody_takes_shows_soon() -> None:
    with plain.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    socket = dial(address, frame_bytes=1000)
    until_not_writable(socket)
    socket.close()


def test_a_frame_past_the_limit_is_not_taken(router: tuple[Socket, str]) -> None:
    listening, address = router
    socket = dial(address, frame_bytes=1000)
    socket.send(b"hello")
    route, _ = listening.recv_multipart()
    listening.send_multipart([route, b"x" * 200_000])
    until_not_writable(socket)
    socket.close()


def test_every_lane_is_watched_by_heartbeats_of_its_own(router: tuple[Socket, str]) -> None:
    _, address = router
    socket = dial(address, frame_bytes=1000)
    assert socket.getsockopt(zmq.HEARTBEAT_IVL) == 5_000
    assert socket.getsockopt(zmq.HEARTBEAT_TIMEOUT) == 10_000
    assert socket.getsockopt(zmq.LINGER) == 0
    assert socket.getsockopt(zmq.RECONNECT_IVL) == -1
    socket.close()


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:5570", "tcp://", "carrier-pigeon://coop", "tcp://127.0.0.1"]
)
def test_a_malformed_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ValueError, match=r"is no address to connect to, such as tcp://127\.0\.0\.1:5570"):
        dial(address, frame_bytes=1000)


@pytest.mark.skipif(not plain.has_ipv6, reason="this machine knows no IPv6")
def test_an_address_in_brackets_is_an_ipv6_one() -> None:
    own: zmq.Context[Socket] = zmq.Context()
    listening = own.socket(zmq.ROUTER)
    listening.setsockopt(zmq.IPV6, 1)
    listening.setsockopt(zmq.LINGER, 0)
    try:
        port = listening.bind_to_random_port("tcp://[::1]")
    except zmq.ZMQError:
        pytest.skip("the loopback has no IPv6 address")
    else:
        socket = dial(f"tcp://[::1]:{port}", frame_bytes=1000)
        socket.send(b"hello")
        assert listening.recv_multipart()[1] == b"hello"
        socket.close()
    finally:
        listening.close()
        own.term()


def test_a_process_without_descriptors_is_told_what_it_lacks() -> None:
    program = (
        "import resource, lanebus; from lanebus.adapters.sockets import context, dial; context()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "kept = []\n"
        "try:\n"
        "    while True: kept.append(dial('tcp://127.0.0.1:9', frame_bytes=1000))\n"
        "except OSError as error: print(error)\n"
        "for each in kept: each.close()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "an adapter needs six descriptors; raise the limit of open files (ulimit -n" in ended.stdout, (
        ended.stderr
    )
