"""Presence on the wire: what is said of players, and what is not legal."""

import msgspec
import pytest

from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ProtocolError
from lanebus.wire.kinds import LEGAL, REQUESTS, Kind, LinkState, Side
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import decode_message
from lanebus.wire.presence import MAX_PRESENCE_ENTRIES, Presence, PresenceEntry, What
from lanebus.wire.quality import Degree

ENTRY = PresenceEntry(
    "player:7", What.QUALITY, Degree.POOR, Degree.GOOD, "jitter 150 ms", 90_000, 1, 2, 3_500
)


def test_an_entry_says_what_it_said() -> None:
    message = Presence(entries=[ENTRY], begins=True, ends=True, recovering=True)
    assert decode_message(Kind.PRESENCE, Lane.CRITICAL, encode_body(message)) == message


@pytest.mark.parametrize(
    "entry",
    [
        ["player:7", "died", "good", "good", "", 0, 0, 0, 0],
        ["player:7", "joined", "splendid", "good", "", 0, 0, 0, 0],
        ["player:7", "joined", "good", "good", "", -1, 0, 0, 0],
        ["", "joined", "good", "good", "", 0, 0, 0, 0],
        ["player:7", "joined"],
    ],
)
def test_a_malformed_entry_is_an_error(entry: list[object]) -> None:
    with pytest.raises(ProtocolError):
        decode_message(Kind.PRESENCE, Lane.CRITICAL, msgspec.msgpack.encode({"entries": [entry]}))


def test_a_message_has_so_many_entries_and_no_more() -> None:
    decode_message(
        Kind.PRESENCE, Lane.CRITICAL, encode_body(Presence(entries=[ENTRY] * MAX_PRESENCE_ENTRIES))
    )
    body = encode_body(Presence(entries=[ENTRY] * (MAX_PRESENCE_ENTRIES + 1)))
    with pytest.raises(ProtocolError):
        decode_message(Kind.PRESENCE, Lane.CRITICAL, body)


def test_only_a_broker_tells_and_only_a_peer_asks() -> None:
    for state in LinkState:
        for lane in LANES:
            here = (state, lane) == (LinkState.READY, Lane.CRITICAL)
            assert (Kind.PRESENCE in LEGAL[Side.BROKER][state][lane]) is here
            assert (Kind.WATCH in LEGAL[Side.PEER][state][lane]) is here
            assert Kind.PRESENCE not in LEGAL[Side.PEER][state][lane]
    assert Kind.WATCH in REQUESTS
