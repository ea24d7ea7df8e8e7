"""Batches: how events travel, from a sender to the broker and from the broker to a receiver.

The broker decodes an event once, encodes what its receivers get once, and shares those bytes between all of them: the
payload stays opaque bytes all the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from lanebus.wire.bodies import compress, decode_body, encoder
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_REPLAY, FLAG_TARGETED, HEADER_BYTES, Header, encode_header
from lanebus.wire.history import History
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane

MAX_BATCH_EVENTS: Final = 4096
"""Events in one batch, at the most; checked before an event is decoded."""
TICKS_PER_S: Final = 10_000
"""Stamps and held times count ticks of 100 us."""
STAMP_MODULUS: Final = 1 << 32
"""Stamps wrap after 4.9 days; only their differences mean something."""

EVENT_REDELIVERED: Final = 0x01
"""Event flag: this receiver's name may have been given the event before."""
EVENT_AFTER_GAP: Final = 0x02
"""Event flag: earlier events of this sender on this lane were dropped for this receiver."""
EVENT_REPLAYED: Final = 0x04
"""Event flag: another broker, or another session, may have accepted it before. A receiver that has been given a later
event of this sender on this lane had it then, or was not to have it."""

EVENT_PRESENT: Final = 0x08
"""Event flag: it is for the process that its receiver has when it is accepted, and for no later one. On a question: who
has not seen it answers `unknown: process_ended`."""
EVENT_AGAIN: Final = 0x10
"""Event flag, to the broker: an earlier link or broker may have passed it on; only its receivers may end it."""
EVENT_VOLATILE: Final = 0x20
"""Event flag: it is sent once. On a question: who has not seen it answers `dropped: link_lost`."""
EVENT_LATEST: Final = 0x40
"""Event flag: a newer value of its key takes its place. On a question: unseen is `superseded: newer_value`."""
EVENT_QUESTION: Final = 0x80
"""Event flag: it comes without its payload, and asks how it ended; unseen is `expired: too_late`."""
UP_FLAGS: Final = EVENT_PRESENT | EVENT_AGAIN | EVENT_VOLATILE | EVENT_LATEST | EVENT_QUESTION
"""The flags that a sender may give."""
MAX_KEY_CHARACTERS: Final = 128
"""Longest key of a latest value."""
MAX_EXCLUDED: Final = 1024
"""Names that one event may leave out."""
MAX_SPREAD: Final = 1 << 20
"""How far a sender's numbers may go past its lowest unsettled one."""

MAX_UNSIGNED: Final = (1 << 53) - 1
"""Largest number in a body: every language has it exactly, and sums of a few of them still fit 64 bits."""

Unsigned = Annotated[int, Meta(ge=0, le=MAX_UNSIGNED)]
Positive = Annotated[int, Meta(ge=1, le=MAX_UNSIGNED)]
Stamp = Annotated[int, Meta(ge=0, lt=STAMP_MODULUS)]
Key = Annotated[str, Meta(max_length=MAX_KEY_CHARACTERS)]


class UpEvent(Struct, array_like=True, gc=False, forbid_unknown_fields=True, frozen=True):
    """An event on its way from its sender to the broker."""

    session: Unsigned
    """Index of the sending session in its attachment; 0 where the attachment speaks for one peer."""
    number: Positive
    """The sender's number for it on this lane, from 1, never used again."""
    stamp: Stamp
    """When `send` was called: ticks of the broker's clock, modulo 2**32."""
    topic: str
    to: str | list[str] | None
    """Where to; none from a client that leaves the choice to the broker."""
    payload: bytes
    """Opaque to the broker."""
    exclude: Annotated[list[str], Meta(max_length=MAX_EXCLUDED)] = []
    """Peers left out of a group or list."""
    flags: Unsigned = 0
    ttl: Stamp = 0
    """Ticks after its stamp when it is of no use any more; 0 for never."""
    key: Key = ""
    """What a latest value is the value of."""


class UpBatch(Struct, array_like=True, gc=False, forbid_unknown_fields=True, frozen=True):
    """The body of a batch from a peer."""

    held: Stamp
    """How long its oldest event was held before it left, ticks. The broker adds its own share to it."""
    after: Unsigned
    """The last request that these events depend on; the batch waits until the broker has carried it out."""
    bases: Annotated[list[tuple[Unsigned, Unsigned]], Meta(max_length=MAX_BATCH_EVENTS)]
    """For each session with events here: its index and its lowest unsettled number on this lane."""
    events: Annotated[list[UpEvent], Meta(min_length=1, max_length=MAX_BATCH_EVENTS)]


class Source(Struct, array_like=True, gc=False, forbid_unknown_fields=True, frozen=True):
    """One of the senders whose events are in a batch to a receiver."""

    origin: Unsigned
    """The broker's number for the sending session."""
    base: Unsigned
    """The sender's lowest unsettled number on this lane, as far as the broker knows."""
    name: str = ""
    """The sender; stated once per link and origin."""
    process: bytes = b""
    """The sender's process, 16 random bytes; stated with the name."""


class DownEvent(Struct, array_like=True, gc=False, forbid_unknown_fields=True, frozen=True):
    """An event on its way from the broker to a receiver."""

    origin: Unsigned
    number: Positive
    stamp: Stamp
    flags: Unsigned
    topic: str
    payload: bytes
    ttl: Stamp = 0
    """As its sender gave it."""


Sources = Annotated[list[Source], Meta(max_length=MAX_BATCH_EVENTS)]
Targets = list[Unsigned]


class DownBatch(Struct, array_like=True, gc=False, forbid_unknown_fields=True, frozen=True):
    """The body of a batch to an attachment that speaks for one peer."""

    held: Unsigned
    """How long its oldest event was held on both hops, ticks."""
    sources: Sources
    events: Annotated[list[DownEvent], Meta(min_length=1, max_length=MAX_BATCH_EVENTS)]


class TargetedBatch(Struct, array_like=True, gc=False, forbid_unknown_fields=True, frozen=True):
    """The body of a batch to a gateway: each event with the indexes of the sessions that it is for."""

    held: Unsigned
    sources: Sources
    events: Annotated[list[tuple[Targets, DownEvent]], Meta(min_length=1, max_length=MAX_BATCH_EVENTS)]


_up_decoder: Final = msgspec.msgpack.Decoder(UpBatch)
_down_decoder: Final = msgspec.msgpack.Decoder(DownBatch)
_targeted_decoder: Final = msgspec.msgpack.Decoder(TargetedBatch)


class EncodedBatch(Struct, frozen=True, gc=False):
    """A batch ready to be sent, with what it would have cost without batching."""

    frame: bytes
    unbatched_bytes: int
    """Bytes of the same events in one uncompressed message each."""
    raw: bytes
    """The body before compression."""


def encode_batch(
    lane: Lane,
    preamble: Sequence[Any],
    events: Sequence[Any],
    *,
    incarnation: int,
    number: int,
    ack: int,
    threshold_bytes: int,
    flags: int = 0,
    history: History | None = None,
) -> EncodedBatch:
    """Encode one batch.

    Args:
        preamble: the fields of the body in front of its events.
        events: anything that encodes as the body's events, tuples of fields for example.
        threshold_bytes: smallest body that is compressed; 0 for none.
        flags: `FLAG_TARGETED` or `FLAG_REPLAY`.
        history: of the link that the batch is about to leave on, where its batches are linked.
    """
    joined = encoder.encode(events)
    return _batch(
        lane, preamble, joined, len(events), incarnation, number, ack, threshold_bytes, flags, history
    )


def join_batch(
    lane: Lane,
    preamble: Sequence[Any],
    events: Sequence[bytes],
    *,
    incarnation: int,
    number: int,
    ack: int,
    threshold_bytes: int,
    flags: int = 0,
    history: History | None = None,
) -> EncodedBatch:
    """As `encode_batch`, of events that are encoded already."""
    count = len(events)
    joined = array_head(count) + b"".join(events)
    return _batch(lane, preamble, joined, count, incarnation, number, ack, threshold_bytes, flags, history)


def targeted_event(indexes: Targets, event: bytes) -> bytes:
    """An encoded event with the indexes of the sessions that it is for."""
    return b"\x92" + encoder.encode(indexes) + event


def array_head(count: int) -> bytes:
    """What MessagePack writes in front of an array of `count` values, at most 65,535."""
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def _batch(
    lane: Lane,
    preamble: Sequence[Any],
    events: bytes,
    count: int,
    incarnation: int,
    number: int,
    ack: int,
    threshold_bytes: int,
    flags: int,
    history: History | None,
) -> EncodedBatch:
    # The body without events ends with an empty array: one byte, in whose place theirs goes.
    head = encoder.encode((*preamble, ()))
    raw = head[:-1] + events
    if history is None:
        body, compressed = compress(raw, threshold_bytes)
    else:
        body, compressed = history.compress(raw, threshold_bytes)
    header = encode_header(
        Kind.BATCH,
        lane,
        len(raw),
        incarnation=incarnation,
        flags=flags | compressed,
        count=count,
        number=number,
        ack=ack,
    )
    # Each would have had a header, and the body around it, of its own; an array of one has a head of one byte.
    unbatched = len(events) - len(array_head(count)) + count * (HEADER_BYTES + len(head))
    return EncodedBatch(header + body, unbatched, raw)


def decode_up(header: Header, raw: bytes) -> UpBatch:
    """The batch in a body from a peer.

    Raises:
        ProtocolError: it is malformed, or its count is not the header's.
    """
    if header.flags & FLAG_TARGETED:
        raise ProtocolError(ErrorNumber.UNKNOWN_FLAGS, "only the broker targets sessions")
    batch = decode_body(_up_decoder, raw)
    _check_count(header, len(batch.events))
    if len(batch.bases) > 1:
        _check_once([index for index, _ in batch.bases], "session")
    return batch


def decode_down(header: Header, raw: bytes) -> DownBatch | TargetedBatch:
    """The batch in a body from the broker.

    Raises:
        ProtocolError: it is malformed, or its count is not the header's.
    """
    batch: DownBatch | TargetedBatch
    if header.flags & FLAG_REPLAY:
        raise ProtocolError(ErrorNumber.UNKNOWN_FLAGS, "only a peer replays")
    if header.flags & FLAG_TARGETED:
        batch = decode_body(_targeted_decoder, raw)
    else:
        batch = decode_body(_down_decoder, raw)
    _check_count(header, len(batch.events))
    if len(batch.sources) > 1:
        _check_once([source.origin for source in batch.sources], "sender")
    return batch


def _check_once(numbers: list[int], what: str) -> None:
    """Each base costs as much as is held of its sender, and is said once."""
    if len(set(numbers)) < len(numbers):
        raise ProtocolError(ErrorNumber.BAD_BODY, f"a batch states the base of a {what} twice")


def _check_count(header: Header, count: int) -> None:
    if count != header.event_count:
        raise ProtocolError(
            ErrorNumber.BAD_BODY, f"{count} events in the batch, the header says {header.event_count}"
        )


def ticks(seconds: float) -> int:
    """`seconds` in whole ticks, never negative, and at most what a stamp holds: longer is as good as for ever."""
    return min(max(0, int(seconds * TICKS_PER_S)), STAMP_MODULUS - 1)


def stamp_of(clock_s: float) -> int:
    """The stamp for an instant of the broker's clock, in seconds since the broker's start."""
    return int(clock_s * TICKS_PER_S) % STAMP_MODULUS


def age_s(stamp: int, clock_s: float) -> float:
    """Seconds from `stamp` to `clock_s` of the broker's clock; negative when clocks disagree by more than the age."""
    difference = (int(clock_s * TICKS_PER_S) - stamp) % STAMP_MODULUS
    if difference >= STAMP_MODULUS // 2:
        difference -= STAMP_MODULUS
    return difference / TICKS_PER_S
