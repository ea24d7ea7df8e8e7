"""The audit: it agrees with a sound broker, and finds what was planted."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.audit import Audit, audit
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Bye
from lanebus.wire.outcomes import Book, Outcome


@pytest.fixture
def server(bench: Bench) -> Peer:
    return Peer(bench, "server:a").attach()


@pytest.fixture
def players(bench: Bench) -> list[Peer]:
    return [Peer(bench, f"player:{number}").attach() for number in (1, 2)]


def look(bench: Bench) -> Audit:
    return audit(bench.core)


def come_to_rest(bench: Bench, *peers: Peer) -> None:
    for _ in range(2):
        for peer in peers:
            peer.settle_all()
            peer.ping()
        bench.advance(0.5)


def test_an_idle_broker_is_at_rest(bench: Bench, server: Peer, players: list[Peer]) -> None:
    server.ping()
    found = look(bench)
    assert found.problems == []
    assert found.at_rest
    assert found.sessions == 3


def test_books_count_events_once_and_parts_for_every_receiver(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "all", Lane.LOW)
    server.send("t", "player:9", Lane.LOW)
    bench.advance(0.5)
    found = look(bench)
    assert found.books.events[Lane.LOW].as_list() == [2, 0, 0, 0, 0, 1, 0]
    assert found.books.parts[Lane.LOW].as_list() == [3, 0, 0, 0, 0, 1, 0]
    assert found.problems == []
    assert not found.at_rest


def test_the_broker_is_at_rest_once_all_is_settled_and_every_peer_says_so(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "all")
    bench.advance(0.5)
    for player in players:
        player.settle_all()
    bench.advance(0.5)
    assert not look(bench).at_rest  # the server has not reported its book
    come_to_rest(bench, server)
    found = look(bench)
    assert found.at_rest
    assert found.problems == []
    assert [book.as_list() for book in found.books.reported] == [
        book.as_list() for book in found.books.events
    ]


def test_a_report_from_before_the_last_settlement_is_no_problem(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "all")
    server.ping()
    bench.advance(0.5)
    Peer(bench, "server:a").attach()
    assert look(bench).problems == []


def test_books_of_those_who_left_still_count(bench: Bench, server: Peer, players: list[Peer]) -> None:
    server.send("t", "player:1")
    bench.advance(0.5)
    come_to_rest(bench, *players, server)
    server.bye()
    bench.advance(2.0)
    found = look(bench)
    assert found.sessions == 2
    assert found.books.events[Lane.CRITICAL].accepted == 1
    assert found.books.reported[Lane.CRITICAL].accepted == 1
    assert found.problems == []


# What is planted is found


def under_way(bench: Bench, server: Peer) -> None:
    """One event on its way to two players, and one that waits for company."""
    server.send("t", "all")
    bench.turn()
    server.send("t", "all")
    bench.turn()
    assert look(bench).problems == []


@pytest.mark.parametrize("book", ["events", "parts"])
@pytest.mark.parametrize("figure", ["accepted", "ended"])
def test_a_figure_that_is_wrong_is_found(
    bench: Bench, server: Peer, players: list[Peer], book: str, figure: str
) -> None:
    under_way(bench, server)
    sending = bench.session("server:a").sending[Lane.CRITICAL]
    planted = sending.book if book == "events" else sending.parts
    if figure == "accepted":
        planted.accepted += 1
    else:
        planted.ended[Outcome.DELIVERED] += 1
    (problem,) = look(bench).problems
    assert problem.startswith("critical: ")
    assert f"{book} in flight by the book" in problem


def test_a_part_that_was_lost_is_found(bench: Bench, server: Peer, players: list[Peer]) -> None:
    under_way(bench, server)
    bench.receiving("player:1").unsettled.clear()
    problems = look(bench).problems
    assert "critical: 4 parts in flight by the book, 3 held by the broker" in problems
    assert any("have not the parts that they count on" in problem for problem in problems)


def test_an_event_that_counts_on_other_parts_is_found(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    under_way(bench, server)
    (event,) = bench.receiving("player:1").unsettled[bench.session("server:a").origin].values()
    event.remaining += 1
    assert look(bench).problems == [
        "critical: 1 events have not the parts that they count on, the first is 1 of server:a"
    ]


def test_a_sender_that_left_with_more_delivered_than_the_broker_knows_is_found(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    server.send("t", "player:1")
    bench.advance(0.5)
    books = [[9, 9, 0, 0, 0, 0, 0] for _ in LANES]
    server.say(Kind.BYE, Bye(books=[(0, books)]))
    found = look(bench)
    assert len(found.problems) == 3  # one a lane, while the session's last event is under way
    assert all("server:a left saying" in problem for problem in found.problems)
    players[0].settle_all()
    bench.advance(2.0)
    assert any(
        problem.startswith("senders that have left say 9 delivered") for problem in look(bench).problems
    )


def test_every_sender_is_looked_at_whatever_the_first_one_shows(
    bench: Bench, server: Peer, players: list[Peer]
) -> None:
    bench.core.registry.totals.reported[Lane.LOW].add(Book(1, [1, 0, 0, 0, 0, 0]))
    players[0].send("t", "server:a")  # its book is not reported
    bench.advance(0.5)
    server.send("t", "player:1")
    bench.advance(0.5)
    server.say(Kind.BYE, Bye(books=[(0, [[5, 5, 0, 0, 0, 0, 0]] * 3)]))
    problems = look(bench).problems
    assert any("server:a left saying" in problem for problem in problems)
    assert any("senders that have left" in problem for problem in problems)
