"""Alerts on the wire: what is said of them, and what is not legal."""

import msgspec
import pytest

from lanebus.wire.alerts import ALERT_ENTRIES, ALERT_TOPIC, MAX_FIGURES, AlertEntry, AlertNews
from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ProtocolError
from lanebus.wire.kinds import LEGAL, Kind, LinkState, Side
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import decode_message
from lanebus.wire.names import valid_topic

ENTRY = AlertEntry(
    "slow_receiver", "player:7", Lane.LOW, False, 5_250, 3, {"held_bytes": 70_000, "oldest_age_s": 5.25}
)
ABOUT_THE_BROKER = AlertEntry("memory", "", None, True, 0, 0, {})


def test_an_entry_says_what_it_said() -> None:
    message = AlertNews(entries=[ENTRY, ABOUT_THE_BROKER], begins=True, ends=True)
    assert decode_message(Kind.ALERTS, Lane.CRITICAL, encode_body(message)) == message


def test_a_kind_that_is_not_known_is_legal() -> None:
    message = AlertNews(entries=[msgspec.structs.replace(ENTRY, kind="out_of_coffee")])
    assert decode_message(Kind.ALERTS, Lane.CRITICAL, encode_body(message)) == message


@pytest.mark.parametrize(
    "entry",
    [
        ["", "player:7", 2, False, 0, 0, {}],
        ["memory", "x" * 161, None, False, 0, 0, {}],
        ["memory", "", 3, False, 0, 0, {}],
        ["memory", "", None, 1, 0, 0, {}],
        ["memory", "", None, False, -1, 0, {}],
        ["memory", "", None, False, 0, 0, {"held": "much"}],
        ["memory", "", None, False, 0, 0, {"": 1}],
        ["memory", "", None, False, 0, 0, {f"figure_{number}": 1 for number in range(MAX_FIGURES + 1)}],
        ["memory", ""],
    ],
)
def test_a_malformed_entry_is_an_error(entry: list[object]) -> None:
    with pytest.raises(ProtocolError):
        decode_message(Kind.ALERTS, Lane.CRITICAL, msgspec.msgpack.encode({"entries": [entry]}))


def test_a_message_has_so_many_entries_and_no_more() -> None:
    decode_message(Kind.ALERTS, Lane.CRITICAL, encode_body(AlertNews(entries=[ENTRY] * ALERT_ENTRIES)))
    with pytest.raises(ProtocolError):
        decode_message(
            Kind.ALERTS, Lane.CRITICAL, encode_body(AlertNews(entries=[ENTRY] * (ALERT_ENTRIES + 1)))
        )


def test_the_largest_message_is_small_for_a_frame() -> None:
    figures: dict[str, int | float] = {f"{number:064}": 1.5 for number in range(MAX_FIGURES)}
    largest = AlertEntry("k" * 64, "p" * 160, Lane.LOW, False, 1 << 52, 1 << 52, figures)
    assert len(encode_body(AlertNews(entries=[largest] * ALERT_ENTRIES))) < 1 << 18


def test_only_a_broker_tells() -> None:
    for state in LinkState:
        for lane in LANES:
            here = (state, lane) == (LinkState.READY, Lane.CRITICAL)
            assert (Kind.ALERTS in LEGAL[Side.BROKER][state][lane]) is here
            assert Kind.ALERTS not in LEGAL[Side.PEER][state][lane]


def test_the_topic_is_one() -> None:
    assert valid_topic(ALERT_TOPIC)
