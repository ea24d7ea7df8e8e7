"""Events under way, and their encoded form with other flags."""

import msgspec
import pytest

from lanebus.broker.attachment import Attachment
from lanebus.broker.events import Event, flagged_wire, moved_wire
from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Session
from lanebus.conf.model import Config
from lanebus.wire.batches import (
    EVENT_AGAIN,
    EVENT_LATEST,
    EVENT_QUESTION,
    EVENT_REDELIVERED,
    EVENT_REPLAYED,
    DownEvent,
)
from lanebus.wire.bodies import encode_body
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role

SENDER = Session(
    Attachment("server:a", Role.SERVER, b"p" * 16, b"token", 0.0),
    0,
    "server:a",
    Role.SERVER,
    b"p" * 16,
    1,
    Quality(Config().quality),
    0.0,
)


def shown(wire: bytes) -> DownEvent:
    return msgspec.msgpack.decode(wire, type=DownEvent)


@pytest.mark.parametrize("ttl", [(), (500,)])
def test_flags_are_added_and_nothing_else_changes(ttl: tuple[int, ...]) -> None:
    wire = encode_body((7, 3, 1_000, EVENT_LATEST, "unit.state", b"payload", *ttl))
    changed = flagged_wire(wire, EVENT_AGAIN)
    assert changed == encode_body((7, 3, 1_000, EVENT_AGAIN | EVENT_LATEST, "unit.state", b"payload", *ttl))
    assert shown(changed).ttl == (ttl[0] if ttl else 0)


@pytest.mark.parametrize("ttl", [(), (500,)])
def test_a_replayed_event_that_moves_is_redelivered_and_not_replayed(ttl: tuple[int, ...]) -> None:
    wire = encode_body((7, 3, 1_000, EVENT_REPLAYED | EVENT_LATEST, "unit.state", b"payload", *ttl))
    moved = encode_body((7, 3, 1_000, EVENT_REDELIVERED | EVENT_LATEST, "unit.state", b"payload", *ttl))
    assert moved_wire(wire) == moved
    assert moved_wire(moved) is moved


def test_a_question_has_no_payload_and_is_of_no_mode() -> None:
    wire = encode_body((7, 3, 1_000, EVENT_LATEST, "unit.state", b"payload", 500))
    event = Event(SENDER, Lane.LOW, 3, wire, len(wire), "all", 0.0, 0.1)
    question = shown(event.question_wire(EVENT_QUESTION))
    assert (question.origin, question.number, question.stamp, question.topic) == (7, 3, 1_000, "unit.state")
    assert (question.flags, question.payload, question.ttl) == (EVENT_QUESTION, b"", 0)


def test_events_are_told_apart_whatever_is_in_them() -> None:
    one, other = (Event(SENDER, Lane.LOW, 3, b"", 0, None, 0.0, 0.1) for _ in range(2))
    assert one != other
    assert len({one, other}) == 2
