"""What comes in: batches of one peer and of a gateway, and what the broker is told of them."""

from typing import Any

import pytest
from tests.adapters.down import batch, header_of, row, welcome

from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.inbox import EVENT_BYTES
from lanebus.adapters.incoming import MOST_IN_A_REPORT, Incoming
from lanebus.adapters.outlane import LaneStats
from lanebus.adapters.session import SessionCore
from lanebus.wire.batches import EVENT_AFTER_GAP
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_LINKED
from lanebus.wire.history import History
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Ack, Revoked, Settle
from lanebus.wire.outcomes import Outcome, Reason

ONE = (1, 1, "server:one", b"1" * 16)
TWO = (2, 1, "server:two", b"2" * 16)
DONE = (Outcome.DELIVERED, Reason.NONE)


class Bench:
    """The receiving half of an attachment, with sessions of the given indexes."""

    def __init__(self, *indexes: int) -> None:
        self.sessions: dict[int, SessionCore] = {}
        self.stats = [LaneStats() for _ in LANES]
        self.incoming = Incoming(self.sessions, self.stats, BrokerClock())
        for index in indexes:
            self.sessions[index] = SessionCore(
                index,
                f"player:{index}",
                bytes([index]) * 16,
                arrivals=self.incoming.arrivals,
                to_report=self.incoming.to_report,
                outbox_bytes=0,
                strict=False,
            )

    def take(self, frame: bytes) -> None:
        header = header_of(frame)
        self.incoming.batch(header.lane, header, frame, 1.0)

    def arrived(self, lane: Lane = Lane.NORMAL) -> list[tuple[int, str, int]]:
        """Session, sender and number of what waits."""
        return [
            (stream.inbox.session, stream.name, event.number)
            for stream, event in self.incoming.arrivals[lane]
        ]

    def handle_all(self) -> None:
        for arrivals in self.incoming.arrivals:
            while arrivals:
                stream, event = arrivals.popleft()
                stream.inbox.settle(stream, event, DONE)

    def control(self) -> tuple[Kind, Ack | Settle] | None:
        return self.incoming.take_control()


@pytest.fixture
def bench() -> Bench:
    return Bench(0)


def wrong(bench: Bench, frame: bytes) -> ErrorNumber:
    """Take a frame that is not legal; the error."""
    with pytest.raises(ProtocolError) as caught:
        bench.take(frame)
    return caught.value.number


def test_events_arrive_in_order_with_their_senders(bench: Bench) -> None:
    bench.take(batch(1, [ONE, TWO], [row(1, 1), row(2, 1), row(1, 2)]))
    bench.take(batch(2, [(1, 1)], [row(1, 3)]))
    assert bench.arrived() == [
        (0, "server:one", 1),
        (0, "server:two", 1),
        (0, "server:one", 2),
        (0, "server:one", 3),
    ]
    assert bench.incoming.received == [0, 2, 0]
    stats = bench.stats[Lane.NORMAL]
    assert (stats.batches_in, stats.events_in) == (2, 4)


def test_a_gateways_batch_names_the_sessions_and_one_that_was_closed_is_passed_over() -> None:
    bench = Bench(1, 3)
    bench.take(batch(1, [ONE], [([1, 2, 3], row(1, 1)), ([2], row(1, 2)), ([3], row(1, 3))], targeted=True))
    assert bench.arrived() == [(1, "server:one", 1), (3, "server:one", 1), (3, "server:one", 3)]
    assert bench.stats[Lane.NORMAL].events_in == 3


def test_a_batch_out_of_turn_is_wrong(bench: Bench) -> None:
    assert wrong(bench, batch(2, [ONE], [row(1, 1)])) is ErrorNumber.BATCH_GAP
    bench.take(batch(1, [ONE], [row(1, 1)]))
    assert wrong(bench, batch(1, [ONE], [row(1, 1)])) is ErrorNumber.BATCH_GAP
    assert bench.incoming.received[Lane.NORMAL] == 1


def test_a_sender_that_was_never_named_is_wrong(bench: Bench) -> None:
    assert wrong(bench, batch(1, [(1, 1)], [row(1, 1)])) is ErrorNumber.BAD_BODY


@pytest.mark.parametrize("targeted", [False, True])
def test_an_event_of_a_sender_that_its_batch_does_not_list_is_wrong(targeted: bool) -> None:
    bench = Bench(0, 1)
    events = [([1], row(2, 1))] if targeted else [row(2, 1)]
    assert wrong(bench, batch(1, [ONE], events, targeted=targeted)) is ErrorNumber.BAD_BODY


def test_a_batch_to_a_gateway_that_names_no_sessions_is_wrong() -> None:
    assert wrong(Bench(1), batch(1, [ONE], [row(1, 1)])) is ErrorNumber.BAD_BODY


def test_bases_travel_with_batches(bench: Bench) -> None:
    bench.take(batch(1, [ONE], [row(1, number) for number in (1, 2, 3)]))
    bench.handle_all()
    bench.take(batch(2, [(1, 3)], [row(1, 4)]))
    stream = bench.sessions[0].inbox.stream(1, Lane.NORMAL)
    assert stream is not None
    assert stream.base == 3
    assert sorted(stream.seen) == [3, 4]


def test_what_is_received_is_acknowledged_and_what_is_handled_is_settled_in_one_message(bench: Bench) -> None:
    assert bench.control() is None
    bench.take(batch(1, [ONE], [row(1, 1), row(1, 2)]))
    bench.take(batch(1, [ONE], [row(1, 1)], lane=Lane.LOW))
    assert bench.incoming.owed_batches == 1
    assert bench.control() == (Kind.ACK, Ack([0, 1, 1]))
    assert bench.incoming.owed_batches == 0
    assert bench.control() is None
    bench.handle_all()
    assert bench.incoming.handled_bytes == 3 + 3 * EVENT_BYTES
    control = bench.control()
    assert control is not None
    kind, settle = control
    assert kind is Kind.SETTLE
    assert isinstance(settle, Settle)
    assert settle.acks == [0, 1, 1]
    assert [(each.origin, each.lane, each.runs) for each in settle.settlements] == [
        (1, Lane.NORMAL, [1, 2]),
        (1, Lane.LOW, [1, 1]),
    ]
    assert bench.control() is None


def test_a_frame_on_its_way_acknowledges_its_lane(bench: Bench) -> None:
    bench.take(batch(1, [ONE], [row(1, 1)]))
    bench.take(batch(2, [(1, 1)], [row(1, 2)]))
    assert bench.incoming.owed_batches == 2
    assert bench.incoming.piggybacked(Lane.NORMAL) == 2
    assert bench.incoming.piggybacked(Lane.LOW) == 0
    assert bench.control() is None


def test_a_message_takes_in_so_many_settlements_and_no_more() -> None:
    senders = [(origin, 1, f"server:{origin}", origin.to_bytes(16, "big")) for origin in range(1, 601)]
    bench = Bench(*range(1, 31))
    everybody = list(range(1, 31))
    bench.take(batch(1, senders, [(everybody, row(origin, 1)) for origin in range(1, 601)], targeted=True))
    bench.handle_all()
    counts = []
    while (control := bench.control()) is not None:
        assert isinstance(control[1], Settle)
        counts.append(len(control[1].settlements))
    assert sum(counts) == 600 * 30
    # Each has a run of one number, and four bounds' worth of other fields.
    assert max(counts) <= MOST_IN_A_REPORT // 6 + 1
    assert len(counts) == 4


def test_a_session_that_was_closed_settles_nothing() -> None:
    bench = Bench(1, 2)
    bench.take(batch(1, [ONE], [([1, 2], row(1, 1)), ([2], row(1, 2))], targeted=True))
    bench.incoming.discard(1)
    assert bench.arrived() == [(2, "server:one", 1), (2, "server:one", 2)]
    bench.handle_all()
    del bench.sessions[2]
    assert bench.incoming.handled_bytes == 0
    assert bench.control() == (Kind.ACK, Ack([0, 1, 0]))


def test_a_fresh_link_begins_with_batch_one(bench: Bench) -> None:
    bench.take(batch(1, [ONE], [row(1, 1)]))
    bench.incoming.relink()
    assert bench.incoming.received == [0, 0, 0]
    assert bench.incoming.owed_batches == 0
    bench.take(batch(1, [ONE], [row(1, 1), row(1, 2)]))
    assert bench.arrived() == [(0, "server:one", 1), (0, "server:one", 2)]
    assert bench.sessions[0].inbox.duplicates == 1


def linked_batches(count: int) -> list[bytes]:
    """Batches of one link, each of one event with the same number, that refer to each other."""
    said = History()
    payload = bytes(range(200))
    return [
        batch(number, [ONE], [row(1, number, payload=payload)], history=said)
        for number in range(1, count + 1)
    ]


def test_linked_batches_are_read_with_what_came_before_them(bench: Bench) -> None:
    bench.incoming.adopt(welcome(linked=True))
    frames = linked_batches(3)
    assert [bool(header_of(frame).flags & FLAG_LINKED) for frame in frames] == [False, True, True]
    for frame in frames:
        bench.take(frame)
    waiting = bench.incoming.arrivals[Lane.NORMAL]
    assert [event.payload for _, event in waiting] == [bytes(range(200))] * 3
    assert bench.stats[Lane.NORMAL].bytes_in == sum(map(len, frames))


def test_the_history_of_a_fresh_link_is_empty(bench: Bench) -> None:
    first, second = linked_batches(2)
    bench.incoming.adopt(welcome(linked=True))
    bench.take(first)
    bench.incoming.relink()
    bench.incoming.adopt(welcome(linked=True))
    bench.take(batch(1, [ONE], [row(1, 1)]))
    assert wrong(bench, second) is ErrorNumber.BAD_COMPRESSION


@pytest.mark.parametrize("changes", [{}, {"linked": False}])
def test_a_linked_batch_of_a_broker_that_did_not_say_so_is_an_error(
    bench: Bench, changes: dict[str, Any]
) -> None:
    first, second = linked_batches(2)
    bench.incoming.adopt(welcome(linked=True))
    bench.incoming.relink()
    bench.incoming.adopt(welcome(**changes))
    bench.take(first)
    assert wrong(bench, second) is ErrorNumber.UNKNOWN_FLAGS


def test_a_resumed_link_tells_again_what_may_have_been_lost(bench: Bench) -> None:
    bench.take(batch(1, [ONE], [row(1, 1)]))
    bench.handle_all()
    bench.control()
    bench.sessions[0].changed_books()
    bench.incoming.relink()
    bench.incoming.resume()
    control = bench.control()
    assert control is not None
    assert control[0] is Kind.SETTLE
    assert bench.sessions[0].changed_books() is not None


def test_a_broker_that_has_forgotten_is_told_nothing_of_what_it_never_knew(bench: Bench) -> None:
    bench.take(batch(1, [ONE], [row(1, 1), row(1, 2)]))
    stream, event = bench.incoming.arrivals[Lane.NORMAL].popleft()
    stream.inbox.settle(stream, event, DONE)
    bench.sessions[0].changed_books()
    bench.incoming.relink()
    bench.incoming.restart()
    bench.handle_all()
    assert bench.control() is None
    assert bench.sessions[0].changed_books() is not None
    # Its numbers for senders are new ones; the old one now belongs to somebody else.
    bench.take(
        batch(1, [(1, 1, "server:two", b"2" * 16), (2, 1, "server:one", b"1" * 16)], [row(1, 1), row(2, 1)])
    )
    assert bench.arrived() == [(0, "server:two", 1)]


@pytest.mark.patches
def test_names_of_senders_are_remembered_within_a_bound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lanebus.adapters.incoming.MAX_SOURCES", 2)
    bench.take(batch(1, [ONE, TWO], [row(1, 1), row(2, 1)]))
    bench.take(batch(2, [(3, 1, "server:three", b"3" * 16)], [row(3, 1)]))
    assert wrong(bench, batch(3, [(1, 1)], [row(1, 2)])) is ErrorNumber.BAD_BODY


def timed_row(number: int, ttl: int, *, flags: int = 0) -> tuple[object, ...]:
    return (*row(1, number, flags=flags), ttl)


def test_a_time_to_live_counts_from_the_stamp_and_not_from_the_arrival(bench: Bench) -> None:
    bench.incoming._clock.measure(0, 0.0, 0.0)  # the broker's clock began with the local one
    bench.take(batch(1, [ONE], [timed_row(1, 25_000), row(1, 2)]))
    ((key, deadline),) = bench.sessions[0].inbox.deadlines.items()
    assert key[1] == 1
    assert deadline == pytest.approx(2.5, abs=0.001)
    assert bench.incoming.expires_at == deadline


@pytest.mark.parametrize("where", ["unhandled", "unread"])
def test_what_waits_for_a_handler_or_for_its_session_ends_when_its_time_is_over(
    bench: Bench, where: str
) -> None:
    bench.incoming._clock.measure(0, 0.0, 0.0)
    rows = [timed_row(1, 15_000), row(1, 2), timed_row(4, 90_000)]
    bench.take(batch(1, [ONE], rows))
    arrivals = bench.incoming.arrivals[Lane.NORMAL]
    session = bench.sessions[0]
    while arrivals:
        if where == "unhandled":
            bench.incoming.wait_for_handler(session, *arrivals.popleft(), 0.0)
        else:
            session.unread.append(arrivals.popleft())
    waiting = session.unhandled if where == "unhandled" else session.unread
    bench.incoming.expire(1.4)
    assert len(waiting) == 3
    bench.incoming.expire(1.6)
    assert [event.number for _, event in waiting] == [2, 4]
    message = bench.control()
    assert message is not None
    assert isinstance(message[1], Settle)
    assert [(each.outcome, list(each.runs)) for each in message[1].settlements] == [(Outcome.EXPIRED, [1, 1])]
    bench.incoming.expire(1.65)
    assert bench.incoming.expires_at == pytest.approx(9.0)


def test_one_that_tells_of_a_gap_is_judged_in_its_turn_and_not_before(bench: Bench) -> None:
    bench.incoming._clock.measure(0, 0.0, 0.0)
    bench.take(batch(1, [ONE], [timed_row(3, 15_000, flags=EVENT_AFTER_GAP)]))
    unread = bench.sessions[0].unread
    unread.append(bench.incoming.arrivals[Lane.NORMAL].popleft())
    bench.incoming.expire(1.6)
    assert [event.number for _, event in unread] == [3]
    bench.incoming.expire(1.65)
    assert bench.incoming.expires_at == pytest.approx(1.7)


def test_what_went_to_another_instance_waits_nowhere_any_more(bench: Bench) -> None:
    bench.take(batch(1, [ONE, TWO], [row(1, number) for number in range(1, 6)] + [row(2, 1)]))
    session, arrivals = bench.sessions[0], bench.incoming.arrivals[Lane.NORMAL]
    session.unhandled.put(*arrivals.popleft(), 0.0, 10.0)
    session.unread.append(arrivals.popleft())
    stream, event = arrivals[0]
    session.inbox.deadlines[stream, event.number] = 2.0
    bench.incoming.revoke(
        [
            Revoked(0, 1, Lane.NORMAL, [1, 1, 3, 1 << 20]),
            Revoked(0, 1, Lane.NORMAL, [2, 2]),
            Revoked(0, 7, Lane.NORMAL, [1, 5]),
            Revoked(9, 1, Lane.NORMAL, [1, 5]),
        ]
    )
    assert not session.unhandled
    assert not session.unread
    assert not session.inbox.deadlines
    assert bench.arrived() == [(0, "server:two", 1)]
