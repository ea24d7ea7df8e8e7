"""The arena's schemas: what a client may send, and how small the most frequent message is."""

import math

import msgspec
import pytest

from lanebus.examples.arena import messages
from lanebus.examples.arena.messages import Chat, Move, Shoot, UnitState


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        (Move, {"dx": 1.5, "dy": 0.0}),
        (Move, {"dx": 0.5}),
        (Move, {"dx": math.nan, "dy": 0.0}),
        (Shoot, {"angle": 7.0}),
        (Shoot, {"angle": math.inf}),
        (Shoot, {"angle": "north"}),
        (Chat, {"text": ""}),
        (Chat, {"text": "x" * 121}),
        (Chat, None),
    ],
)
def test_what_does_not_fit_is_refused(schema: type[msgspec.Struct], payload: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(payload), type=schema)


@pytest.mark.parametrize(
    "payload", [Move(0.6, -0.8), Shoot(-3.1), Chat("hello"), UnitState("player:ivy", 1, 2, 3, 4, 5)]
)
def test_what_fits_arrives_as_it_was(payload: msgspec.Struct) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(payload), type=type(payload)) == payload


def test_a_unit_state_takes_few_bytes() -> None:
    state = UnitState("player:ivy", 5999, 2999, -500, 500, 100)
    assert len(msgspec.msgpack.encode(state)) <= 26


def test_every_happening_has_a_topic() -> None:
    assert set(messages.TOPICS) == set(messages.Happening.__args__)
