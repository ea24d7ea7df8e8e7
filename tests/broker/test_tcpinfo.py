"""What the kernel says of a connection."""

import os
import socket
import struct
import sys
from collections.abc import Iterator

import pytest

from lanebus.broker import tcpinfo

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection over which something was said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        near.sendall(b"ping")
        assert far.recv(4) == b"ping"
        yield near, far


def info(*, rtt_us: int = 40_000, least_us: int = 30_000) -> bytes:
    octets = bytearray(232)
    octets[2] = 4
    struct.pack_into("=I", octets, 56, 1_500)
    struct.pack_into("=II", octets, 68, rtt_us, 5_000)
    struct.pack_into("=I", octets, 100, 3)
    struct.pack_into("=I", octets, 148, least_us)
    struct.pack_into("=I", octets, 156, 90)
    return bytes(octets)


def test_a_connection_has_a_round_trip(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    look = tcpinfo.look(near.fileno())
    assert look is not None
    assert look.peer == far.getsockname()
    assert 0.0 < look.least_rtt_ms <= look.rtt_ms < 1000.0
    assert look.segments >= 1
    assert look.retransmitted == 0


def test_the_descriptor_stays_open(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    for _ in range(3):
        tcpinfo.look(near.fileno())
    near.sendall(b"more")
    assert far.recv(4) == b"more"


def test_what_is_no_connection_is_not_looked_at() -> None:
    reader, writer = os.pipe()
    with socket.socket() as unconnected:
        assert tcpinfo.look(unconnected.fileno()) is None
        assert tcpinfo.look(reader) is None
        os.close(reader)
        assert tcpinfo.look(reader) is None
        assert tcpinfo.look(-1) is None
    os.close(writer)


def test_another_family_is_not_looked_at() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert tcpinfo.look(near.fileno()) is None


def test_another_system_has_nothing_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcpinfo, "_OPTION", None)
    assert tcpinfo.look(0) is None


def test_the_figures_stand_where_the_kernel_writes_them() -> None:
    look = tcpinfo.read(info(), "peer")
    assert look == tcpinfo.Look("peer", 40.0, 5.0, 30.0, 90, 3)


def test_before_the_first_measurement_there_is_nothing() -> None:
    assert tcpinfo.read(info(rtt_us=0, least_us=0xFFFF_FFFF), "peer") is None
    least = tcpinfo.read(info(least_us=0xFFFF_FFFF), "peer")
    assert least is not None
    assert least.least_rtt_ms == 40.0


def test_an_old_kernel_gives_too_few_figures() -> None:
    assert tcpinfo.read(info()[:104], "peer") is None


def test_a_kernel_acknowledges_whatever_its_process_does(pair: tuple[socket.socket, socket.socket]) -> None:
    near, _ = pair
    look = tcpinfo.look(near.fileno())
    assert look is not None
    near.sendall(b"nobody reads this")
    signs = tcpinfo.signs(look)
    assert signs is not None
    assert not signs.is_retrying
    assert 0.0 <= signs.acknowledged_ago_s < 60.0


def test_another_connection_has_no_signs_of_this_one(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    look = tcpinfo.look(near.fileno())
    assert look is not None
    assert tcpinfo.signs(look._replace(descriptor=far.fileno())) is None
    assert tcpinfo.signs(look._replace(descriptor=-1)) is None


def test_signs_stand_where_the_kernel_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    look = tcpinfo.read(info(), "peer", 7)
    assert look is not None
    monkeypatch.setattr(tcpinfo, "_see", lambda descriptor: (info(), "peer") if descriptor == 7 else None)
    assert tcpinfo.signs(look) == tcpinfo.Signs(1.5, True)
    monkeypatch.setattr(tcpinfo, "_see", lambda descriptor: (info()[:104], "peer"))
    assert tcpinfo.signs(look) is None


def test_what_has_come_is_known_and_what_of_it_nobody_has_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    near.sendall(b"x" * 1000)
    assert far.recv(300, socket.MSG_WAITALL)
    assert far.recv(700, socket.MSG_PEEK | socket.MSG_WAITALL)
    found = tcpinfo.came(far.fileno())
    assert found is not None
    assert (found.bytes, found.far_end) == (1004, near.getsockname())
    assert tcpinfo.queued_bytes(far.fileno()) == 700
    assert tcpinfo.came(-1) is None
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    assert tcpinfo.queued_bytes(reader) == 0
