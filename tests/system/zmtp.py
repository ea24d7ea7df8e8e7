"""A connection that speaks ZMTP by itself: it may send what no library lets it."""

from __future__ import annotations

import socket
from types import TracebackType
from urllib.parse import urlsplit

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
_MORE = 1
_LONG = 2
_COMMAND = 4


def frame(body: bytes, *, flags: int = 0) -> bytes:
    """A frame as it travels."""
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | _LONG]) + len(body).to_bytes(8, "big") + body


def unfinished(body: bytes) -> bytes:
    """A frame that says that more of its message will follow."""
    return frame(body, flags=_MORE)


HANDSHAKE = _GREETING + frame(_READY, flags=_COMMAND)
"""What the end that dials says first."""


class Raw:
    """One connection, past the handshake.

    Raises:
        OSError: nobody accepts it, or it was ended.
    """

    def __init__(self, address: str, timeout_s: float = 10.0) -> None:
        parts = urlsplit(address)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout_s)
        try:
            self.socket.sendall(_GREETING)
            self._exactly(len(_GREETING))
            self.socket.sendall(frame(_READY, flags=_COMMAND))
            self._read()
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Raw:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, body: bytes) -> None:
        """A message of one frame."""
        self.socket.sendall(frame(body))

    def recv(self) -> bytes:
        """The next frame that is no command."""
        while True:
            flags, body = self._read()
            if not flags & _COMMAND:
                return body

    def has_ended(self) -> bool:
        """Whether the far end has ended it; waits until it has, or the time is over."""
        try:
            while self.socket.recv(65_536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def _read(self) -> tuple[int, bytes]:
        flags = self._exactly(1)[0]
        size = int.from_bytes(self._exactly(8 if flags & _LONG else 1), "big")
        return flags, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = self.socket.recv(size - len(found))
            if not piece:
                raise ConnectionError("the far end has ended the connection")
            found += piece
        return found
