"""Frames on their way to sockets, and the count of them."""

import logging

import pytest

from lanebus.broker.attachment import Link
from lanebus.broker.outgoing import Counters, Outgoing
from lanebus.wire.bodies import open_body
from lanebus.wire.header import decode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Ack, Bye, decode_message


def a_link() -> Link:
    link = Link(Lane.CRITICAL, b"route", 0.0)
    link.incarnation = 3
    link.received = 17
    return link


def test_frames_are_taken_once_and_in_order() -> None:
    outgoing = Outgoing(Counters())
    for text in ("first", "second"):
        outgoing.control(a_link(), Kind.BYE, Bye(reason=text))
    frames = outgoing.take()
    reasons = []
    for lane, route, frame in frames:
        assert (lane, route) == (Lane.CRITICAL, b"route")
        header = decode_header(frame, max_raw_bytes=1000)
        reasons.append(decode_message(header.kind, lane, open_body(frame, header)).reason)
    assert reasons == ["first", "second"]
    assert outgoing.take() == []


def test_a_message_on_a_link_acknowledges_what_the_link_has_received() -> None:
    outgoing = Outgoing(Counters())
    link = a_link()
    outgoing.control(link, Kind.BYE, Bye())
    (_, _, frame) = outgoing.take()[0]
    header = decode_header(frame, max_raw_bytes=1000)
    assert (header.ack, header.incarnation) == (17, 3)
    assert link.acked == 17


def test_messages_are_counted_with_their_headers() -> None:
    counters = Counters()
    outgoing = Outgoing(counters)
    outgoing.answer(Lane.LOW, b"route", Kind.BYE, Bye())
    frame = outgoing.take()[0][2]
    assert counters.control_out.as_dict() == {"messages": 1, "bytes": len(frame)}


def test_every_counter_has_a_name() -> None:
    counters = Counters()
    assert counters.lanes_in[0].as_dict() == {"batches": 0, "events": 0, "bytes": 0, "unbatched_bytes": 0}
    assert counters.errors == {}


def test_rare_messages_are_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    outgoing = Outgoing(Counters())
    for level in (logging.INFO, logging.DEBUG):
        caplog.set_level(level, "lanebus.broker")
        outgoing.control(a_link(), Kind.BYE, Bye(reason="over"))
        outgoing.control(a_link(), Kind.ACK, Ack([1, 0, 0]))
    assert [record.getMessage() for record in caplog.records] == ["> a stranger bye: reason over"]
