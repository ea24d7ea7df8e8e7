"""Frames as the broker sends them, for what goes on before and beside its own good behaviour."""

from typing import Any

from lanebus.wire.batches import encode_batch
from lanebus.wire.bodies import encode_body
from lanebus.wire.header import FLAG_TARGETED, Header, decode_header, encode_header
from lanebus.wire.history import History
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Limits, Welcome

Row = tuple[int, int, int, int, str, bytes]


def row(origin: int, number: int, *, topic: str = "t", payload: bytes = b"\x01", flags: int = 0) -> Row:
    """One event of a batch."""
    return (origin, number, 0, flags, topic, payload)


def batch(
    number: int,
    sources: list[tuple[Any, ...]],
    events: list[Any],
    *,
    lane: Lane = Lane.NORMAL,
    targeted: bool = False,
    incarnation: int = 1,
    ack: int = 0,
    history: History | None = None,
) -> bytes:
    """A batch. Sources are origin and base, and where they are new name and process.

    Args:
        history: of the link; the batch is compressed then, if that makes it smaller.
    """
    return encode_batch(
        lane,
        (0, sources),
        events,
        incarnation=incarnation,
        number=number,
        ack=ack,
        threshold_bytes=0 if history is None else 64,
        flags=FLAG_TARGETED if targeted else 0,
        history=history,
    ).frame


def frame(
    kind: Kind, message: Any, *, lane: Lane = Lane.CRITICAL, incarnation: int = 1, ack: int = 0
) -> bytes:
    """Any other message."""
    body = encode_body(message)
    return encode_header(kind, lane, len(body), incarnation=incarnation, ack=ack) + body


def header_of(sent: bytes) -> Header:
    """The header of a frame."""
    return decode_header(sent, max_raw_bytes=1 << 22)


def welcome(*, resumed: bool = False, epoch: bytes = b"epoch", **changes: Any) -> Welcome:
    """A welcome with the usual figures."""
    figures: dict[str, Any] = {
        "version": 1,
        "broker": "test",
        "epoch": epoch,
        "token": b"token",
        "resumed": resumed,
        "generation": 1,
        "host": "",
        "ports": [1, 2, 3],
        "clock": 0,
        "intervals_ms": [16.0, 50.0, 200.0],
        "holds_ms": [12.0, 45.0, 190.0],
        "window_batches": 64,
        "window_bytes": 1 << 22,
        "batch_bytes": 32_768,
        "credit_bytes": 1 << 20,
        "control_interval_ms": 200.0,
        "ping_interval_ms": 2000.0,
        "failover_ms": 2_000.0,
        "lease_ms": 10_000.0,
        "compression_threshold_bytes": 256,
        "limits": Limits(),
    }
    return Welcome(**(figures | changes))
