"""Linked compression: a batch refers to what the batches before it on the same link have said.

Batches of one link and lane arrive in order and without gaps, and resemble each other: topics, keys, values. So both
ends keep the tail of their bodies, and each batch is compressed with that tail as dictionary. Small batches gain most:
alone they have little to refer to.
"""

from __future__ import annotations

from typing import Final

from lanebus.wire.bodies import compress, open_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_LINKED, Header

LZ4: Final = "lz4"
"""What a hello calls lz4 of single bodies."""
LZ4_LINKED: Final = "lz4-linked"
"""What a hello calls linked batches; it counts beside `LZ4` only."""

HISTORY_BYTES: Final = 2048
"""How much of the latest bodies both ends keep. Loading it is most of what linking costs. On recorded matches, with
bodies from 64 bytes on, 1 KiB saves 59.9 % of the bytes, 2 KiB 62.6 %, 4 KiB 63.7 %."""


class History:
    """What the batches of one link have said in one direction, as far as the next one may refer to it.

    Each end of a link has one for each direction. It begins empty on a fresh link, and every batch goes into it in the
    order of the numbers, whether it travels compressed or not.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def compress(self, raw: bytes, threshold_bytes: int) -> tuple[bytes, int]:
        """The body to send for `raw`, and the header flags that say how it was made; `raw` becomes history.

        Args:
            threshold_bytes: smallest body worth a try; 0 switches compression off.
        """
        body, flags = compress(raw, threshold_bytes, self._tail)
        self._add(raw)
        return body, flags

    def open(self, frame: bytes, header: Header) -> bytes:
        """The body of a batch as it was before compression; it becomes history.

        Raises:
            ProtocolError: its size is not what the header says, or it does not decompress to it.
        """
        raw = open_body(frame, header, self._tail)
        self._add(raw)
        return raw

    def look(self, frame: bytes, header: Header) -> bytes:
        """As `open`, for those who look at a batch before its reader does: it does not become history.

        Raises:
            ProtocolError: as `open`.
        """
        return open_body(frame, header, self._tail)

    def _add(self, raw: bytes) -> None:
        self._tail = (raw if len(raw) >= HISTORY_BYTES else self._tail + raw)[-HISTORY_BYTES:]


def open_batch(frame: bytes, header: Header, history: History | None) -> bytes:
    """The body of a batch as it was before compression.

    Args:
        history: of the link and direction; None where batches are not linked.

    Raises:
        ProtocolError: its size is not what the header says, or it does not decompress to it; or it refers to a
            history that there is none of.
    """
    if history is not None:
        return history.open(frame, header)
    if header.flags & FLAG_LINKED:
        raise ProtocolError(ErrorNumber.UNKNOWN_FLAGS, "batches of this link are not linked")
    return open_body(frame, header)
