"""The outbox: numbers, limits, and a book that balances at every step."""

from random import Random

import pytest

from lanebus.adapters.errors import OutboxFull
from lanebus.adapters.outbox import EVENT_OVERHEAD_BYTES, Outbox
from lanebus.adapters.outevent import OutEvent
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import OUTCOMES, Outcome, Reason
from lanebus.wire.runs import runs_of


def accept(
    outbox: Outbox,
    lane: Lane = Lane.NORMAL,
    *,
    payload: bytes = b"x",
    to: str | list[str] | None = "server:a",
    exclude: list[str] | None = None,
    receipt: bool = False,
) -> OutEvent:
    return outbox.accept(0, lane, "topic", to, exclude or [], payload, 1.0, 0, receipt)


def balanced(outbox: Outbox) -> bool:
    return all(outbox.books[lane].in_flight == len(outbox.unsettled[lane]) for lane in LANES) and (
        outbox.held_bytes == sum(event.size for lane in LANES for event in outbox.events(lane))
    )


def test_numbers_count_from_one_on_each_lane_and_are_never_used_again() -> None:
    outbox = Outbox("server:a", 10_000)
    assert [accept(outbox, Lane.NORMAL).number for _ in range(3)] == [1, 2, 3]
    assert accept(outbox, Lane.LOW).number == 1
    outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [1, 3])
    assert accept(outbox, Lane.NORMAL).number == 4


def test_a_full_outbox_accepts_nothing_and_says_how_full_it_is() -> None:
    size = 1 + len("topic") + EVENT_OVERHEAD_BYTES
    outbox = Outbox("server:a", 2 * size)
    accept(outbox)
    accept(outbox)
    with pytest.raises(OutboxFull) as caught:
        accept(outbox)
    assert (caught.value.held_bytes, caught.value.limit_bytes) == (2 * size, 2 * size)
    assert outbox.books[Lane.NORMAL].accepted == outbox.in_flight == 2
    assert balanced(outbox)
    outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [1, 1])
    assert accept(outbox).number == 3, "the refused one has taken no number"
    assert outbox.turned_away == 1


def test_a_long_list_of_destinations_takes_its_room() -> None:
    outbox = Outbox("server:a", 1_000_000)
    many = [f"player:{number}" for number in range(100)]
    plain = accept(outbox, to="group:room").size
    assert accept(outbox, to=many).size == plain + sum(map(len, many))
    assert accept(outbox, to="group:room", exclude=many).size >= plain + sum(map(len, many))
    assert balanced(outbox)


def test_the_base_is_the_lowest_unsettled_number_or_the_next_one_to_come() -> None:
    outbox = Outbox("server:a", 10_000)
    assert outbox.base(Lane.NORMAL) == 1
    for _ in range(4):
        accept(outbox)
    assert outbox.base(Lane.NORMAL) == 1
    outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [2, 2])
    assert outbox.base(Lane.NORMAL) == 1
    outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [1, 1])
    assert outbox.base(Lane.NORMAL) == 3
    outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [3, 4])
    assert outbox.base(Lane.NORMAL) == 5
    assert accept(outbox).number == 5
    assert outbox.base(Lane.LOW) == 1


def test_only_what_was_not_delivered_is_told() -> None:
    outbox = Outbox("server:a", 10_000)
    for _ in range(3):
        accept(outbox)
    assert outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [1, 1]) == []
    told = outbox.settle(Lane.NORMAL, Outcome.REFUSED, Reason.NO_HANDLER, [2, 3])
    assert [(each.number, each.topic, each.to, each.outcome, each.reason) for each in told] == [
        (2, "topic", "server:a", Outcome.REFUSED, Reason.NO_HANDLER),
        (3, "topic", "server:a", Outcome.REFUSED, Reason.NO_HANDLER),
    ]


def test_the_first_settlement_counts_and_later_ones_are_counted() -> None:
    outbox = Outbox("server:a", 10_000)
    receipt = accept(outbox, receipt=True).receipt
    assert receipt is not None
    outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [1, 1])
    assert outbox.settle(Lane.NORMAL, Outcome.UNKNOWN, Reason.RECEIVER_GONE, [1, 2]) == []
    assert outbox.ignored == 2
    assert receipt.state == "delivered"
    assert balanced(outbox)


def test_a_receipt_follows_its_event() -> None:
    outbox = Outbox("server:a", 10_000)
    receipt = accept(outbox, receipt=True).receipt
    assert receipt is not None
    assert not receipt.done
    outbox.settle(Lane.NORMAL, Outcome.REFUSED, Reason.BAD_PAYLOAD, [1, 1])
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, Reason.BAD_PAYLOAD)
    assert accept(outbox).receipt is None


def test_what_is_abandoned_is_unknown_on_every_lane() -> None:
    outbox = Outbox("server:a", 10_000)
    for lane in LANES:
        accept(outbox, lane)
    told = outbox.abandon(Reason.CLOSED)
    assert [(each.lane, each.outcome, each.reason) for each in told] == [
        (lane, Outcome.UNKNOWN, Reason.CLOSED) for lane in LANES
    ]
    assert outbox.in_flight == outbox.held_bytes == 0
    assert outbox.abandon(Reason.CLOSED) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_book_balances_at_every_step(seed: int) -> None:
    random = Random(seed)
    outbox = Outbox("server:a", 3_000)
    for _ in range(500):
        lane = random.choice(LANES)
        if random.random() < 0.6:
            try:
                accept(outbox, lane, payload=b"x" * random.randrange(200))
            except OutboxFull:
                pass
        else:
            numbers = random.sample(range(1, 200), random.randrange(1, 10))
            outcome = random.choice(OUTCOMES)
            outbox.settle(lane, outcome, Reason.NONE, runs_of(numbers))
        assert balanced(outbox)
        assert outbox.held_bytes <= 3_000
        for each in LANES:
            book = outbox.books[each]
            assert book.accepted == sum(book.ended) + book.in_flight
            assert outbox.base(each) <= min(outbox.unsettled[each], default=outbox.base(each))
