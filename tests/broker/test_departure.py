"""A receiver's process ends: its parts go to its successor, or they end with a reason."""

from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.trial import MAX_FAILURES
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.batches import EVENT_REDELIVERED
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

DELIVERED = (Outcome.DELIVERED, Reason.NONE)


def crash(peer: Peer) -> None:
    """The peer's process is gone: its connections are cut, and nothing more comes from it."""
    peer.cut()


def let_pass(bench: Bench, seconds: int, awake: Peer) -> None:
    """Let time pass in which `awake` shows that it lives."""
    for _ in range(seconds):
        awake.ping()
        bench.advance(1.0)


def handle_one_after_the_other(bench: Bench, peer: Peer, most: int = 50) -> None:
    """Settle what arrives until nothing more does."""
    for _ in range(most):
        if not peer.unsettled:
            return
        peer.settle_all()
        bench.advance(0.5)


def test_a_successor_gets_what_was_not_settled_in_order_before_anything_newer(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    older = Peer(bench, "player:1").attach()
    for _ in range(3):
        server.send("t", "player:1")
        bench.advance(0.05)
    crash(older)
    server.send("t", "player:1")
    bench.advance(0.05)
    newer = Peer(bench, "player:1").attach()
    server.send("t", "player:1")
    bench.advance(0.1)
    handle_one_after_the_other(bench, newer)
    assert newer.numbers() == [1, 2, 3, 4, 5]
    assert [server.end_of(number) for number in range(1, 6)] == [DELIVERED] * 5
    assert bench.problems() == []


def test_only_what_an_earlier_process_was_sent_is_marked_as_redelivered(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    older = Peer(bench, "player:1").attach()
    server.send("t", "player:1")
    bench.advance(0.05)
    crash(older)
    let_pass(bench, 5, awake=server)
    server.send("t", "player:1")
    newer = Peer(bench, "player:1").attach()
    bench.advance(0.1)
    handle_one_after_the_other(bench, newer)
    assert [got.flags & EVENT_REDELIVERED for got in newer.got] == [EVENT_REDELIVERED, 0]


def test_what_was_settled_is_not_given_to_the_successor(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    older = Peer(bench, "player:1").attach()
    for _ in range(3):
        server.send("t", "player:1")
        bench.advance(0.05)
    older.settle(older.got[:2])
    bench.advance(0.3)
    newer = Peer(bench, "player:1").attach()
    bench.advance(0.1)
    assert newer.numbers() == [3]


def test_suspects_come_together_until_another_process_ends_with_them(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    older = Peer(bench, "player:1").attach()
    for _ in range(3):
        server.send("t", "player:1")
        bench.advance(0.05)
    crash(older)
    newer = Peer(bench, "player:1").attach()
    bench.advance(1.0)
    assert newer.numbers() == [1, 2, 3]
    crash(newer)
    newest = Peer(bench, "player:1").attach()
    bench.advance(1.0)
    assert newest.numbers() == [1]
    newest.settle_all()
    bench.advance(1.0)
    assert newest.numbers() == [1, 2]


def test_only_the_part_that_ends_processes_becomes_poison() -> None:
    # Nobody sees that a process has died until its connection is written to: to take its name often is no offence here.
    bench = Bench(small_config(policy=PolicyConfig(cool_down_s=0.0)))
    server = Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    for _ in range(3):
        server.send("t", "player:1")
        bench.advance(0.05)
    lives = 1
    while server.end_of(2) is None:
        # Every life handles the first event, and dies of the second.
        for got in list(player.unsettled):
            if got.number != 2:
                player.settle([got])
                bench.advance(0.3)
        crash(player)
        player = Peer(bench, "player:1").attach()
        lives += 1
        bench.advance(0.5)
        assert lives < 20
    assert lives == MAX_FAILURES + 1
    assert server.end_of(2) == (Outcome.REFUSED, Reason.POISON)
    handle_one_after_the_other(bench, player)
    assert (server.end_of(1), server.end_of(3)) == (DELIVERED, DELIVERED)
    (dead,) = bench.core.departures.dead
    assert (dead.sender, dead.receiver, dead.lane, dead.number) == ("server:a", "player:1", Lane.CRITICAL, 2)
    assert (dead.topic, dead.deliveries) == ("t", MAX_FAILURES)
    assert bench.problems() == []


def test_a_cut_link_of_a_living_process_makes_nobody_a_suspect(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    for _ in range(3):
        server.send("t", "player:1")
    bench.advance(0.05)
    for _ in range(MAX_FAILURES + 2):
        player.cut()
        bench.advance(0.1)
        player.attach()
        bench.advance(0.1)
    player.settle_all()
    bench.advance(0.5)
    assert [server.end_of(number) for number in (1, 2, 3)] == [DELIVERED] * 3
    assert not any(got.flags for got in player.got)


def test_parts_behind_a_gateway_go_to_the_session_that_takes_the_name(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    first, second = Peer(bench, "gateway:f").attach(), Peer(bench, "gateway:s").attach()
    first.open(1, "player:1")
    first.open(2, "player:2")
    server.send("t", ["player:1", "player:2"])
    bench.advance(0.1)
    second.open(1, "player:1")
    bench.advance(0.1)
    assert second.numbers(session=1) == [1]
    handle_one_after_the_other(bench, second)
    first.settle_all()
    bench.advance(0.5)
    assert server.end_of(1) == DELIVERED
    assert bench.problems() == []


def test_a_successor_stands_in_the_groups_and_services_of_its_predecessor(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    crash(player)
    bench.advance(0.1)
    session = bench.session("player:1")
    bench.core.directory.join("room", session, session.attachment, 1)
    bench.core.directory.register(bench.session("server:a"), "arena", ["t"])
    Peer(bench, "player:1").attach()
    Peer(bench, "server:a").attach()
    assert set(bench.core.directory.groups["room"].values()) == {bench.session("player:1")}
    instances = bench.core.directory.services["arena"].instances
    assert {each.session for each in instances.values()} == {bench.session("server:a")}
    assert server.errors == [ErrorNumber.FENCED]


def test_without_a_successor_sent_parts_end_as_unknown_and_others_as_refused(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    server.send("t", "player:1")
    bench.advance(0.05)
    crash(player)
    let_pass(bench, 5, awake=server)
    server.send("t", "player:1")
    let_pass(bench, 20, awake=server)
    assert server.end_of(1) == (Outcome.UNKNOWN, Reason.RECEIVER_GONE)
    assert server.end_of(2) == (Outcome.REFUSED, Reason.RECEIVER_GONE)
    assert bench.problems() == []


def test_players_of_a_gateway_that_died_come_back_behind_its_successor(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    server.send("t", "player:1")
    bench.advance(0.1)
    crash(gateway)
    successor = Peer(bench, "gateway:g").attach()
    server.send("t", "player:1")
    bench.advance(0.1)
    successor.open(1, "player:1")
    bench.advance(0.1)
    handle_one_after_the_other(bench, successor)
    assert successor.numbers(session=1) == [1, 2]
    assert (server.end_of(1), server.end_of(2)) == (DELIVERED, DELIVERED)
    let_pass(bench, 12, awake=server)
    assert bench.problems() == []


def test_an_event_to_a_list_with_an_unknown_name_is_not_delivered(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    server.send("t", ["player:1", "player:nobody"])
    bench.advance(0.1)
    player.settle_all()
    bench.advance(0.5)
    assert player.numbers() == [1]
    assert server.end_of(1) == (Outcome.REFUSED, Reason.UNKNOWN_DESTINATION)
    assert bench.problems() == []
