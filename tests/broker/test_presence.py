"""Servers that watch are told of players: in order, merged, bounded, and all anew when they may have missed some."""

from collections.abc import Sequence

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.presence import PORTION, STEP_S
from lanebus.conf.model import LimitsConfig, SessionsConfig
from lanebus.wire import presence
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.pings import Ping
from lanebus.wire.presence import Presence

Short = tuple[str, str]


def told(peer: Peer) -> list[Presence]:
    """What a server was told since it was last asked."""
    found = [message for kind, message in peer.messages if kind is Kind.PRESENCE]
    peer.messages.clear()
    return found


def changes(messages: Sequence[Presence]) -> list[Short]:
    return [(entry.player, entry.what.value) for message in messages for entry in message.entries]


def drop(bench: Bench, peer: Peer) -> None:
    route = peer.routes[Lane.CRITICAL]
    assert route is not None
    peer.cut()
    bench.core.lost(Lane.CRITICAL, route, bench.now)
    bench.turn()


@pytest.fixture
def server(bench: Bench) -> Peer:
    """A server that watches."""
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.WATCH, what="players")
    bench.turn()
    assert told(server) == [Presence(entries=[], begins=True, ends=True)]
    return server


def test_who_watches_is_told_who_is_there_first(bench: Bench) -> None:
    player, other = (Peer(bench, f"player:{number}").attach() for number in (1, 2))
    Peer(bench, "server:b").attach()
    drop(bench, other)
    server = Peer(bench, "server:a").attach()
    assert Kind.PRESENCE not in server.kinds()
    server.ask(Kind.WATCH, what="players")
    bench.turn()
    (message,) = told(server)
    assert (message.begins, message.ends, message.recovering) == (True, True, False)
    assert changes([message]) == [("player:1", "joined"), ("player:2", "away")]
    assert player.kinds().count(Kind.PRESENCE) == 0


def test_a_players_life_is_told_in_order(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    bench.advance(1.0)
    drop(bench, player)
    bench.advance(2.0)
    player.attach()
    player.bye()
    bench.turn()
    entries = [entry for message in told(server) for entry in message.entries]
    assert [(entry.what.value, entry.reason) for entry in entries] == [
        ("joined", "0 of 5 samples"),
        ("away", "no link"),
        ("resumed", "0 of 5 samples"),
        ("left", "said goodbye: done"),
    ]
    assert [entry.quality.value for entry in entries] == ["estimating", "lost", "estimating", "estimating"]
    last = entries[-1]
    assert (last.age_ms, last.resumes, last.outages, last.longest_outage_ms) == (3000, 1, 1, 2000)


def test_who_does_not_come_back_has_left(bench: Bench, server: Peer) -> None:
    drop(bench, Peer(bench, "player:1").attach())
    for _ in range(13):
        bench.advance(1.0)
        server.ping()
    (entry,) = (e for m in told(server) for e in m.entries if e.what.value == "left")
    assert entry.reason == "did not come back within 10 s"


def test_a_newer_process_is_another_session(bench: Bench, server: Peer) -> None:
    Peer(bench, "player:1").attach()
    told(server)
    Peer(bench, "player:1").attach()
    messages = told(server)
    assert changes(messages) == [("player:1", "left"), ("player:1", "joined")]
    assert messages[0].entries[0].reason == "fenced: a newer process has taken its name"


def test_players_behind_a_gateway_come_and_go_with_it(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2):
        gateway.request(Kind.OPEN, index=index, name=f"player:{index}", process=bytes([index]) * 16)
    bench.turn()
    gateway.request(Kind.CLOSE, index=1)
    bench.turn()
    drop(bench, gateway)
    messages = told(server)
    assert changes(messages) == [
        ("player:1", "joined"),
        ("player:2", "joined"),
        ("player:1", "left"),
        ("player:2", "away"),
    ]
    assert len(messages) == 3
    assert messages[1].entries[0].reason == "closed by gateway:g"


def test_a_change_of_quality_has_both_degrees_and_the_reason(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    told(server)
    for number in range(24):
        for peer in (player, server):
            peer.say(Kind.PING, Ping(0, 20_000 if number < 8 else 600_000, []))
        bench.advance(1.0)
    entries = [entry for message in told(server) for entry in message.entries]
    assert {entry.what.value for entry in entries} == {"quality"}
    assert [entry.before.value for entry in entries] == [
        "estimating",
        *(e.quality.value for e in entries[:-1]),
    ]
    assert (entries[0].quality.value, entries[-1].quality.value) == ("excellent", "poor")
    assert "ms" in entries[-1].reason


def test_servers_are_no_players(bench: Bench, server: Peer) -> None:
    other = Peer(bench, "server:b").attach()
    drop(bench, other)
    other.attach()
    other.bye()
    bench.turn()
    assert told(server) == []


def test_who_does_not_watch_any_more_is_told_nothing(bench: Bench, server: Peer) -> None:
    server.ask(Kind.WATCH, what="players", on=False)
    Peer(bench, "player:1").attach()
    assert told(server) == []
    server.ask(Kind.WATCH, what="players")
    bench.turn()
    assert changes(told(server)) == [("player:1", "joined")]


def test_a_watcher_that_was_away_is_told_all_anew(bench: Bench, server: Peer) -> None:
    first = Peer(bench, "player:1").attach()
    drop(bench, server)
    Peer(bench, "player:2").attach()
    first.bye()
    bench.turn()
    told(server)
    server.attach()
    messages = told(server)
    assert changes(messages) == [("player:2", "joined")]
    assert (messages[0].begins, messages[-1].ends) == (True, True)


def test_a_watcher_that_is_gone_is_forgotten(bench: Bench, server: Peer) -> None:
    server.bye()
    bench.turn()
    assert not bench.core.news.players._watchers
    again = Peer(bench, "server:a").attach()
    Peer(bench, "player:1").attach()
    assert told(again) == []


def test_long_news_are_several_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(small_config(limits=LimitsConfig(sessions_per_gateway=100)))
    monkeypatch.setattr("lanebus.broker.presence.MAX_PRESENCE_ENTRIES", 4)
    assert presence.MAX_PRESENCE_ENTRIES == 1024
    gateway, early, late = (Peer(bench, name).attach() for name in ("gateway:g", "server:a", "server:b"))
    early.ask(Kind.WATCH, what="players")
    bench.turn()
    told(early)
    names = [f"player:{index}" for index in range(1, 11)]
    for index, name in enumerate(names, 1):
        gateway.request(Kind.OPEN, index=index, name=name, process=bytes([index]) * 16)
    bench.turn()
    late.ask(Kind.WATCH, what="players")
    bench.turn()
    for server in (early, late):
        messages = told(server)
        assert [len(message.entries) for message in messages] == [4, 4, 2]
        assert changes(messages) == [(name, "joined") for name in names]
        whole = server is late
        assert [(each.begins, each.ends) for each in messages] == [
            (whole, False),
            (False, False),
            (False, whole),
        ]


def test_after_a_restart_players_may_still_come_back() -> None:
    bench = Bench(small_config(sessions=SessionsConfig(recovery_s=5.0)))
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.WATCH, what="players")
    server.ask(Kind.JOIN, group="room", member="player:9")
    bench.turn()
    # Who is only expected is no player yet.
    assert told(server) == [Presence(entries=[], begins=True, ends=True, recovering=True)]
    Peer(bench, "player:1").attach()
    assert changes(told(server)) == [("player:1", "joined")]
    bench.advance(5.0)
    messages = told(server)
    assert changes(messages) == [("player:1", "joined")]
    assert (messages[-1].begins, messages[-1].ends, messages[-1].recovering) == (True, True, False)


def test_a_list_of_thousands_is_told_in_portions_with_what_happens_meanwhile_between_them() -> None:
    limits = LimitsConfig(attachments=2000, sessions_per_gateway=2000)
    bench = Bench(small_config(limits=limits, sessions=SessionsConfig(recovery_s=0.0)))
    gateway, server = Peer(bench, "gateway:g").attach(), Peer(bench, "server:a").attach()
    for number in range(1, 2 * PORTION + 2):
        gateway.open(number, f"player:{number}")
    server.ask(Kind.WATCH, what="players")
    first = told(server)
    assert [len(each.entries) for each in first] == [PORTION]
    assert (first[0].begins, first[0].ends) == (True, False)
    gateway.request(Kind.CLOSE, index=2 * PORTION + 1)
    for _ in range(3):
        bench.advance(STEP_S)
    rest = told(server)
    assert [(each.begins, each.ends) for each in rest][-1] == (False, True)
    entries = [each for message in (*first, *rest) for each in message.entries]
    assert [each.player for each in entries if each.what.value == "left"] == [f"player:{2 * PORTION + 1}"]
    joined = [each.player for each in entries if each.what.value == "joined"]
    assert sorted(joined) == sorted(f"player:{number}" for number in range(1, 2 * PORTION + 1))
