"""The fixed binary header in front of every body: 24 bytes, network order."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane

MAGIC: Final = b"\xb5L"
VERSION: Final = 1
"""The protocol version that this code speaks."""

HEADER: Final = struct.Struct("!2sBBBBHIIII")
"""magic, version, kind, flags, lane, count, incarnation, number, ack, raw_bytes."""
HEADER_BYTES: Final = HEADER.size
KIND_AT: Final = 3
"""Where the kind is."""

FLAG_LZ4: Final = 0x01
"""The body is one lz4 block; `raw_bytes` is its size before compression."""
FLAG_TARGETED: Final = 0x02
"""Every event of the batch is preceded by the list of the attachment's session indexes that it is for; batches only."""
FLAG_REPLAY: Final = 0x04
"""A peer sent every event of the batch before, to a broker that may have accepted it and knows nothing of it now;
batches only."""
FLAG_LINKED: Final = 0x08
"""The lz4 block refers to earlier batches of its link, see `lanebus.wire.history`; batches only, with `FLAG_LZ4`."""
KNOWN_FLAGS: Final = FLAG_LZ4 | FLAG_TARGETED | FLAG_REPLAY | FLAG_LINKED

LAST_BATCH: Final = (1 << 32) - 1
"""The highest number of a batch on its link."""
NUMBERS_USED_UP: Final = LAST_BATCH - (1 << 24)
"""Whoever has numbered so many batches on a link ends it, long before the numbers do: a fresh link begins at 1."""
MAX_INCARNATION: Final = (1 << 32) - 1

_KINDS: Final[dict[int, Kind]] = {kind.value: kind for kind in Kind}


class Header(NamedTuple):
    """A decoded header."""

    kind: Kind
    flags: int
    lane: Lane
    event_count: int
    """Events in a batch; 0 elsewhere."""
    incarnation: int
    """Which connection of the attachment this frame belongs to; chosen by the peer, greater at each attempt; after
    `MAX_INCARNATION` it begins at 1 again."""
    number: int
    """The batch's number on its link, from 1; 0 elsewhere."""
    ack: int
    """Highest batch number received in order on this link in the other direction."""
    raw_bytes: int
    """Size of the body before compression."""


def encode_header(
    kind: Kind,
    lane: Lane,
    raw_bytes: int,
    *,
    incarnation: int,
    flags: int = 0,
    count: int = 0,
    number: int = 0,
    ack: int = 0,
) -> bytes:
    """The 24 bytes in front of a body of `raw_bytes` (before compression)."""
    return HEADER.pack(MAGIC, VERSION, kind, flags, lane, count, incarnation, number, ack, raw_bytes)


def decode_header(frame: bytes, *, max_raw_bytes: int) -> Header:
    """Read and check the header of `frame`.

    Args:
        max_raw_bytes: largest body before compression that the reader accepts.

    Raises:
        ProtocolError: the frame is short, foreign, of another version, or claims more than allowed.
    """
    if len(frame) < HEADER_BYTES:
        raise ProtocolError(
            ErrorNumber.SHORT_FRAME, f"{len(frame)} bytes, the header alone has {HEADER_BYTES}"
        )
    magic, version, kind_number, flags, lane, count, incarnation, number, ack, raw_bytes = HEADER.unpack_from(
        frame
    )
    if magic != MAGIC:
        raise ProtocolError(ErrorNumber.BAD_MAGIC, f"starts with {magic.hex()}, not {MAGIC.hex()}")
    if version != VERSION:
        raise ProtocolError(
            ErrorNumber.UNKNOWN_VERSION, f"version {version}; version {VERSION} is spoken here"
        )
    kind = _KINDS.get(kind_number)
    if kind is None:
        raise ProtocolError(ErrorNumber.UNKNOWN_KIND, f"kind {kind_number}")
    if flags and not _are_legal(flags, kind):
        raise ProtocolError(ErrorNumber.UNKNOWN_FLAGS, f"flags {flags:#04x}")
    if lane >= len(LANES):
        raise ProtocolError(ErrorNumber.WRONG_LANE, f"lane {lane}")
    if raw_bytes > max_raw_bytes:
        raise ProtocolError(
            ErrorNumber.FRAME_TOO_LARGE, f"body of {raw_bytes} bytes, at most {max_raw_bytes} allowed"
        )
    return Header(kind, flags, LANES[lane], count, incarnation, number, ack, raw_bytes)


def _are_legal(flags: int, kind: Kind) -> bool:
    if flags & ~(KNOWN_FLAGS if kind is Kind.BATCH else FLAG_LZ4):
        return False
    return not flags & FLAG_LINKED or bool(flags & FLAG_LZ4)
