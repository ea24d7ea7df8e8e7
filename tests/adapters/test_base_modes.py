"""Delivery modes and times to live, against a real broker."""

import time

from tests.adapters.real import until

from lanebus.adapters.event import Receipt
from lanebus.adapters.server import ServerAdapter
from lanebus.wire.outcomes import Reason


def test_a_newer_value_replaces_the_older_one_and_the_sender_is_told(
    pair: tuple[ServerAdapter, ServerAdapter],
) -> None:
    one, other = pair
    got: list[object] = []
    told: list[tuple[int, str, str]] = []
    other.on("unit")(lambda event: got.append(event.payload))
    one.on_unsettled(lambda each: told.append((each.number, each.outcome.label, each.reason)))
    for value in range(5):
        one.send("unit", value, to="server:b", mode="latest", key=7)
    volatile = one.send("unit", "volatile", to="server:b", mode="volatile", receipt=True)
    late = one.send("unit", "late", to="server:b", ttl_ms=1, receipt=True)
    time.sleep(0.002)  # its time is over, whatever the machine does
    until(lambda: one.in_flight == 0, one, other, what="everything is settled")
    assert got == [4, "volatile"]
    assert isinstance(volatile, Receipt)
    assert isinstance(late, Receipt)
    assert (volatile.state, late.state, late.reason) == ("delivered", "expired", Reason.TOO_LATE)
    assert told == [
        *((number, "superseded", "newer_value") for number in range(1, 5)),
        (7, "expired", "too_late"),
    ]
    assert one.book("normal").as_dict()["superseded"] == 4
