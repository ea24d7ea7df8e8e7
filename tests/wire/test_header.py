"""The header: 24 bytes, checked field by field before anything behind them is looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.samples import unless_refused

from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import (
    FLAG_LINKED,
    FLAG_LZ4,
    FLAG_TARGETED,
    HEADER,
    HEADER_BYTES,
    KNOWN_FLAGS,
    LAST_BATCH,
    MAGIC,
    MAX_INCARNATION,
    NUMBERS_USED_UP,
    VERSION,
    decode_header,
    encode_header,
)
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane

MAX_RAW_BYTES = 1000

numbers = st.integers(0, (1 << 32) - 1)


def frame(
    *,
    magic: bytes = MAGIC,
    version: int = VERSION,
    kind: int = Kind.BATCH,
    flags: int = 0,
    lane: int = 0,
    raw_bytes: int = 0,
) -> bytes:
    return HEADER.pack(magic, version, kind, flags, lane, 0, 1, 1, 0, raw_bytes)


@given(
    st.sampled_from(Kind),
    st.sampled_from(LANES),
    st.integers(0, MAX_RAW_BYTES),
    st.integers(0, 0xFFFF),
    numbers,
    numbers,
    numbers,
    st.sampled_from([0, FLAG_LZ4]),
)
def test_what_was_encoded_is_decoded(
    kind: Kind,
    lane: Lane,
    raw_bytes: int,
    count: int,
    incarnation: int,
    number: int,
    ack: int,
    flags: int,
) -> None:
    encoded = encode_header(
        kind, lane, raw_bytes, incarnation=incarnation, flags=flags, count=count, number=number, ack=ack
    )
    assert len(encoded) == HEADER_BYTES == 24
    decoded = decode_header(encoded + b"body", max_raw_bytes=MAX_RAW_BYTES)
    assert decoded == (kind, flags, lane, count, incarnation, number, ack, raw_bytes)


def test_fields_stand_in_network_order() -> None:
    encoded = encode_header(
        Kind.BATCH,
        Lane.LOW,
        0x01020304,
        incarnation=0x11121314,
        flags=FLAG_LZ4,
        count=0x2122,
        number=0x31323334,
        ack=0x41424344,
    )
    assert encoded.hex(" ") == "b5 4c 01 03 01 02 21 22 11 12 13 14 31 32 33 34 41 42 43 44 01 02 03 04"


def test_the_greatest_numbers_fit() -> None:
    encoded = encode_header(
        Kind.BATCH, Lane.LOW, 0, incarnation=MAX_INCARNATION, number=LAST_BATCH, ack=LAST_BATCH
    )
    header = decode_header(encoded, max_raw_bytes=0)
    assert (header.incarnation, header.number, header.ack) == (MAX_INCARNATION, LAST_BATCH, LAST_BATCH)
    assert LAST_BATCH - NUMBERS_USED_UP > 1_000_000  # there is time to end a link in good order


@pytest.mark.parametrize(
    ("bad", "number"),
    [
        (b"", ErrorNumber.SHORT_FRAME),
        (MAGIC, ErrorNumber.SHORT_FRAME),
        (frame()[:-1], ErrorNumber.SHORT_FRAME),
        (frame(magic=b"GE"), ErrorNumber.BAD_MAGIC),
        (b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n", ErrorNumber.BAD_MAGIC),
        (frame(version=0), ErrorNumber.UNKNOWN_VERSION),
        (frame(version=VERSION + 1), ErrorNumber.UNKNOWN_VERSION),
        (frame(kind=0), ErrorNumber.UNKNOWN_KIND),
        (frame(kind=max(Kind) + 1), ErrorNumber.UNKNOWN_KIND),
        (frame(kind=255), ErrorNumber.UNKNOWN_KIND),
        (frame(flags=KNOWN_FLAGS + 1), ErrorNumber.UNKNOWN_FLAGS),
        (frame(flags=255), ErrorNumber.UNKNOWN_FLAGS),
        (frame(kind=Kind.SETTLE, flags=FLAG_TARGETED), ErrorNumber.UNKNOWN_FLAGS),
        (frame(kind=Kind.SETTLE, flags=FLAG_LZ4 | FLAG_LINKED), ErrorNumber.UNKNOWN_FLAGS),
        (frame(flags=FLAG_LINKED), ErrorNumber.UNKNOWN_FLAGS),
        (frame(lane=3), ErrorNumber.WRONG_LANE),
        (frame(lane=255), ErrorNumber.WRONG_LANE),
        (frame(raw_bytes=MAX_RAW_BYTES + 1), ErrorNumber.FRAME_TOO_LARGE),
        (frame(raw_bytes=(1 << 32) - 1), ErrorNumber.FRAME_TOO_LARGE),
    ],
)
def test_every_field_out_of_range_has_its_error(bad: bytes, number: ErrorNumber) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_header(bad, max_raw_bytes=MAX_RAW_BYTES)
    assert raised.value.number is number


def test_what_is_foreign_is_said_before_what_is_wrong() -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_header(frame(version=9, kind=99, flags=99, lane=99), max_raw_bytes=0)
    assert raised.value.number is ErrorNumber.UNKNOWN_VERSION


@pytest.mark.parametrize("kind", Kind)
def test_any_body_may_be_compressed_and_only_batches_targeted(kind: Kind) -> None:
    assert decode_header(frame(kind=kind, flags=FLAG_LZ4), max_raw_bytes=0).flags == FLAG_LZ4
    if kind is Kind.BATCH:
        assert decode_header(frame(flags=KNOWN_FLAGS), max_raw_bytes=0).flags == KNOWN_FLAGS


@given(st.binary(max_size=40))
def test_any_bytes_are_a_header_or_a_protocol_error(data: bytes) -> None:
    with unless_refused():
        assert decode_header(data, max_raw_bytes=MAX_RAW_BYTES).raw_bytes <= MAX_RAW_BYTES


@given(st.binary(min_size=18, max_size=40))
def test_any_bytes_behind_a_right_beginning_are_a_header_or_a_protocol_error(data: bytes) -> None:
    beginning = MAGIC + bytes([VERSION, Kind.BATCH, 0, 0])
    assert decode_header(beginning + data, max_raw_bytes=(1 << 32) - 1).lane is Lane.CRITICAL
    with unless_refused(ErrorNumber.FRAME_TOO_LARGE):
        assert decode_header(beginning + data, max_raw_bytes=MAX_RAW_BYTES).raw_bytes <= MAX_RAW_BYTES
