"""The proxy: each toxic, alone, against real sockets."""

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import msgspec
import pytest

from lanebus.cli.exits import Exit
from lanebus.cli.fault_proxy import FaultProxy, Route, main

pytestmark = pytest.mark.system

DEADLINE_S = 10.0

T = TypeVar("T")


class Proxy:
    """A proxy in a thread of its own, with three routes to a listener of this test's."""

    def __init__(self) -> None:
        self.target = socket.create_server(("127.0.0.1", 0))
        self.target.settimeout(DEADLINE_S)
        self._proxy = FaultProxy(routes_to(self.target.getsockname()[1]))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.ports = self._run(self._start())
        self.sockets: list[socket.socket] = []

    def tell(self, do: str, **selectors: Any) -> dict[str, Any]:
        return self._run(self._proxy.obey(json.dumps({"do": do, **selectors}).encode()))

    def pair(self, route: int = 0) -> tuple[socket.socket, socket.socket]:
        """A connection through the proxy: the end that dialled, and the target's."""
        dialled = socket.create_connection(("127.0.0.1", self.ports[route]), timeout=DEADLINE_S)
        accepted, _ = self.target.accept()
        for each in (dialled, accepted):
            each.settimeout(DEADLINE_S)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets.append(each)
        return dialled, accepted

    def close(self) -> None:
        for each in (*self.sockets, self.target):
            each.close()
        self._run(self._proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    async def _start(self) -> list[int]:
        return self._proxy.start()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)


def routes_to(port: int) -> list[Route]:
    return [
        Route(name=name, lane=lane, host="127.0.0.1", port=0, target_host="127.0.0.1", target_port=port)
        for name, lane in (("one", "critical"), ("one", "low"), ("two", "critical"))
    ]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    running = Proxy()
    yield running
    running.close()


def exactly(end: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        piece = end.recv(size - len(received))
        assert piece, f"the connection ended after {len(received)} of {size} bytes"
        received += piece
    return received


def nothing_comes(end: socket.socket, within_s: float) -> bool:
    end.settimeout(within_s)
    try:
        end.recv(1, socket.MSG_PEEK)
        return False
    except TimeoutError:
        return True
    finally:
        end.settimeout(DEADLINE_S)


def until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < deadline, f"not reached in {DEADLINE_S:g} s: {what}"
        time.sleep(0.01)


def test_without_toxics_everything_passes_both_ways_and_ends_pass_too(proxy: Proxy) -> None:
    dialled, accepted = proxy.pair()
    data = bytes(range(256)) * 8192
    sender = threading.Thread(target=dialled.sendall, args=(data,))
    sender.start()
    assert exactly(accepted, len(data)) == data
    sender.join()
    accepted.sendall(b"back")
    assert exactly(dialled, 4) == b"back"
    listed = proxy.tell("list")["connections"]
    assert listed == [
        {
            "connection": 1,
            "name": "one",
            "lane": "critical",
            "up_bytes": len(data),
            "down_bytes": 4,
            "swallowed_bytes": 0,
        }
    ]
    accepted.sendall(b"last words")
    accepted.close()
    assert exactly(dialled, 10) == b"last words"
    assert dialled.recv(1) == b""
    until(lambda: not proxy.tell("list")["connections"], "the connection is forgotten")


def test_latency_delays_and_jitter_keeps_the_order(proxy: Proxy) -> None:
    dialled, accepted = proxy.pair()
    assert proxy.tell("set", direction="up", toxics={"latency_s": 0.2, "jitter_s": 0.2})["ok"]
    started = time.monotonic()
    for number in range(50):
        dialled.sendall(struct.pack("!I", number))
        time.sleep(0.002)
    received = exactly(accepted, 200)
    assert time.monotonic() - started >= 0.2
    assert received == b"".join(struct.pack("!I", number) for number in range(50))
    started = time.monotonic()
    accepted.sendall(b"x")
    assert exactly(dialled, 1) == b"x"
    assert time.monotonic() - started < 0.2  # the other direction is as it was


def test_a_bandwidth_limit_paces(proxy: Proxy) -> None:
    dialled, accepted = proxy.pair()
    proxy.tell("set", direction="down", toxics={"bytes_per_s": 100_000})
    started = time.monotonic()
    accepted.sendall(bytes(50_000))
    exactly(dialled, 50_000)
    assert 0.4 <= time.monotonic() - started < 5.0


def test_a_frozen_connection_passes_nothing_and_then_everything(proxy: Proxy) -> None:
    dialled, accepted = proxy.pair()
    proxy.tell("set", toxics={"freeze": True})
    later, _ = proxy.pair()
    dialled.sendall(b"waiting")
    dialled.close()
    assert nothing_comes(accepted, 0.3)
    assert nothing_comes(later, 0.05)
    proxy.tell("set", toxics={"freeze": False})
    assert exactly(accepted, 7) == b"waiting"
    assert accepted.recv(1) == b""


def test_slices_come_in_tiny_pieces(proxy: Proxy) -> None:
    dialled, accepted = proxy.pair()
    proxy.tell("set", direction="up", toxics={"slice_bytes": 3, "slice_pause_s": 0.01})
    dialled.sendall(b"0123456789")
    pieces: list[bytes] = []
    while len(b"".join(pieces)) < 10:
        pieces.append(accepted.recv(100))
    assert b"".join(pieces) == b"0123456789"
    assert len(pieces) == 4


def test_a_reset_is_one(proxy: Proxy) -> None:
    dialled, accepted = proxy.pair()
    proxy.tell("reset")
    for end in (dialled, accepted):
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_a_close_is_an_orderly_end(proxy: Proxy) -> None:
    dialled, accepted = proxy.pair()
    proxy.tell("close")
    assert dialled.recv(1) == accepted.recv(1) == b""


@pytest.mark.parametrize("direction", ["up", "down"])
def test_half_open_tells_one_side_only(proxy: Proxy, direction: str) -> None:
    dialled, accepted = proxy.pair()
    proxy.tell("half_open", direction=direction)
    told, deaf = (accepted, dialled) if direction == "up" else (dialled, accepted)
    assert told.recv(1) == b""
    deaf.sendall(b"is anybody there?")
    assert nothing_comes(deaf, 0.2)
    deaf.close()
    until(lambda: not proxy.tell("list")["connections"], "the other side's end is noticed")


def test_a_black_hole_swallows_for_the_connections_life(proxy: Proxy) -> None:
    dialled, accepted = proxy.pair()
    proxy.tell("set", direction="up", toxics={"swallow": True})
    dialled.sendall(b"gone")
    accepted.sendall(b"back")
    assert exactly(dialled, 4) == b"back"
    until(lambda: proxy.tell("list")["connections"][0]["swallowed_bytes"] == 4, "four bytes are swallowed")
    proxy.tell("set", direction="up", toxics={"swallow": False})
    dialled.sendall(b"gone too")
    assert nothing_comes(accepted, 0.2)
    again, met = proxy.pair()
    again.sendall(b"heard")
    assert exactly(met, 5) == b"heard"


def test_selectors_leave_the_others_alone(proxy: Proxy) -> None:
    pairs = [proxy.pair(route) for route in range(3)]
    proxy.tell("set", name="one", lane="low", toxics={"freeze": True})
    for dialled, _ in pairs:
        dialled.sendall(b"x")
    assert exactly(pairs[0][1], 1) == exactly(pairs[2][1], 1) == b"x"
    assert nothing_comes(pairs[1][1], 0.1)
    number = next(each for each in proxy.tell("list")["connections"] if each["name"] == "two")["connection"]
    proxy.tell("reset", connection=number)
    with pytest.raises(ConnectionResetError):
        pairs[2][1].recv(1)
    pairs[0][0].sendall(b"y")
    assert exactly(pairs[0][1], 1) == b"y"


def test_a_target_that_is_not_there_resets_who_dials(proxy: Proxy) -> None:
    proxy.target.close()
    # The reset may be there before the connection is complete on this side.
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", proxy.ports[0]), timeout=DEADLINE_S) as dialled,
    ):
        dialled.recv(1)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"do": "explode"}, "explode"),
        ({"do": "set", "toxics": {"speed": 1}}, "speed"),
        ({"do": "set", "toxics": {"latency_s": -1}}, "latency_s"),
    ],
)
def test_a_bad_command_is_answered_and_changes_nothing(
    proxy: Proxy, command: dict[str, Any], words: str
) -> None:
    answer = proxy.tell(**command)
    assert not answer["ok"]
    assert words in answer["error"]
    dialled, accepted = proxy.pair()
    dialled.sendall(b"x")
    assert exactly(accepted, 1) == b"x"


def test_the_process_announces_its_ports_obeys_and_ends_with_its_input() -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        routes = msgspec.json.encode(routes_to(target.getsockname()[1])).decode()
        process = subprocess.Popen(
            [sys.executable, "-m", "lanebus.cli.fault_proxy", routes, "--die-with", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        ports = json.loads(process.stdout.readline())["ports"]
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=DEADLINE_S) as dialled:
            target.accept()[0].close()
            assert dialled.recv(1) == b""
        process.stdin.write(b'{"do": "list"}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"ok": True, "connections": []}
        process.communicate(timeout=DEADLINE_S)
        assert process.returncode == Exit.OK


def test_the_process_wants_routes_and_a_parent() -> None:
    assert main([]) == Exit.USAGE
