"""The budget of the whole broker: who gives way first, and that nothing is lost when it is used up."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.budget import Budget
from lanebus.conf.model import EgressConfig
from lanebus.wire.batches import EVENT_VOLATILE
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.outcomes import Outcome, Reason

BUDGET_BYTES = 65_536
EVENT_BYTES = 900
FULL = (Outcome.DROPPED, Reason.BROKER_FULL)


@pytest.fixture
def crowd() -> Bench:
    """A broker whose budget is used up long before any queue is full."""
    egress = EgressConfig(credit_bytes=2048, queue_bytes=10_000_000, budget_bytes=BUDGET_BYTES)
    return Bench(small_config(egress=egress))


def fill(bench: Bench, sender: Peer, to: str, share: float) -> int:
    """Send until this share of the budget is used; the last number sent."""
    number = 0
    while bench.core.budget.held_bytes < BUDGET_BYTES * share:
        number = sender.send("t", to, payload=b"x" * EVENT_BYTES)
        bench.advance(0.02)
    return number


def test_a_budget_pushes_back_at_its_limit_and_until_some_of_it_is_free() -> None:
    budget = Budget(1000)
    for held_bytes, sheds, refuses, pushes_back in (
        (799, False, False, False),
        (800, True, False, False),
        (900, True, True, False),
        (999, True, True, False),
        (1000, True, True, True),
        (950, True, True, True),
        (949, True, True, False),
        (999, True, True, False),
    ):
        budget.held_bytes = held_bytes
        assert (budget.sheds, budget.refuses, budget.pushes_back) == (sheds, refuses, pushes_back)


def test_what_has_ended_is_held_no_more(crowd: Bench) -> None:
    server, player = Peer(crowd, "server:a").attach(), Peer(crowd, "player:1").attach()
    server.ask(Kind.JOIN, group="room", member="player:1")
    server.send("t", "group:room", payload=b"x" * 100)
    server.send("t", "player:nobody", payload=b"x" * 100)
    crowd.advance(0.1)
    assert 100 < crowd.core.budget.held_bytes < 200
    player.settle_all()
    crowd.advance(0.1)
    assert crowd.core.budget.held_bytes == 0


def test_volatile_events_give_way_first(crowd: Bench) -> None:
    server = Peer(crowd, "server:a").attach()
    for number in (1, 2):
        Peer(crowd, f"player:{number}").attach()
    fill(crowd, server, "player:1", 0.8)
    shed = server.send("t", "player:2", flags=EVENT_VOLATILE)
    kept = server.send("t", "player:2")
    crowd.advance(0.5)
    assert server.end_of(shed) == FULL
    assert server.end_of(kept) is None


def test_then_newcomers_are_refused_and_those_who_are_known_are_not(crowd: Bench) -> None:
    server, player = Peer(crowd, "server:a").attach(), Peer(crowd, "player:1").attach()
    fill(crowd, server, "player:1", 0.9)
    stranger = Peer(crowd, "player:2")
    stranger.say_hello()
    crowd.turn()
    assert stranger.errors == [ErrorNumber.BUSY]
    player.cut()
    crowd.advance(0.1)
    assert player.attach().up
    successor = Peer(crowd, "player:1").attach()
    assert successor.up


def test_at_the_limit_parts_of_groups_are_dropped_for_the_slowest(crowd: Bench) -> None:
    server = Peer(crowd, "server:a").attach()
    Peer(crowd, "player:1").attach()
    server.ask(Kind.JOIN, group="room", member="player:1")
    count = 2 * BUDGET_BYTES // EVENT_BYTES
    for _ in range(count):
        server.send("t", "group:room", payload=b"x" * EVENT_BYTES)
        crowd.advance(0.02)
        assert crowd.core.budget.held_bytes < BUDGET_BYTES
    crowd.advance(0.5)
    ends = [server.end_of(number) for number in range(1, count + 1)]
    assert ends.count(FULL) > count // 3
    assert set(ends) == {FULL, None}
    assert crowd.problems() == []


def test_at_the_limit_events_stay_with_their_senders_until_there_is_room(crowd: Bench) -> None:
    server, slow, other = (Peer(crowd, name).attach() for name in ("server:a", "player:1", "player:2"))
    last = fill(crowd, server, "player:1", 1.0)
    waits = server.send("t", "player:2")
    crowd.advance(0.5)
    assert other.got == []
    assert crowd.core.budget.held_bytes < BUDGET_BYTES + 2 * EVENT_BYTES
    for _ in range(last):
        slow.settle_all()
        other.settle_all()
        server.ping()
        other.ping()
        crowd.advance(0.3)
    assert slow.numbers() == list(range(1, last + 1))
    assert server.end_of(waits) == (Outcome.DELIVERED, Reason.NONE)
    assert crowd.core.budget.held_bytes == 0
    assert crowd.problems() == []
