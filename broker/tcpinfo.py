"""What the kernel knows of a connection: its round trip, and what it had to send again. Linux only; else nothing."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Final, NamedTuple

_BYTES: Final = 160
"""Up to the last figure that is read; older kernels give fewer."""
_ROUND_TRIPS: Final = struct.Struct("=II")
_FIGURE: Final = struct.Struct("=I")
_LONG_FIGURE: Final = struct.Struct("=Q")
_QUEUED: Final = struct.Struct("=i")
_RETRIES_AT: Final = 2
_ACKNOWLEDGED_AT: Final = 56
_RTT_AT: Final = 68
_RETRANSMITTED_AT: Final = 100
_CAME_AT: Final = 128
_LEAST_RTT_AT: Final = 148
_SEGMENTS_AT: Final = 156
_LEVEL: Final = socket.IPPROTO_TCP
_OPTION: Final[int | None] = getattr(socket, "TCP_INFO", None)


class Look(NamedTuple):
    """One look at a connection."""

    peer: object
    """The far end's address. A descriptor may be another connection's by now: two looks with one address are at one."""
    rtt_ms: float
    """Smoothed round trip, milliseconds. Where a peer has nothing to send, its kernel's delay of acknowledgements is
    in it: up to 40 ms."""
    deviation_ms: float
    """Mean deviation of the round trip, milliseconds; less than the standard deviation."""
    least_rtt_ms: float
    """The least round trip of the last minutes, milliseconds."""
    segments: int
    """Segments with data that were sent, those sent again included, modulo 2^32."""
    retransmitted: int
    """Segments that were sent again, modulo 2^32."""
    descriptor: int = -1
    """Where it was looked."""


class Signs(NamedTuple):
    """What the far end's kernel does, whatever the process there does."""

    acknowledged_ago_s: float
    """Since it acknowledged something, seconds."""
    is_retrying: bool
    """Whether something is being sent again because it was not acknowledged."""


def look(descriptor: int) -> Look | None:
    """Look at the connection of a descriptor; None where there is nothing to see.

    The address is read after the figures: if it is still that of an earlier look, so were they.
    """
    seen = _see(descriptor)
    return None if seen is None else read(*seen, descriptor)


def signs(last: Look) -> Signs | None:
    """Look once more where `last` was; None if another connection is there by now, or none."""
    seen = _see(last.descriptor)
    if seen is None or seen[1] != last.peer or len(seen[0]) < _BYTES:
        return None
    info, _ = seen
    (acknowledged_ago_ms,) = _FIGURE.unpack_from(info, _ACKNOWLEDGED_AT)
    return Signs(acknowledged_ago_ms / 1e3, info[_RETRIES_AT] > 0)


class Came(NamedTuple):
    """What has come by a connection."""

    far_end: object
    """The far end's address and port."""
    bytes: int
    """All that ever came, what the kernel still has included."""


def came(descriptor: int) -> Came | None:
    """How much has come by the connection of a descriptor; None where there is nothing to see."""
    seen = _see(descriptor)
    if seen is None or len(seen[0]) < _BYTES:
        return None
    (came_bytes,) = _LONG_FIGURE.unpack_from(seen[0], _CAME_AT)
    return Came(seen[1], came_bytes)


def queued_bytes(descriptor: int) -> int:
    """What has come by a connection and is still the kernel's; 0 where there is nothing to see."""
    try:
        (queued,) = _QUEUED.unpack(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(_QUEUED.size)))
    except OSError:
        return 0
    return int(queued)


def _see(descriptor: int) -> tuple[bytes, object] | None:
    """The kernel's figures of a descriptor, and then the far end's address."""
    if _OPTION is None or descriptor < 0:
        return None
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:  # closed meanwhile
        return None
    try:
        info = connection.getsockopt(_LEVEL, _OPTION, _BYTES)
        peer = connection.getpeername()
    except OSError:  # no TCP, or not connected any more
        return None
    finally:
        # It is libzmq's, and stays open.
        connection.detach()
    return info, peer


def read(info: bytes, peer: object, descriptor: int = -1) -> Look | None:
    """The figures in what the kernel gave; None if it gave too few."""
    if len(info) < _BYTES:
        return None
    rtt_us, deviation_us = _ROUND_TRIPS.unpack_from(info, _RTT_AT)
    (retransmitted,) = _FIGURE.unpack_from(info, _RETRANSMITTED_AT)
    (least_us,) = _FIGURE.unpack_from(info, _LEAST_RTT_AT)
    (segments,) = _FIGURE.unpack_from(info, _SEGMENTS_AT)
    if not rtt_us:
        return None  # nothing was measured yet
    return Look(
        peer,
        rtt_us / 1e3,
        deviation_us / 1e3,
        min(least_us, rtt_us) / 1e3,
        segments,
        retransmitted,
        descriptor,
    )
