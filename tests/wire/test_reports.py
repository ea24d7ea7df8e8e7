"""Reports of sessions in a ping: what is said of them, and what is not legal."""

import msgspec
import pytest

from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ProtocolError
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import decode_message
from lanebus.wire.pings import Ping
from lanebus.wire.reports import (
    MAX_REPORTS,
    MAX_UNHANDLED_TOPICS,
    LaneTimes,
    SessionReport,
    UnhandledTopic,
    WaitingLane,
)

REPORT = SessionReport(
    3,
    [UnhandledTopic("player.wave", "player:1", 7)],
    [WaitingLane(Lane.LOW, 3, 300)],
    [LaneTimes(Lane.LOW, 30, 20, [10, 1, 18, 2])],
)


def ping(*reports: object) -> object:
    return decode_message(
        Kind.PING, Lane.CRITICAL, msgspec.msgpack.encode([1, 0, [], None, "", [], list(reports)])
    )


def test_a_report_says_what_it_said() -> None:
    message = Ping(1, 0, [], reports=[REPORT])
    assert decode_message(Kind.PING, Lane.CRITICAL, encode_body(message)) == message


@pytest.mark.parametrize(
    "report",
    [
        [-1],
        [1, [["t", "s", 0]]],
        [1, [["", "s", 1]]],
        [1, [["t" * 129, "s", 1]]],
        [1, [["t", "", 1]]],
        [1, [["t", "s"]]],
        [1, [["t", "s", 1]] * (MAX_UNHANDLED_TOPICS + 1)],
        [1, [], [[3, 1, 1]]],
        [1, [], [[0, 0, 1]]],
        [1, [], [[0, 1, -1]]],
        [1, [], [[0, 1, 1]] * 4],
        [1, [], [], [[0, 1, 1, [5]]]],
        [1, [], [], [[0, 1, 1, [5, 1, 5, 1]]]],
        [1, [], [], [[0, 1, 1, [6, 1, 5, 1]]]],
        [1, [], [], [[0, 1, 1, [256, 1]]]],
        [1, [], [], [[0, 1, 1, [5, -1]]]],
        "report",
    ],
)
def test_a_malformed_report_is_an_error(report: object) -> None:
    with pytest.raises(ProtocolError):
        ping(report)


def test_a_ping_has_so_many_and_no_more() -> None:
    ping(*[REPORT] * MAX_REPORTS)
    with pytest.raises(ProtocolError):
        ping(*[REPORT] * (MAX_REPORTS + 1))
