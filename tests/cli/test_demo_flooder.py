"""The player that floods: how often it sends, and what it counts."""

import pytest

import lanebus
from lanebus.cli.demo_flooder import EVERY_S, OUTBOX_BYTES, TRIES, Flooder
from lanebus.wire.lanes import Lane


@pytest.fixture
def adapter() -> lanebus.ClientAdapter:
    return lanebus.ClientAdapter("koda", broker="tcp://127.0.0.1:9", outbox_bytes=OUTBOX_BYTES)


def test_it_sends_nothing_until_it_is_told(adapter: lanebus.ClientAdapter) -> None:
    flooder = Flooder(adapter)
    flooder.turn(10.0)
    assert (flooder.counts().tried, adapter.in_flight) == (0, 0)


def test_it_sends_as_much_as_its_outbox_takes_and_tries_more(adapter: lanebus.ClientAdapter) -> None:
    flooder = Flooder(adapter)
    flooder.is_on = True
    flooder.turn(10.0)
    counts = flooder.counts()
    assert counts.tried == TRIES
    assert 100 <= counts.sent == adapter.in_flight == adapter.book(Lane.NORMAL).accepted <= 200
    flooder.turn(10.0 + EVERY_S / 2)
    assert flooder.counts().tried == TRIES
    flooder.turn(10.0 + EVERY_S)
    assert flooder.counts().tried == 2 * TRIES
    assert flooder.counts().sent == counts.sent
    adapter.close(0.0)


def test_it_counts_what_is_held_back() -> None:
    class Throttled:
        throttled = [  # noqa: RUF012 - nobody changes it
            lanebus.ThrottledLane("player:koda", Lane.NORMAL, "events_per_s", 131, 0.2),
            lanebus.ThrottledLane("player:koda", Lane.LOW, "events_per_s", 2, 0.2),
        ]

        def send(self, topic: str, payload: object, *, lane: str) -> int:
            return 1

    flooder = Flooder(Throttled())
    flooder.is_on = True
    flooder.turn(1.0)
    assert (flooder.counts().sent, flooder.counts().held) == (TRIES, 133)
