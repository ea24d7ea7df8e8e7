"""Outboxes in a ping: what is said of them, and what is not legal."""

import msgspec
import pytest

from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ProtocolError
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import decode_message
from lanebus.wire.outboxes import MAX_OUTBOXES, OutboxReport
from lanebus.wire.pings import Ping

REPORT = OutboxReport(3, 9_000, 8_000, 7)


def ping(*reports: object) -> object:
    return decode_message(
        Kind.PING, Lane.CRITICAL, msgspec.msgpack.encode([1, 0, [], None, "", list(reports)])
    )


def test_a_report_says_what_it_said() -> None:
    message = Ping(1, 0, [], outboxes=[REPORT])
    assert decode_message(Kind.PING, Lane.CRITICAL, encode_body(message)) == message


def test_a_ping_without_any_may_leave_them_out() -> None:
    assert decode_message(Kind.PING, Lane.CRITICAL, msgspec.msgpack.encode([1, 0, []])) == Ping(1, 0, [])


@pytest.mark.parametrize("report", [[3, 1, 0, 0], [3, -1, 1, 0], [3, 1, 1], [3, 1, 1, 0, 0], [3, 1, 1, 0.5]])
def test_a_malformed_report_is_an_error(report: list[object]) -> None:
    with pytest.raises(ProtocolError):
        ping(report)


def test_a_ping_has_so_many_and_no_more() -> None:
    ping(*[REPORT] * MAX_OUTBOXES)
    with pytest.raises(ProtocolError):
        ping(*[REPORT] * (MAX_OUTBOXES + 1))
