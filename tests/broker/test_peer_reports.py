"""What peers report of their sessions, as the broker takes it."""

from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.wire.kinds import Kind
from lanebus.wire.pings import Ping
from lanebus.wire.reports import SessionReport, UnhandledTopic

WAITS = [UnhandledTopic("t", "player:1", 2)]


def test_what_a_ping_says_of_a_session_holds_until_the_next_one(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    gateway.open(2, "player:2")
    gateway.say(Kind.PING, Ping(0, 0, [], reports=[SessionReport(2, WAITS), SessionReport(9, WAITS)]))
    bench.turn()
    assert [list(bench.session(f"player:{number}").unhandled) for number in (1, 2)] == [[], WAITS]
    gateway.say(Kind.PING, Ping(0, 0, []))
    bench.turn()
    assert list(bench.session("player:2").unhandled) == []


def test_books_of_a_session_that_is_not_open_are_too_late(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    figures = [[0] * 7] * 3
    player.say(Kind.PING, Ping(0, 0, [(0, figures), (9, figures)]))
    bench.turn()
    assert bench.session("player:1").reported is not None
