"""Strangers: connections without a link are answered now and then, and hung up on when they go on."""

from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.strangers import (
    MAX_BYTES,
    MAX_FRAMES,
    PATIENCE_S,
    STRANGERS_REMEMBERED,
    TOLD_EVERY_S,
    Strangers,
)
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.lanes import LANES, Lane


def taken(strangers: Strangers) -> bool:
    """What the driver sees, and takes back."""
    unwanted, strangers.unwanted = strangers.unwanted, False
    return unwanted


def test_one_is_told_once_in_a_while_each_lane_by_itself() -> None:
    strangers = Strangers()
    assert strangers.is_told(Lane.LOW, b"a", 5.0)
    assert not strangers.is_told(Lane.LOW, b"a", 5.5)
    assert strangers.is_told(Lane.NORMAL, b"a", 5.5)
    assert strangers.is_told(Lane.LOW, b"b", 5.5)
    assert strangers.is_told(Lane.LOW, b"a", 5.0 + TOLD_EVERY_S)


def test_one_that_goes_on_is_looked_at_no_more_and_is_unwanted_once() -> None:
    strangers = Strangers()
    assert all(strangers.sent(Lane.LOW, b"a", 10, 0.0) for _ in range(MAX_FRAMES))
    # It has had no time to read why.
    assert not strangers.sent(Lane.LOW, b"a", 10, PATIENCE_S)
    assert not taken(strangers)
    assert not strangers.sent(Lane.LOW, b"a", 10, PATIENCE_S + 0.1)
    assert taken(strangers)
    assert not strangers.sent(Lane.LOW, b"a", 10, PATIENCE_S + 0.2)
    assert not taken(strangers)
    assert strangers.sent(Lane.LOW, b"b", 10, PATIENCE_S + 0.2)


def test_few_frames_that_are_large_are_too_much_as_well() -> None:
    strangers = Strangers()
    assert strangers.sent(Lane.LOW, b"a", MAX_BYTES, 0.0)
    assert not strangers.sent(Lane.LOW, b"a", 1, 2.0)
    assert taken(strangers)


def test_who_is_wrong_now_and_then_is_not_unwanted() -> None:
    strangers = Strangers()
    assert all(strangers.sent(Lane.LOW, b"a", 10, float(second)) for second in range(MAX_FRAMES))
    assert not taken(strangers)


def test_past_a_number_all_are_forgotten() -> None:
    strangers = Strangers()
    assert strangers.is_told(Lane.LOW, b"first", 0.0)
    for number in range(STRANGERS_REMEMBERED):
        strangers.sent(Lane.LOW, number.to_bytes(4, "big"), 1, 0.0)
    assert strangers.is_told(Lane.LOW, b"first", 0.0)


def test_what_is_under_way_on_a_link_that_ended_is_answered_once(bench: Bench) -> None:
    peer = Peer(bench, "server:a").attach()
    route = peer.routes[Lane.CRITICAL]
    assert route is not None
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    for _ in range(5):
        peer.ping()
    bench.turn()
    assert peer.errors == [ErrorNumber.NO_SESSION]
    assert len(bench.core.outgoing.frames) == 0
    assert bench.core.counters.control_out.messages == len(LANES) + 1


def test_their_frames_are_counted_past_what_is_looked_at() -> None:
    strangers = Strangers()
    for _ in range(MAX_FRAMES + 5):
        strangers.sent(Lane.LOW, b"a", 10, 0.0)
    assert [strangers.frames(Lane.LOW, route) for route in (b"a", b"b")] == [MAX_FRAMES + 5, 0]
