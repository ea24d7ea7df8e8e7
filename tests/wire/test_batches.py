"""Batches both ways: round trips, an independent MessagePack on the other side, and what is refused."""

from typing import Any

import lz4.block
import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.samples import DOWN_EVENTS, PROCESS, SOURCES, UP_EVENTS, encode_down, encode_up

from lanebus.wire.batches import (
    MAX_BATCH_EVENTS,
    MAX_UNSIGNED,
    STAMP_MODULUS,
    TICKS_PER_S,
    DownBatch,
    DownEvent,
    Source,
    TargetedBatch,
    UpEvent,
    age_s,
    array_head,
    decode_down,
    decode_up,
    encode_batch,
    join_batch,
    stamp_of,
    targeted_event,
    ticks,
)
from lanebus.wire.bodies import open_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_LZ4, FLAG_TARGETED, HEADER_BYTES, Header, decode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane

MAX_RAW_BYTES = 1 << 22

unsigned = st.integers(0, MAX_UNSIGNED)
positive = st.integers(1, MAX_UNSIGNED)
stamps = st.integers(0, STAMP_MODULUS - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
up_events = st.builds(
    UpEvent,
    unsigned,
    positive,
    stamps,
    texts,
    st.none() | texts | st.lists(texts, max_size=3),
    st.binary(max_size=40),
    st.lists(texts, max_size=3),
)
down_events = st.builds(DownEvent, unsigned, positive, stamps, unsigned, texts, st.binary(max_size=40))
sources = st.builds(Source, unsigned, unsigned, texts, st.sampled_from([b"", PROCESS]))


def header_of(count: int, *, flags: int = 0) -> Header:
    return Header(Kind.BATCH, flags, Lane.CRITICAL, count, 1, 1, 0, 0)


def taken_apart(frame: bytes) -> tuple[Header, bytes]:
    header = decode_header(frame, max_raw_bytes=MAX_RAW_BYTES)
    return header, open_body(frame, header)


def up_body(**changes: Any) -> bytes:
    """A batch of one event from a peer, encoded by the independent package, with some fields changed."""
    event = {"session": 0, "number": 1, "stamp": 0, "topic": "a", "to": "all", "payload": b"", "exclude": []}
    batch = {"held": 0, "after": 0, "bases": [[0, 1]]}
    for name, value in changes.items():
        (event if name in event else batch)[name] = value
    packed: bytes = msgpack.packb([*batch.values(), [[*event.values()]]])
    return packed


def down_body(**changes: Any) -> bytes:
    """A batch of one event from the broker, likewise."""
    event = {"origin": 9, "number": 1, "stamp": 0, "flags": 0, "topic": "a", "payload": b""}
    batch = {"held": 0, "sources": [[9, 1, "server:a", PROCESS]]}
    for name, value in changes.items():
        (event if name in event else batch)[name] = value
    packed: bytes = msgpack.packb([*batch.values(), [[*event.values()]]])
    return packed


@given(
    st.sampled_from(LANES),
    stamps,
    unsigned,
    st.lists(st.tuples(unsigned, unsigned), max_size=3, unique_by=lambda base: base[0]),
    st.lists(up_events, min_size=1, max_size=6),
    st.sampled_from([0, 1, 256]),
)
def test_a_batch_from_a_peer_survives_the_way(
    lane: Lane,
    held: int,
    after: int,
    bases: list[tuple[int, int]],
    events: list[UpEvent],
    threshold_bytes: int,
) -> None:
    encoded = encode_batch(
        lane,
        (held, after, bases),
        events,
        incarnation=7,
        number=8,
        ack=9,
        threshold_bytes=threshold_bytes,
    )
    header, raw = taken_apart(encoded.frame)
    assert header[:2] == (Kind.BATCH, header.flags & FLAG_LZ4)
    assert header[2:] == (lane, len(events), 7, 8, 9, len(raw))
    batch = decode_up(header, raw)
    assert (batch.held, batch.after, batch.bases, batch.events) == (held, after, bases, events)


@given(
    unsigned,
    st.lists(sources, max_size=3, unique_by=lambda source: source.origin),
    st.lists(st.tuples(st.lists(unsigned, max_size=3), down_events), min_size=1, max_size=6),
    st.booleans(),
)
def test_a_batch_from_the_broker_survives_the_way(
    held: int, named: list[Source], events: list[tuple[list[int], DownEvent]], targeted: bool
) -> None:
    sent: list[Any] = events if targeted else [event for _, event in events]
    encoded = encode_batch(
        Lane.LOW,
        (held, named),
        sent,
        incarnation=1,
        number=1,
        ack=0,
        threshold_bytes=64,
        flags=FLAG_TARGETED if targeted else 0,
    )
    header, raw = taken_apart(encoded.frame)
    batch = decode_down(header, raw)
    assert isinstance(batch, TargetedBatch if targeted else DownBatch)
    assert bool(header.flags & FLAG_TARGETED) is targeted
    assert (batch.held, batch.sources, list(batch.events)) == (held, named, sent)


def test_events_that_are_encoded_already_are_put_in_as_they_are() -> None:
    preamble = (12, SOURCES)
    plain = encode_batch(Lane.LOW, preamble, DOWN_EVENTS, incarnation=1, number=1, ack=0, threshold_bytes=0)
    done = [msgspec.msgpack.encode(event) for event in DOWN_EVENTS]
    assert join_batch(Lane.LOW, preamble, done, incarnation=1, number=1, ack=0, threshold_bytes=0) == plain


@pytest.mark.parametrize("count", [0, 1, 15, 16, 255, 256, 4096, 65_535])
def test_the_head_of_an_array_is_what_messagepack_writes(count: int) -> None:
    assert msgspec.msgpack.encode([None] * count) == array_head(count) + b"\xc0" * count


def test_an_encoded_event_is_put_behind_the_sessions_it_is_for() -> None:
    event = msgspec.msgpack.encode(DOWN_EVENTS[0])
    assert targeted_event([3, 400], event) == msgspec.msgpack.encode(([3, 400], DOWN_EVENTS[0]))


def test_what_batching_saved_is_measured_against_one_frame_each() -> None:
    def encoded(events: list[UpEvent], threshold_bytes: int) -> tuple[int, int]:
        batch = encode_batch(
            Lane.LOW,
            (0, 0, [(0, 1)]),
            events,
            incarnation=1,
            number=1,
            ack=0,
            threshold_bytes=threshold_bytes,
        )
        return len(batch.frame), batch.unbatched_bytes

    singly = sum(encoded([event], 0)[0] for event in UP_EVENTS)
    assert encoded(UP_EVENTS, 0)[1] == singly
    assert encoded(UP_EVENTS, 1)[1] == singly
    assert encoded(UP_EVENTS, 0)[0] < singly
    one_frame, one_unbatched = encoded(UP_EVENTS[:1], 0)
    assert one_frame == one_unbatched


def test_an_independent_decoder_reads_a_batch_from_a_peer() -> None:
    assert msgpack.unpackb(encode_up(UP_EVENTS)[HEADER_BYTES:]) == [
        12,
        1,
        [[0, 5]],
        [
            [0, 5, 4_000_000, "player.attack", "service:combat", b"\x81\xa1t\x07", [], 0, 0, ""],
            [0, 6, 4_000_010, "chat.line", ["player:1", "group:room:7"], b"\xa2hi", ["player:3"], 0, 0, ""],
            [0, 8, 4_000_020, "player.moved", None, b"\x92\x01\x02", [], 0, 0, ""],
        ],
    ]


def test_an_independent_decoder_reads_a_compressed_batch() -> None:
    frame = encode_up(UP_EVENTS * 20, threshold_bytes=64)
    header = decode_header(frame, max_raw_bytes=MAX_RAW_BYTES)
    assert header.flags == FLAG_LZ4
    raw = lz4.block.decompress(frame[HEADER_BYTES:], uncompressed_size=header.raw_bytes)
    assert len(msgpack.unpackb(raw)[3]) == 60


@pytest.mark.parametrize("targeted", [False, True])
def test_an_independent_decoder_reads_a_batch_from_the_broker(targeted: bool) -> None:
    events: list[list[Any]] = [
        [9, 5, 4_000_000, 0, "combat.hit", b"\x81\xa1d\x11", 0],
        [10, 1, 4_000_001, 1, "unit.state", b"\x90", 0],
    ]
    held, named, found = msgpack.unpackb(encode_down(targeted=targeted)[HEADER_BYTES:])
    assert held == 12
    assert named == [[9, 5, "server:arena-1", PROCESS], [10, 1, "", b""]]
    assert found == ([[[1, 2], event] for event in events] if targeted else events)


def test_a_batch_of_an_independent_encoder_is_understood() -> None:
    batch = decode_up(header_of(1), up_body(to=["player:1", "all"], held=3, payload=b"\xc0"))
    assert batch.held == 3
    assert batch.events == [UpEvent(0, 1, 0, "a", ["player:1", "all"], b"\xc0")]
    down = decode_down(header_of(1), down_body(flags=1))
    assert down.events == [DownEvent(9, 1, 0, 1, "a", b"")]


def test_fields_at_the_end_that_have_defaults_may_be_left_out() -> None:
    raw = msgpack.packb([0, 0, [], [[0, 1, 0, "a", None, b""]]])
    assert decode_up(header_of(1), raw).events[0].exclude == []
    raw = msgpack.packb([0, [[9, 1]], [[9, 1, 0, 0, "a", b""]]])
    assert decode_down(header_of(1), raw).sources == [Source(9, 1)]


@pytest.mark.parametrize("number", [0, 2, 65_535])
def test_the_count_of_events_is_the_headers(number: int) -> None:
    for decode, raw in ((decode_up, up_body()), (decode_down, down_body())):
        with pytest.raises(ProtocolError, match=f"1 events in the batch, the header says {number}") as raised:
            decode(header_of(number), raw)
        assert raised.value.number is ErrorNumber.BAD_BODY


def test_a_peer_does_not_target_sessions() -> None:
    with pytest.raises(ProtocolError, match="only the broker") as raised:
        decode_up(header_of(1, flags=FLAG_TARGETED), up_body())
    assert raised.value.number is ErrorNumber.UNKNOWN_FLAGS


@pytest.mark.parametrize(
    "changes",
    [
        {"held": -1},
        {"held": STAMP_MODULUS},
        {"held": (1 << 64) - 1},
        {"held": 0.5},
        {"after": MAX_UNSIGNED + 1},
        {"after": None},
        {"bases": [[0]]},
        {"bases": [[0, 1], [1, 1], [0, 2]]},
        {"bases": [[0, 1, 2]]},
        {"bases": [[-1, 1]]},
        {"bases": {}},
        {"session": -1},
        {"session": "0"},
        {"number": 0},
        {"number": MAX_UNSIGNED + 1},
        {"number": (1 << 64) - 1},
        {"number": True},
        {"stamp": STAMP_MODULUS},
        {"topic": b"a"},
        {"topic": None},
        {"to": b"all"},
        {"to": 5},
        {"to": [["all"]]},
        {"to": {"all": 1}},
        {"payload": "text"},
        {"payload": None},
        {"exclude": "player:1"},
        {"exclude": [b"player:1"]},
        {"exclude": None},
    ],
    ids=str,
)
def test_a_field_of_a_peers_batch_that_is_not_of_its_type_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_up(header_of(1), up_body(**changes))
    assert raised.value.number is ErrorNumber.BAD_BODY


@pytest.mark.parametrize(
    "changes",
    [
        {"held": -1},
        {"sources": [[9]]},
        {"sources": [[9, 1], [8, 1], [9, 2]]},
        {"sources": [[9, 1, "a", PROCESS, 0]]},
        {"sources": [[9, 1, b"a"]]},
        {"origin": -1},
        {"number": 0},
        {"stamp": STAMP_MODULUS},
        {"flags": "0"},
        {"payload": [1]},
    ],
    ids=str,
)
def test_a_field_of_the_brokers_batch_that_is_not_of_its_type_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_down(header_of(1), down_body(**changes))
    assert raised.value.number is ErrorNumber.BAD_BODY


EVENT = msgpack.packb([0, 1, 0, "a", "all", b""])
FRONT = b"\x94\x00\x00\x90"
"""A batch from a peer up to its events."""


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(FRONT + b"\x90", id="no event"),
        pytest.param(FRONT + b"\xdc\x10\x01" + EVENT * (MAX_BATCH_EVENTS + 1), id="one event too many"),
        pytest.param(FRONT + b"\xdd\x80\x00\x00\x00", id="2**31 events"),
        pytest.param(FRONT + b"\xdd\xff\xff\xff\xff" + EVENT, id="2**32-1 events and one there"),
        pytest.param(FRONT + b"\x91" * 100_000, id="nested arrays for events"),
        pytest.param(b"\x94\x00\x00\xdd\x80\x00\x00\x00", id="2**31 bases"),
        pytest.param(b"\x94\x00\x00" + b"\x91" * 100_000, id="nested arrays for bases"),
        pytest.param(b"\x91" * 100_000, id="nested arrays"),
        pytest.param(b"\xdd\x80\x00\x00\x00", id="an array of 2**31"),
        pytest.param(FRONT + b"\x91\x97" + EVENT[1:] + b"\xdd\x80\x00\x00\x00", id="2**31 excluded"),
        pytest.param(FRONT + b"\x91\x97" + EVENT[1:] + b"\x91" * 100_000, id="nested arrays excluded"),
        pytest.param(FRONT + b"\x91" + EVENT[:-2] + b"\xc6\xff\xff\xff\xff", id="a payload of 2**32-1"),
        pytest.param(b"\x93\x00\x00\x90", id="a field too few"),
        pytest.param(b"\x95\x00\x00\x90\x91" + EVENT + b"\xc0", id="a field too many"),
        pytest.param(FRONT + b"\x91\x98" + EVENT[1:] + b"\x90\xc0", id="a field too many in an event"),
        pytest.param(FRONT + b"\x91" + EVENT + b"\x00", id="a byte after the end"),
        pytest.param(b"\x80", id="a map"),
        pytest.param(b"", id="nothing"),
        pytest.param(FRONT + b"\x91" + EVENT.replace(b"\xa1a", b"\xa1\xff"), id="no UTF-8"),
    ],
)
def test_a_bomb_or_a_malformed_batch_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_up(header_of(1), raw)
    assert raised.value.number is ErrorNumber.BAD_BODY


def test_a_full_batch_is_accepted() -> None:
    raw = FRONT + b"\xdc\x10\x00" + EVENT * MAX_BATCH_EVENTS
    assert len(decode_up(header_of(MAX_BATCH_EVENTS), raw).events) == MAX_BATCH_EVENTS


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, 0), (-1.0, 0), (0.00009, 0), (0.012, 120), (1.0, TICKS_PER_S)]
)
def test_times_are_whole_ticks_and_never_negative(seconds: float, expected: int) -> None:
    assert ticks(seconds) == expected


def test_a_time_that_is_longer_than_a_stamp_holds_travels_as_the_longest() -> None:
    assert ticks(30 * 86_400.0) == STAMP_MODULUS - 1


@given(st.floats(0, 1e7), st.floats(-100_000, 100_000))
def test_an_age_is_right_within_a_tick_though_stamps_wrap(sent_at: float, age: float) -> None:
    stamp = stamp_of(sent_at)
    assert 0 <= stamp < STAMP_MODULUS
    now = sent_at + age
    assert age_s(stamp, now) == pytest.approx(age, abs=2.5 / TICKS_PER_S)
