"""Every message but batches field by field; and every frame cut, changed and made up, as a reader gets it."""

import itertools
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.samples import BOOKS, FRAMES, MESSAGES, PROCESS, TOKEN, WELCOME, read, unless_refused

from lanebus.wire.batches import MAX_UNSIGNED
from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import HEADER_BYTES, MAGIC, VERSION, encode_header
from lanebus.wire.kinds import Kind, Side
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import (
    MAX_SETTLED_NUMBERS,
    MAX_SETTLEMENTS,
    Hello,
    LaneHello,
    LaneWelcome,
    Message,
    Settlement,
    Welcome,
    body_type,
    check_settlement,
    decode_message,
)
from lanebus.wire.outcomes import LEGAL_REASONS, RECEIVER_REASONS, Outcome, Reason
from lanebus.wire.runs import MAX_RUN_NUMBERS

frames = pytest.mark.parametrize(("side", "frame"), FRAMES.values(), ids=FRAMES)
samples = pytest.mark.parametrize(("kind", "lane", "message"), MESSAGES.values(), ids=MESSAGES)


def refused(kind: Kind, body: object, *, lane: Lane = Lane.CRITICAL) -> str:
    """Expect the body to be refused, and return what is said about it."""
    raw = body if isinstance(body, bytes) else msgpack.packb(body)
    with pytest.raises(ProtocolError) as raised:
        decode_message(kind, lane, raw)
    assert raised.value.number is ErrorNumber.BAD_BODY
    return raised.value.detail


def plain(message: Message) -> Any:
    """A message as the independent package reads it."""
    return msgpack.unpackb(encode_body(message))


# Single messages


def test_there_is_a_sample_of_every_kind() -> None:
    assert {kind for kind, _, _ in MESSAGES.values()} == set(Kind) - {Kind.BATCH}


@samples
def test_a_message_survives_the_way(kind: Kind, lane: Lane, message: Message) -> None:
    assert decode_message(kind, lane, encode_body(message)) == message


@samples
def test_what_an_independent_encoder_makes_of_it_is_understood(
    kind: Kind, lane: Lane, message: Message
) -> None:
    assert decode_message(kind, lane, msgpack.packb(plain(message))) == message


def test_greetings_differ_between_lanes_and_nothing_else_does() -> None:
    for lane in (Lane.NORMAL, Lane.LOW):
        assert body_type(Kind.HELLO, lane) is LaneHello
        assert body_type(Kind.WELCOME, lane) is LaneWelcome
    assert body_type(Kind.HELLO, Lane.CRITICAL) is Hello
    assert body_type(Kind.WELCOME, Lane.CRITICAL) is Welcome
    for kind in set(Kind) - {Kind.HELLO, Kind.WELCOME, Kind.BATCH}:
        assert len({body_type(kind, lane) for lane in LANES}) == 1


@samples
def test_an_unknown_field_is_refused(kind: Kind, lane: Lane, message: Message) -> None:
    fields = plain(message)
    if isinstance(fields, dict):
        assert "unknown field" in refused(kind, {**fields, "colour": 1}, lane=lane)
    else:
        assert "length" in refused(kind, [*fields, 1], lane=lane)


@samples
def test_a_required_field_cannot_be_left_out(kind: Kind, lane: Lane, message: Message) -> None:
    fields = plain(message)
    required = [field.name for field in msgspec.structs.fields(message) if field.required]
    if isinstance(fields, dict):
        for name in required:
            without = {key: value for key, value in fields.items() if key != name}
            assert name in refused(kind, without, lane=lane)
    else:
        for count in range(len(required)):
            assert "length" in refused(kind, fields[:count], lane=lane)
        for count in range(len(required), len(fields)):
            decode_message(kind, lane, msgspec.msgpack.encode(fields[:count]))


@samples
@pytest.mark.parametrize("wrong", [None, True, -1, 1 << 63, 1.5, "text", b"bytes", [], {}, [[]], [1, 2, 3]])
def test_a_body_of_another_type_is_refused(kind: Kind, lane: Lane, message: Message, wrong: object) -> None:
    if not isinstance(wrong, dict) or any(field.required for field in msgspec.structs.fields(message)):
        refused(kind, wrong, lane=lane)


@samples
def test_bytes_after_the_end_are_refused(kind: Kind, lane: Lane, message: Message) -> None:
    assert "trailing" in refused(kind, encode_body(message) + b"\xc0", lane=lane)


@pytest.mark.parametrize(
    ("sample", "field", "values"),
    [
        ("hello", "name", ["", "x" * 161, b"player:42", None]),
        ("hello", "role", ["admin", "", 0, "CLIENT"]),
        ("hello", "process", [b"", PROCESS[:-1], PROCESS + b"\x00", "0123456789abcdef"]),
        ("hello", "versions", [[1], [1, 1, 1], [-1, 1], ["1", "1"], {"1": 1}]),
        ("hello", "compressions", ["lz4", ["lz4"] * 17, [""], [1]]),
        ("hello", "token", ["", b"x" * 65, None]),
        ("lane hello", "token", ["", b"x" * 65, None]),
        ("welcome", "ports", [[1, 2], [1, 2, 3, 4], [0, 0, 65_536], [-1, 0, 0]]),
        (
            "welcome",
            "intervals_ms",
            [[1.0], [1.0] * 4, [float("nan")] * 3, [float("inf"), 1.0, 1.0], [-1.0, 1.0, 1.0]],
        ),
        ("welcome", "holds_ms", [[], [1.0] * 4, [float("-inf"), 1.0, 1.0]]),
        ("welcome", "lease_ms", [float("nan"), float("inf"), -1.0, 1e12]),
        ("welcome", "window_batches", [0, -1, 1.0]),
        ("welcome", "credit_bytes", [0]),
        ("welcome", "limits", [{"frame_bytes": 0}, {"raw_bytes": -1}, {"colour": 1}, None]),
        ("welcome", "resumed", [0, 1, None]),
        ("lane welcome", "lane", [-1, "1"]),
        ("open", "index", [0, -1, MAX_UNSIGNED + 1]),
        ("open", "rtt_ms", [float("nan"), float("inf"), -0.1, "1", 1e12]),
        ("open", "request", [-1, MAX_UNSIGNED + 1, (1 << 64) - 1]),
        ("close", "books", [[[0] * 6], [[0] * 12], [[-1] * 7], BOOKS + BOOKS]),
        ("register", "topics", ["a", [""], ["x" * 161], [b"a"]]),
        ("assign", "instance", ["", 5]),
        ("join", "group", ["", "x" * 161]),
        ("done", "error", [-1, None]),
        ("done", "detail", ["x" * 513, None]),
        ("pause", "lane", [3, -1, "low"]),
        ("pause", "destination", ["x" * 161, None]),
        ("bye", "books", [[[0, BOOKS[:2]]], [[0, BOOKS, 1]], [[-1, BOOKS]], [[0]]]),
        ("error", "number", [-1, 1.0]),
        ("error", "text", ["x" * 513, b"text"]),
    ],
)
def test_a_field_of_a_map_out_of_its_range_is_refused(sample: str, field: str, values: list[object]) -> None:
    kind, lane, message = MESSAGES[sample]
    fields = plain(message)
    assert field in fields
    for value in values:
        assert field in refused(kind, {**fields, field: value}, lane=lane)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.ACK, [[1, 2]]),
        (Kind.ACK, [[1, 2, 3, 4]]),
        (Kind.ACK, [[-1, 0, 0]]),
        (Kind.ACK, [[MAX_UNSIGNED + 1, 0, 0]]),
        (Kind.ACK, [[True, 0, 0]]),
        (Kind.PING, [1, 2, [[0, BOOKS]] * 1025]),
        (Kind.PING, [-1, 0, []]),
        (Kind.PING, [0, 0, [[0, [[0] * 7] * 2]]]),
        (Kind.PING, [0, 0, [], "splendid"]),
        (Kind.PING, [0, 0, [], "good", "x" * 513]),
        (Kind.PING, [0, 0, [], "good", None]),
        (Kind.PONG, [1, None]),
        (Kind.SETTLE, [[0, 0, 0], [[0, 9, 3, 0, "", [1, 1]]]]),
        (Kind.SETTLE, [[0, 0, 0], [[0, 9, 0, 6, "", [1, 1]]]]),
        (Kind.SETTLE, [[0, 0, 0], [[0, 9, 0, 4, "rain", [1, 1]]]]),
        (Kind.SETTLE, [[0, 0, 0], [[0, 9, 0, 0, "", ["1", 1]]]]),
        (Kind.SETTLE, [[0, 0, 0], [[0, 9, 0, 0, "", [1, 1, 2]]]]),
        (Kind.SETTLE, [[0, 0, 0], [[0, 9, 0, 0, "", [2, 1]]]]),
        (Kind.SETTLE, [[0, 0, 0], [[0, 9, 0, 0, "", [1, MAX_RUN_NUMBERS + 1]]]]),
        (Kind.SETTLE, [[0, 0, 0], [[0, 9, 0, 0, ""]]]),
        (Kind.SETTLE, [[0, 0, 0], [[0, 9, 0, 0, "", [], 1]]]),
    ],
    ids=str,
)
def test_a_field_of_an_array_out_of_its_range_is_refused(kind: Kind, body: object) -> None:
    refused(kind, body)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        pytest.param(Kind.SETTLE, b"\x92\x93\x00\x00\x00\xdd\x80\x00\x00\x00", id="2**31 settlements"),
        pytest.param(
            Kind.SETTLE,
            b"\x92\x93\x00\x00\x00\x91\x96\x00\x00\x00\x00\xa0\xdd\x80\x00\x00\x00",
            id="2**31 bounds of runs",
        ),
        pytest.param(Kind.SETTLE, b"\x92\x93\x00\x00\x00" + b"\x91" * 100_000, id="nested settlements"),
        pytest.param(Kind.PING, b"\x93\x00\x00" + b"\x91" * 100_000, id="nested books"),
        pytest.param(Kind.BYE, b"\x81\xa6reason" + b"\x91" * 100_000, id="a nested text"),
        pytest.param(Kind.BYE, b"\x81\xa4what" + b"\x91" * 100_000, id="a nested unknown field"),
        pytest.param(Kind.BYE, b"\xdf\xff\xff\xff\xff", id="2**32-1 fields"),
        pytest.param(Kind.BYE, b"\x81\xa6reason\xdb\xff\xff\xff\xff", id="a text of 2**32-1 bytes"),
        pytest.param(Kind.BYE, b"\x81\xa6reason\xa1\xff", id="a text that is no UTF-8"),
        pytest.param(Kind.BYE, b"\x81\xa6reaso\xff\xa1x", id="a field name that is no UTF-8"),
        pytest.param(Kind.BYE, b"\x81\xc4\x06reason\xa1x", id="a field name in bytes"),
        pytest.param(Kind.BYE, b"\x81\xa6reason\xd6\xff\x00\x00\x00\x00", id="a timestamp for a text"),
        pytest.param(Kind.REGISTER, b"\x81\xa6topics\xdd\x80\x00\x00\x00", id="2**31 topics"),
    ],
)
def test_a_bomb_or_a_malformed_message_is_refused(kind: Kind, raw: bytes) -> None:
    refused(kind, raw)


def test_settlements_are_limited_in_count_and_in_the_numbers_they_name_together() -> None:
    full = [0, 9, 0, 0, "", [1, MAX_RUN_NUMBERS]]
    most = MAX_SETTLED_NUMBERS // MAX_RUN_NUMBERS
    assert len(
        decode_message(Kind.SETTLE, Lane.CRITICAL, msgpack.packb([[0] * 3, [full] * most])).settlements
    )
    one_more = [0, 9, 0, 0, "", [1, 1]]
    assert "more than" in refused(Kind.SETTLE, [[0] * 3, [*[full] * most, one_more]])
    assert "65536" in refused(Kind.SETTLE, [[0] * 3, [one_more] * (MAX_SETTLEMENTS + 1)])


@pytest.mark.parametrize(("outcome", "reason"), list(itertools.product(Outcome, Reason)))
def test_a_settlement_has_a_reason_of_its_outcome_and_of_its_sender(outcome: Outcome, reason: Reason) -> None:
    settlement = Settlement(0, 9, Lane.LOW, outcome, reason, [1, 1])
    for allowed in (None, RECEIVER_REASONS):
        if reason in LEGAL_REASONS[outcome] and (allowed is None or reason in allowed):
            check_settlement(settlement, allowed=allowed)
            continue
        with pytest.raises(ProtocolError, match=f"settled as {outcome.label} with reason") as raised:
            check_settlement(settlement, allowed=allowed)
        assert raised.value.number is ErrorNumber.BAD_BODY


# Whole frames


@frames
def test_a_valid_frame_is_read(side: Side, frame: bytes) -> None:
    assert read(frame, side) is not None


@frames
def test_every_truncation_is_a_protocol_error(side: Side, frame: bytes) -> None:
    for size in range(len(frame)):
        with pytest.raises(ProtocolError):
            read(frame[:size], side)


@frames
def test_a_byte_more_is_a_protocol_error(side: Side, frame: bytes) -> None:
    for extra in range(256):
        with pytest.raises(ProtocolError):
            read(frame + bytes([extra]), side)


@frames
def test_every_change_of_one_byte_gives_a_valid_message_or_a_protocol_error(side: Side, frame: bytes) -> None:
    changed = bytearray(frame)
    for position, byte in enumerate(frame):
        for value in range(256):
            changed[position] = value
            with unless_refused():
                # What is let through can be sent on: nothing in it is out of any range.
                encode_body(read(bytes(changed), side))
        changed[position] = byte


@frames
def test_every_pair_of_frames_spliced_anywhere_gives_a_valid_message_or_a_protocol_error(
    side: Side, frame: bytes
) -> None:
    for _, other in FRAMES.values():
        for cut in range(1, min(len(frame), len(other)), 7):
            with unless_refused():
                encode_body(read(frame[:cut] + other[cut:], side))


@given(st.sampled_from(Side), st.binary(max_size=200))
def test_random_bytes_are_a_protocol_error(side: Side, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(data, side)


@given(st.sampled_from(Side), st.sampled_from(Kind), st.sampled_from(LANES), st.binary(max_size=200))
def test_random_bodies_give_a_valid_message_or_a_protocol_error(
    side: Side, kind: Kind, lane: Lane, body: bytes
) -> None:
    frame = encode_header(kind, lane, len(body), incarnation=1, count=1) + body
    with unless_refused(ErrorNumber.BAD_BODY):
        encode_body(read(frame, side))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 60) | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.data())
def test_a_field_of_any_value_gives_a_valid_message_or_a_protocol_error(data: st.DataObject) -> None:
    kind, lane, message = data.draw(st.sampled_from(list(MESSAGES.values())))
    fields = plain(message)
    key = data.draw(st.sampled_from(sorted(fields) if isinstance(fields, dict) else range(len(fields))))
    fields[key] = data.draw(values)
    with unless_refused(ErrorNumber.BAD_BODY):
        decoded = decode_message(kind, lane, msgspec.msgpack.encode(fields))
        assert decode_message(kind, lane, encode_body(decoded)) == decoded


def test_a_frame_is_refused_by_its_declared_size_before_its_body_is_looked_at() -> None:
    frame = MAGIC + bytes([VERSION]) + encode_header(Kind.HELLO, Lane.CRITICAL, 1 << 30, incarnation=1)[3:]
    with pytest.raises(ProtocolError) as raised:
        read(frame, Side.PEER)
    assert raised.value.number is ErrorNumber.FRAME_TOO_LARGE


def test_the_welcome_of_a_default_broker_fits_one_small_frame() -> None:
    assert len(encode_body(WELCOME)) + HEADER_BYTES < 1024
    assert WELCOME.token == TOKEN
