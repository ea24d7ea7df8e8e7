"""Pings: what only the peer knows, each part of it left out from the end where there is nothing to say."""

import msgspec
import pytest

from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ProtocolError
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import decode_message
from lanebus.wire.pings import Ping, Pong
from lanebus.wire.quality import Degree


def read(body: object) -> object:
    return decode_message(Kind.PING, Lane.CRITICAL, msgspec.msgpack.encode(body))


def test_a_ping_says_what_it_said_and_its_answer_too() -> None:
    for kind, message in (
        (Kind.PING, Ping(1, 2, [(0, [[1, 1, 0, 0, 0, 0, 0]] * 3)], Degree.FAIR, "why")),
        (Kind.PONG, Pong(1, 2)),
    ):
        assert decode_message(kind, Lane.CRITICAL, encode_body(message)) == message


def test_what_a_peer_does_not_say_may_be_left_out() -> None:
    assert read([1, 2, []]) == Ping(1, 2, [])


@pytest.mark.parametrize("body", [[1, 2], [1, -2, []], [1, 2, [], "splendid"], [1, 2, [], None, "t" * 513]])
def test_a_malformed_ping_is_an_error(body: list[object]) -> None:
    with pytest.raises(ProtocolError):
        read(body)
