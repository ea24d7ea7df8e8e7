"""One direction of one proxied connection: bytes taken from one socket and given to another, with toxics on the way."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from random import Random
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

CHUNK_BYTES: Final = 65_536
MAX_HELD_BYTES: Final = 1 << 20
"""Bytes held for one direction; past them nothing is read, as if the other end's window were full."""
_PACE_S: Final = 0.02
"""Under a bandwidth limit: time that one piece stands for."""


class Toxics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to the bytes of one direction; the defaults do nothing."""

    latency_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.0
    """Delay of every byte, seconds."""
    jitter_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.0
    """Up to this much more delay, drawn for each piece, seconds; the order stays."""
    bytes_per_s: Annotated[float, Meta(ge=0.0)] = 0.0
    """The most that passes; 0 for no limit."""
    slice_bytes: Annotated[int, Meta(ge=0)] = 0
    """Size of each write; 0 for as much as there is."""
    slice_pause_s: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    """Time between two such writes, seconds."""
    freeze: bool = False
    """Nothing passes, the end of the connection neither; it all passes later."""
    swallow: bool = False
    """Bytes vanish. A connection that has lost some swallows for the rest of its life."""

    def changed(self, changes: dict[str, Any]) -> Toxics:
        """The same with other values for some fields.

        Raises:
            msgspec.ValidationError: there is no such field, or its value is out of bounds.
        """
        return msgspec.convert({**msgspec.to_builtins(self), **changes}, Toxics)


class Pipe:
    """Carries bytes from `source` to `target` until `source` ends, as `toxics` demands; they can be exchanged."""

    def __init__(self, source: socket.socket, target: socket.socket, toxics: Toxics, jitter: Random) -> None:
        self.passed_bytes = 0
        self.swallowed_bytes = 0
        self._source = source
        self._target = target
        self._toxics = toxics
        self._jitter = jitter
        self._held: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._last_due_s = 0.0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def toxics(self) -> Toxics:
        """What is done to the bytes from now on, those that are held included."""
        return self._toxics

    @toxics.setter
    def toxics(self, value: Toxics) -> None:
        self._toxics = value
        self._changed.set()

    async def run(self) -> None:
        """Carry until the source has ended and all that it said has passed.

        Raises:
            OSError: either socket failed.
        """
        reading = asyncio.ensure_future(self._read())
        writing = asyncio.ensure_future(self._write())
        try:
            # A failed read ends the pipe at once, as a reset does; what was held is gone with it.
            done, _ = await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_EXCEPTION)
            for each in done:
                each.result()
        finally:
            for each in (reading, writing):
                each.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._thawed()
            while self._held_bytes >= MAX_HELD_BYTES:
                self._room.clear()
                await self._room.wait()
            data = await loop.sock_recv(self._source, CHUNK_BYTES)
            toxics = self._toxics
            due_s = loop.time() + toxics.latency_s + self._jitter.random() * toxics.jitter_s
            self._last_due_s = max(self._last_due_s, due_s)
            self._held.append((self._last_due_s, data))
            self._held_bytes += len(data)
            self._arrived.set()
            if not data:
                return

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._held:
                self._arrived.clear()
                await self._arrived.wait()
            due_s, data = self._held.popleft()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await self._thawed()
            if not data:
                return
            await self._put(data)
            self._held_bytes -= len(data)
            self._room.set()

    async def _put(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        at = 0
        while at < len(data):
            await self._thawed()
            toxics = self._toxics
            size = toxics.slice_bytes or len(data)
            if toxics.bytes_per_s:
                size = min(size, max(1, int(toxics.bytes_per_s * _PACE_S)))
            piece = data[at : at + size]
            at += len(piece)
            if toxics.swallow or self.swallowed_bytes:
                self.swallowed_bytes += len(piece)
                continue
            await loop.sock_sendall(self._target, piece)
            self.passed_bytes += len(piece)
            pause_s = toxics.slice_pause_s if toxics.slice_bytes else 0.0
            if toxics.bytes_per_s:
                pause_s = max(pause_s, len(piece) / toxics.bytes_per_s)
            if pause_s:
                await asyncio.sleep(pause_s)

    async def _thawed(self) -> None:
        while self._toxics.freeze:
            self._changed.clear()
            await self._changed.wait()
