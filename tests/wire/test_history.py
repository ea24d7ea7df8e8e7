"""Linked bodies: both ends remember the same, within a bound; what is malformed is a protocol error."""

from random import Random

import lz4.block
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.samples import unless_refused

from lanebus.wire.bodies import open_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_LINKED, FLAG_LZ4, Header, decode_header, encode_header
from lanebus.wire.history import HISTORY_BYTES, History, open_batch
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane

MAX_RAW_BYTES = 1 << 22
LINKED = FLAG_LZ4 | FLAG_LINKED
NOISE = Random(1).randbytes(3 * HISTORY_BYTES)

words = st.sampled_from([b"unit.moved", b"server:arena-1", NOISE[:500], NOISE, b"x" * 3000]) | st.binary(
    max_size=40
)
bodies = st.lists(words, max_size=6).map(b"".join)


def frame_of(body: bytes, raw_bytes: int, flags: int) -> tuple[bytes, Header]:
    frame = encode_header(Kind.BATCH, Lane.LOW, raw_bytes, incarnation=1, flags=flags) + body
    return frame, decode_header(frame, max_raw_bytes=MAX_RAW_BYTES)


def opened(history: History, body: bytes, raw_bytes: int, flags: int) -> bytes:
    return history.open(*frame_of(body, raw_bytes, flags))


@given(st.lists(st.tuples(bodies, st.integers(0, 100)), max_size=12))
def test_bodies_come_out_as_they_went_in_whether_they_are_compressed_or_not(
    sent: list[tuple[bytes, int]],
) -> None:
    said, heard = History(), History()
    for raw, threshold_bytes in sent:
        body, flags = said.compress(raw, threshold_bytes)
        assert len(body) <= len(raw)
        assert flags in (0, FLAG_LZ4, LINKED)
        assert heard.look(*frame_of(body, len(raw), flags)) == raw
        assert opened(heard, body, len(raw), flags) == raw


def test_the_first_body_of_a_link_stands_alone_and_the_next_refers_to_it() -> None:
    raw = NOISE[:300] + bytes(100)
    said = History()
    first, first_flags = said.compress(raw, 64)
    assert first_flags == FLAG_LZ4
    assert open_body(*frame_of(first, len(raw), first_flags)) == raw
    second, second_flags = said.compress(raw, 64)
    assert second_flags == LINKED
    assert len(second) < 30


def test_a_body_that_travels_as_it_is_becomes_history_too() -> None:
    said, heard = History(), History()
    raw = NOISE[:300]
    assert said.compress(raw, 64) == (raw, 0)
    assert opened(heard, raw, len(raw), 0) == raw
    body, flags = said.compress(raw, 64)
    assert flags == LINKED
    assert opened(heard, body, len(raw), flags) == raw


@pytest.mark.parametrize(
    "between", [0, 1, HISTORY_BYTES - 301, HISTORY_BYTES - 300, HISTORY_BYTES, 10 * HISTORY_BYTES]
)
def test_no_more_is_remembered_than_the_bound(between: int) -> None:
    said, heard = History(), History()
    raw, noise = NOISE[:300], Random(2).randbytes(between)
    for each in (raw, noise, raw):
        body, flags = said.compress(each, 64)
        assert opened(heard, body, len(each), flags) == each
    # What is left of it saves something; what is forgotten saves nothing.
    assert (len(body) < len(raw)) is (between < HISTORY_BYTES)


def test_a_threshold_of_0_switches_compression_off() -> None:
    said = History()
    for _ in range(3):
        assert said.compress(bytes(1000), 0) == (bytes(1000), 0)


def test_a_look_does_not_become_history() -> None:
    said, heard = History(), History()
    for _ in range(3):
        body, flags = said.compress(NOISE[:300], 64)
        for _ in range(2):
            assert heard.look(*frame_of(body, 300, flags)) == NOISE[:300]
        opened(heard, body, 300, flags)


def linked(raw: bytes, dictionary: bytes = NOISE[:300]) -> bytes:
    block: bytes = lz4.block.compress(raw, store_size=False, dict=dictionary)
    return block


@pytest.mark.parametrize(
    ("body", "raw_bytes"),
    [
        pytest.param(linked(NOISE[:300]), 100, id="expands past the declared size"),
        pytest.param(linked(bytes(MAX_RAW_BYTES)), 1, id="expands far past the declared size"),
        pytest.param(linked(NOISE[:300]), 301, id="yields one byte less"),
        pytest.param(linked(NOISE[:300]), MAX_RAW_BYTES, id="yields much less"),
        pytest.param(linked(NOISE[:300]), 0, id="declares nothing"),
        pytest.param(linked(NOISE[:300])[:-1], 300, id="cut short"),
        pytest.param(linked(NOISE[:300]) + b"\x00", 300, id="goes on after its end"),
        pytest.param(linked(NOISE, NOISE), len(NOISE), id="refers to what was before the history"),
        pytest.param(b"", 10, id="no block"),
        pytest.param(b"\xff" * 1000, MAX_RAW_BYTES, id="noise"),
    ],
)
def test_a_block_that_does_not_yield_its_declared_size_is_refused(body: bytes, raw_bytes: int) -> None:
    heard = History()
    opened(heard, NOISE[:300], 300, 0)
    with pytest.raises(ProtocolError) as raised:
        opened(heard, body, raw_bytes, LINKED)
    assert raised.value.number is ErrorNumber.BAD_COMPRESSION


@given(st.binary(max_size=3000), st.binary(max_size=300), st.integers(0, 10_000))
def test_any_block_yields_its_declared_size_or_a_protocol_error(
    before: bytes, body: bytes, raw_bytes: int
) -> None:
    heard = History()
    opened(heard, before, len(before), 0)
    with unless_refused(ErrorNumber.BAD_COMPRESSION):
        assert len(opened(heard, body, raw_bytes, LINKED)) == raw_bytes


@given(st.data())
def test_a_linked_body_that_was_changed_yields_its_declared_size_or_a_protocol_error(
    data: st.DataObject,
) -> None:
    said, heard = History(), History()
    first = said.compress(NOISE[:1500], 64)[0]
    opened(heard, first, 1500, 0)
    raw = NOISE[700:1200] + b"between" + NOISE[:300]
    body = bytearray(said.compress(raw, 64)[0])
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with unless_refused(ErrorNumber.BAD_COMPRESSION):
        assert len(opened(heard, bytes(body), len(raw), LINKED)) == len(raw)


def test_without_a_history_linked_bodies_are_refused_and_others_are_not() -> None:
    said = History()
    raw = bytes(300)
    body, flags = said.compress(raw, 64)
    assert open_batch(*frame_of(body, 300, flags), None) == raw
    body, flags = said.compress(raw, 64)
    with pytest.raises(ProtocolError) as raised:
        open_batch(*frame_of(body, 300, flags), None)
    assert raised.value.number is ErrorNumber.UNKNOWN_FLAGS
