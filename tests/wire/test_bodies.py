"""Bodies: compression that pays or does not happen, and nothing but protocol errors out of foreign bytes."""

import lz4.block
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cost import cost_of
from tests.wire.samples import unless_refused

from lanebus.wire.bodies import (
    COMPRESSION_THRESHOLD_BYTES,
    compress,
    decode_body,
    encode_body,
    open_body,
)
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_LZ4, decode_header, encode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane

MAX_RAW_BYTES = 1 << 22

json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab"), inner, max_size=4),
    max_leaves=10,
)


def opened(body: bytes, raw_bytes: int, flags: int) -> bytes:
    frame = encode_header(Kind.BATCH, Lane.LOW, raw_bytes, incarnation=1, flags=flags) + body
    return open_body(frame, decode_header(frame, max_raw_bytes=MAX_RAW_BYTES))


def packed(raw: bytes) -> bytes:
    block: bytes = lz4.block.compress(raw, store_size=False)
    return block


@given(st.binary(max_size=600), st.integers(0, 600))
def test_a_body_comes_out_as_it_went_in(raw: bytes, threshold_bytes: int) -> None:
    body, flags = compress(raw, threshold_bytes)
    assert opened(body, len(raw), flags) == raw
    assert len(body) <= len(raw)
    assert bool(flags & FLAG_LZ4) is (len(body) < len(raw))


def test_a_body_below_the_threshold_travels_as_it_is() -> None:
    raw = b"a" * (COMPRESSION_THRESHOLD_BYTES - 1)
    assert compress(raw, COMPRESSION_THRESHOLD_BYTES) == (raw, 0)
    assert compress(raw + b"a", COMPRESSION_THRESHOLD_BYTES)[1] == FLAG_LZ4


def test_a_threshold_of_0_switches_compression_off() -> None:
    raw = b"a" * 10_000
    assert compress(raw, 0) == (raw, 0)


def test_a_body_that_does_not_shrink_travels_as_it_is() -> None:
    raw = bytes(range(256))
    assert compress(raw, 1) == (raw, 0)


@pytest.mark.parametrize(("body", "raw_bytes"), [(b"abc", 2), (b"abc", 4), (b"", 1), (b"a", 0)])
def test_a_plain_body_has_the_size_that_the_header_says(body: bytes, raw_bytes: int) -> None:
    with pytest.raises(ProtocolError, match=f"body of {len(body)} bytes") as raised:
        opened(body, raw_bytes, 0)
    assert raised.value.number is ErrorNumber.BAD_BODY


@pytest.mark.parametrize(
    ("body", "raw_bytes"),
    [
        pytest.param(packed(b"a" * 10_000), 100, id="expands past the declared size"),
        pytest.param(packed(b"a" * MAX_RAW_BYTES), 1, id="expands far past the declared size"),
        pytest.param(packed(b"a" * 100), 101, id="yields one byte less"),
        pytest.param(packed(b"a" * 100), MAX_RAW_BYTES, id="yields much less"),
        pytest.param(packed(b"a" * 100), 0, id="declares nothing"),
        pytest.param(packed(b"a" * 100)[:-1], 100, id="cut short"),
        pytest.param(packed(b"a" * 100) + b"\x00", 100, id="goes on after its end"),
        pytest.param(b"", 0, id="no block"),
        pytest.param(b"", 10, id="no block of a size"),
        pytest.param(b"\xff" * 1000, MAX_RAW_BYTES, id="no block but noise"),
        pytest.param(b"\x1fa\x00\x00" + b"\xff" * 1000, MAX_RAW_BYTES, id="an offset of 0"),
    ],
)
def test_a_block_that_does_not_yield_its_declared_size_is_refused(body: bytes, raw_bytes: int) -> None:
    with pytest.raises(ProtocolError) as raised:
        opened(body, raw_bytes, FLAG_LZ4)
    assert raised.value.number is ErrorNumber.BAD_COMPRESSION


@pytest.mark.parametrize("size_bytes", [1, 10, 1000])
def test_a_block_takes_no_more_memory_than_one_of_its_size_can_hold(size_bytes: int) -> None:
    def refused() -> None:
        with pytest.raises(ProtocolError):
            opened(b"\xff" * size_bytes, MAX_RAW_BYTES, FLAG_LZ4)

    refused()
    assert cost_of(refused).bytes < 20_000 + 300 * size_bytes


@pytest.mark.parametrize("dictionary", [b"", bytes(2048)], ids=["alone", "linked"])
@pytest.mark.parametrize("raw_bytes", [64, 300, 2048, 100_000, MAX_RAW_BYTES])
def test_what_compresses_best_is_read(raw_bytes: int, dictionary: bytes) -> None:
    body, flags = compress(bytes(raw_bytes), 64, dictionary)
    frame = encode_header(Kind.BATCH, Lane.LOW, raw_bytes, incarnation=1, flags=flags) + body
    header = decode_header(frame, max_raw_bytes=MAX_RAW_BYTES)
    assert open_body(frame, header, dictionary) == bytes(raw_bytes)


@given(st.binary(max_size=300), st.integers(0, 10_000))
def test_any_block_yields_its_declared_size_or_a_protocol_error(body: bytes, raw_bytes: int) -> None:
    with unless_refused(ErrorNumber.BAD_COMPRESSION):
        assert len(opened(body, raw_bytes, FLAG_LZ4)) == raw_bytes


@given(json_like)
def test_any_value_survives_encoding(value: object) -> None:
    assert decode_body(msgspec.msgpack.Decoder(), encode_body(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_a_protocol_error(raw: bytes) -> None:
    with unless_refused(ErrorNumber.BAD_BODY):
        decode_body(msgspec.msgpack.Decoder(), raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x91" * 100_000, id="nested arrays"),
        pytest.param(b"\x81\xa1a" * 100_000, id="nested maps"),
        pytest.param(b"\xdd\x80\x00\x00\x00", id="an array of 2**31"),
        pytest.param(b"\xdd\xff\xff\xff\xff" * 1000, id="arrays of arrays of 2**32-1"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="a map of 2**32-1"),
        pytest.param(b"\xdb\xff\xff\xff\xffabc", id="a text of 2**32-1 bytes"),
        pytest.param(b"\xc6\xff\xff\xff\xffabc", id="a binary of 2**32-1 bytes"),
        pytest.param(b"\xc9\xff\xff\xff\xff\x01abc", id="an extension of 2**32-1 bytes"),
        pytest.param(b"\xc1", id="the byte that is never used"),
        pytest.param(b"\xa1\xff", id="no UTF-8"),
        pytest.param(b"\xa3\xed\xa0\x80", id="a surrogate in UTF-8"),
        pytest.param(b"\xd6\xff\x00\x00", id="half a timestamp"),
        pytest.param(b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff", id="a timestamp with too many nanoseconds"),
        pytest.param(b"\x01\x02", id="two values"),
    ],
)
def test_a_bomb_or_a_malformed_body_is_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_body(msgspec.msgpack.Decoder(), raw)
    assert raised.value.number is ErrorNumber.BAD_BODY
