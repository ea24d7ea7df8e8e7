"""The notifier against real datagram sockets, by path and in the abstract namespace."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lanebus.broker.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket and its address as NOTIFY_SOCKET writes it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@lanebus-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0") if request.param == "abstract" else address)
        listener.settimeout(5)
        yield listener, address


@pytest.mark.parametrize(
    ("call", "datagram"),
    [
        (lambda notifier: notifier.ready("3 lanes bound"), b"READY=1\nSTATUS=3 lanes bound"),
        (lambda notifier: notifier.status("7 peers"), b"STATUS=7 peers"),
        (lambda notifier: notifier.stopping("draining"), b"STOPPING=1\nSTATUS=draining"),
        (lambda notifier: notifier.watchdog(), b"WATCHDOG=1"),
        (lambda notifier: notifier.status("a\nMAINPID=1\r\nb"), b"STATUS=a MAINPID=1 b"),
        (lambda notifier: notifier.status("caf\u00e9 \ud800"), "STATUS=caf\u00e9 ?".encode()),
    ],
    ids=["ready", "status", "stopping", "watchdog", "line breaks", "text"],
)
def test_each_message_is_one_datagram(
    manager: tuple[socket.socket, str], call: Callable[[Notifier], None], datagram: bytes
) -> None:
    listener, address = manager
    notifier = Notifier(address)
    call(notifier)
    assert listener.recv(4096) == datagram
    notifier.close()


def test_a_lost_socket_raises_nothing_and_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    notifier = Notifier(str(path))
    notifier.ready("nobody listens")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        notifier.status("first")
        assert listener.recv(4096) == b"STATUS=first"
    notifier.status("closed")
    path.unlink()
    notifier.stopping("gone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        notifier.status("second")
        assert listener.recv(4096) == b"STATUS=second"
    notifier.close()


def test_a_full_queue_does_not_block(manager: tuple[socket.socket, str]) -> None:
    _, address = manager
    notifier = Notifier(address)
    for _ in range(5_000):
        notifier.watchdog()
    notifier.close()


@pytest.mark.parametrize("address", [None, ""])
def test_without_a_socket_nothing_happens(address: str | None) -> None:
    notifier = Notifier(address)
    notifier.ready("a")
    notifier.status("b")
    notifier.watchdog()
    notifier.stopping("c")
    notifier.close()
    assert notifier.watchdog_interval_s is None


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "\u00b2"}, None),
    ],
)
def test_watchdog_interval_is_half_of_what_systemd_allows(
    environ: dict[str, str], interval_s: float | None
) -> None:
    assert Notifier.from_environ(environ).watchdog_interval_s == interval_s


def test_from_environ_finds_the_socket(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": address})
    notifier.ready("up")
    assert listener.recv(4096) == b"READY=1\nSTATUS=up"
    notifier.close()
