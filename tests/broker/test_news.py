"""A server that watches several things is told of each, and of all anew when it may have missed some."""

from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.wire.kinds import Kind

WATCHED = {"players": Kind.PRESENCE, "services": Kind.SERVICES, "alerts": Kind.ALERTS}


def test_a_server_is_told_of_what_it_watches_and_all_of_it_again_on_fresh_links(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    for number, what in enumerate(WATCHED, start=1):
        server.ask(Kind.WATCH, what=what)
        bench.turn()
        assert [kind for kind in server.kinds() if kind in WATCHED.values()] == list(WATCHED.values())[
            :number
        ]
    server.messages.clear()
    server.attach()
    bench.turn()
    assert {kind for kind in server.kinds() if kind in WATCHED.values()} == set(WATCHED.values())


def test_a_server_is_told_no_longer_of_what_it_does_not_watch(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    for on in (True, False):
        for what in WATCHED:
            server.ask(Kind.WATCH, what=what, on=on)
    bench.turn()
    server.messages.clear()
    Peer(bench, "player:1").attach()
    Peer(bench, "server:b").attach().ask(Kind.REGISTER, service="combat", topics=[])
    bench.turn()
    assert not {kind for kind in server.kinds() if kind in WATCHED.values()}
