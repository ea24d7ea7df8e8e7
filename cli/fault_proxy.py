"""A TCP proxy that does to connections what bad networks do, when it is told to.

Started as `python -m lanebus.cli.fault_proxy ROUTES --die-with PID`, with the routes as JSON. Commands come as lines
of JSON on standard input, each is answered by one line on standard output; the process ends with its input.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final, Literal

import msgspec

from lanebus.cli.exits import Exit
from lanebus.cli.fault_pipe import CHUNK_BYTES, Pipe, Toxics
from lanebus.cli.parent import PARENT_OPTION, die_with

CONNECT_TIMEOUT_S: Final = 5.0
BACKLOG: Final = 1024
UP, DOWN = 0, 1
"""Directions: from who dialled to the target, and back."""
_DIRECTIONS: Final = {"up": (UP,), "down": (DOWN,), "both": (UP, DOWN)}


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One listening address, and where its connections lead."""

    name: str
    """Whose route it is; several may share a name."""
    lane: str
    host: str
    port: int
    """Port to listen on; 0 for a free one."""
    target_host: str
    target_port: int


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the proxy is told. Selectors that are left out select everything."""

    do: Literal["set", "reset", "close", "half_open", "list"]
    """`set` changes toxics; `reset` ends connections with RST, `close` in order; `half_open` closes one end of each,
    and the other learns nothing; `list` only tells."""
    name: str | None = None
    lane: str | None = None
    connection: int | None = None
    """One connection's number; toxics set so do not outlive it."""
    direction: Literal["up", "down", "both"] = "both"
    """For `set`; and for `half_open` the side that is closed: `up` the target's, `down` that of who dialled."""
    toxics: dict[str, Any] = {}
    """For `set`: fields of `Toxics`; the others stay as they are."""


class Connection:
    """A connection that was accepted, and the one made for it."""

    def __init__(self, number: int, route: Route, accepted: socket.socket, toxics: list[Toxics]) -> None:
        self.number = number
        self.route = route
        self.toxics = list(toxics)
        """By direction."""
        self.pipes: list[Pipe] = []
        self._accepted = accepted
        self._target: socket.socket | None = None
        self._work: asyncio.Task[None] | None = None
        self._ended: Callable[[Connection], None] = lambda _: None

    def start(self, ended: Callable[[Connection], None]) -> None:
        """Begin to carry; `ended` is called once, at the end."""
        self._ended = ended
        self._work = asyncio.ensure_future(self._carry())

    def change(self, directions: tuple[int, ...], changes: dict[str, Any]) -> None:
        """Change the toxics of some directions."""
        for direction in directions:
            self.toxics[direction] = self.toxics[direction].changed(changes)
            if self.pipes:
                self.pipes[direction].toxics = self.toxics[direction]

    async def end(self, *, abort: bool) -> None:
        """End both sides: in order, or with RST."""
        await self._stop()
        self._shut(abort=abort)

    async def half_open(self, sides: tuple[int, ...]) -> None:
        """Close the given sides in order, and keep the others open, deaf and mute, until they end."""
        await self._stop()
        target = self._target
        sockets = [target, self._accepted]
        kept = [each for side, each in enumerate(sockets) if side not in sides and each is not None]
        for side in sides:
            each = sockets[side]
            if each is not None:
                each.close()
        if kept:
            self._work = asyncio.ensure_future(self._swallow(kept[0]))
        else:
            self._shut(abort=False)

    def describe(self) -> dict[str, Any]:
        """What a `list` says of it."""
        passed = [pipe.passed_bytes for pipe in self.pipes] or [0, 0]
        swallowed = [pipe.swallowed_bytes for pipe in self.pipes] or [0, 0]
        return {
            "connection": self.number,
            "name": self.route.name,
            "lane": self.route.lane,
            "up_bytes": passed[UP],
            "down_bytes": passed[DOWN],
            "swallowed_bytes": sum(swallowed),
        }

    async def _carry(self) -> None:
        loop = asyncio.get_running_loop()
        target = self._target = socket.socket(
            socket.AF_INET6 if ":" in self.route.target_host else socket.AF_INET, socket.SOCK_STREAM
        )
        try:
            target.setblocking(False)
            for each in (self._accepted, target):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.sock_connect(target, (self.route.target_host, self.route.target_port))
            jitter = Random(self.number)
            self.pipes = [
                Pipe(self._accepted, target, self.toxics[UP], jitter),
                Pipe(target, self._accepted, self.toxics[DOWN], jitter),
            ]
            running = {asyncio.ensure_future(pipe.run()) for pipe in self.pipes}
            try:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    one.result()
            finally:
                for one in running:
                    one.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        except (OSError, TimeoutError):
            self._shut(abort=True)
        else:
            self._shut(abort=False)

    async def _swallow(self, kept: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while await loop.sock_recv(kept, CHUNK_BYTES):
                pass
        except OSError:
            pass
        self._shut(abort=False)

    async def _stop(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def _shut(self, *, abort: bool) -> None:
        for each in (self._accepted, self._target):
            if each is not None and each.fileno() >= 0:
                if abort:
                    # Closing with a linger of zero is what sends RST instead of FIN.
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.close()
        self._ended(self)


class FaultProxy:
    """Listens on every route's address and carries connections to its target."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self.connections: dict[int, Connection] = {}
        self.accepted = 0
        """Connections accepted so far."""
        self._toxics = [[Toxics(), Toxics()] for _ in routes]
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []

    def start(self) -> list[int]:
        """Listen, and return the ports in the order of the routes.

        Raises:
            OSError: an address cannot be had.
        """
        for route in self.routes:
            family = socket.AF_INET6 if ":" in route.host else socket.AF_INET
            listener = socket.create_server((route.host, route.port), family=family, backlog=BACKLOG)
            listener.setblocking(False)
            self._listeners.append(listener)
        self._accepting = [asyncio.ensure_future(self._accept(index)) for index in range(len(self.routes))]
        return [listener.getsockname()[1] for listener in self._listeners]

    async def obey(self, line: bytes) -> dict[str, Any]:
        """Carry out one command; the answer has `ok` and either `connections` or `error`."""
        try:
            command = msgspec.json.decode(line, type=Command)
            selected = list(self._select(command))
            if command.do == "set":
                self._set(command, selected)
            elif command.do == "half_open":
                for each in selected:
                    await each.half_open(_DIRECTIONS[command.direction])
            elif command.do != "list":
                for each in selected:
                    await each.end(abort=command.do == "reset")
        except (msgspec.MsgspecError, OSError) as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True, "connections": [each.describe() for each in selected]}

    async def close(self) -> None:
        """End everything, connections with RST."""
        for each in self._accepting:
            each.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections.values()):
            await connection.end(abort=True)

    def _set(self, command: Command, selected: list[Connection]) -> None:
        directions = _DIRECTIONS[command.direction]
        Toxics().changed(command.toxics)  # a mistake must leave everything as it was
        for each in selected:
            each.change(directions, command.toxics)
        if command.connection is None:
            for route, toxics in zip(self.routes, self._toxics, strict=True):
                if _matches(command, route):
                    for direction in directions:
                        toxics[direction] = toxics[direction].changed(command.toxics)

    def _select(self, command: Command) -> Iterator[Connection]:
        for connection in self.connections.values():
            if command.connection in (None, connection.number) and _matches(command, connection.route):
                yield connection

    async def _accept(self, index: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listeners[index])
            except OSError:
                # Out of descriptors, or the peer has gone already: either passes.
                await asyncio.sleep(0.05)
                continue
            accepted.setblocking(False)
            self.accepted += 1
            connection = Connection(self.accepted, self.routes[index], accepted, self._toxics[index])
            self.connections[connection.number] = connection
            connection.start(self._forget)

    def _forget(self, connection: Connection) -> None:
        self.connections.pop(connection.number, None)


def _matches(command: Command, route: Route) -> bool:
    return command.name in (None, route.name) and command.lane in (None, route.lane)


async def serve(routes: list[Route]) -> None:
    """Announce the ports on standard output, and obey standard input until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    proxy = FaultProxy(routes)
    _say({"ok": True, "ports": proxy.start()})
    try:
        while line := await reader.readline():
            _say(await proxy.obey(line))
    finally:
        await proxy.close()


def _say(answer: dict[str, Any]) -> None:
    os.write(1, msgspec.json.encode(answer) + b"\n")


def main(arguments: list[str]) -> int:
    """Run the proxy's process; returns its exit code."""
    if len(arguments) != 3 or arguments[1] != PARENT_OPTION:
        print(f"usage: fault_proxy ROUTES {PARENT_OPTION} PID", file=sys.stderr)
        return Exit.USAGE
    die_with(int(arguments[2]), signal.SIGKILL)
    try:
        asyncio.run(serve(msgspec.json.decode(arguments[0], type=list[Route])))
    except OSError as error:
        print(f"fault_proxy: {error}", file=sys.stderr)
        return Exit.PORT_BUSY
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
