"""Events as handlers see them, and what programs learn of those they sent."""

import msgspec
import pytest

from lanebus.adapters.event import Event, Gap, Receipt, Unsettled
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason


def make(raw: bytes) -> Event:
    return Event(7, "player.attack", raw, "player:1", "server:a", Lane.CRITICAL, 1.5, False)


def test_a_payload_is_decoded_when_it_is_first_asked_for_and_once() -> None:
    event = make(msgspec.msgpack.encode({"target": 3}))
    assert event.payload == {"target": 3}
    assert event.payload is event.payload


def test_a_payload_that_is_not_messagepack_raises_when_it_is_asked_for_and_not_before() -> None:
    event = make(b"\xc1")
    assert event.raw == b"\xc1"
    with pytest.raises(msgspec.MsgspecError):
        _ = event.payload


def test_what_a_schema_made_of_the_payload_stands_in_its_place() -> None:
    event = make(b"\x01")
    event.payload = "decoded before"
    assert event.payload == "decoded before"
    event.payload = None
    assert event.payload is None


def test_an_event_says_in_one_line_what_it_is() -> None:
    assert repr(make(b"\x01")) == "<Event player.attack #7 from player:1 on critical>"


def test_a_receipt_is_in_flight_until_it_has_an_outcome() -> None:
    receipt = Receipt(3, Lane.LOW)
    assert (receipt.done, receipt.state) == (False, "in_flight")
    assert repr(receipt) == "<Receipt #3 on low: in_flight>"
    receipt.outcome, receipt.reason = Outcome.REFUSED, Reason.NO_HANDLER
    assert (receipt.done, receipt.state) == (True, "refused")
    assert repr(receipt) == "<Receipt #3 on low: refused no_handler>"


def test_an_unsettled_event_is_a_plain_tuple_with_names() -> None:
    unsettled = Unsettled(1, Lane.NORMAL, "t", ["all"], Outcome.DROPPED, Reason.SLOW_RECEIVER)
    assert unsettled.to == ["all"]
    assert unsettled[4:] == (Outcome.DROPPED, Reason.SLOW_RECEIVER)


@pytest.mark.parametrize(
    ("to", "whom"),
    [("player:2", "player:2"), (None, "whoever handles it"), (["player:1"] * 200, "200 destinations")],
)
def test_what_became_of_an_event_reads_as_a_line(to: str | list[str] | None, whom: str) -> None:
    told = Unsettled(7, Lane.LOW, "chat.line", to, Outcome.REFUSED, Reason.NO_SERVICE)
    assert repr(told) == f"<Unsettled chat.line #7 to {whom} on low, refused: no_service>"
    assert repr(Gap("server:a", Lane.LOW, "player:1")) == "<Gap in what player:1 gets from server:a on low>"
