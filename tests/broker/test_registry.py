"""The registry: attachments and sessions begin, resume, are fenced, and end; their books outlive them."""

import gc

import pytest
from tests.broker.bench import EPOCH, Bench, small_config
from tests.broker.peer import Peer
from tests.broker.traffic import DELIVERED

from lanebus.conf.model import LimitsConfig
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason

GONE_SENT = (Outcome.UNKNOWN, Reason.RECEIVER_GONE)


def test_a_new_attachment_has_a_session_of_its_own_name(bench: Bench) -> None:
    peer = Peer(bench, "player:1").attach()
    assert peer.welcome is not None
    assert (peer.welcome.resumed, peer.welcome.epoch) == (False, EPOCH)
    assert bench.core.registry.by_token(peer.token) is bench.attachment("player:1")
    assert [session.name for session in bench.core.registry.sessions()] == ["player:1"]


def test_a_gateway_begins_without_sessions(bench: Bench) -> None:
    Peer(bench, "gateway:g").attach()
    assert list(bench.core.registry.sessions()) == []


def test_a_token_resumes_the_attachment_with_all_that_it_had(bench: Bench) -> None:
    peer = Peer(bench, "player:1").attach()
    session = bench.session("player:1")
    peer.cut()
    bench.advance(5.0)
    peer.attach()
    assert peer.welcome is not None
    assert peer.welcome.resumed
    assert bench.session("player:1") is session


@pytest.mark.parametrize("what", ["token", "process"])
def test_a_wrong_token_or_process_resumes_nothing(bench: Bench, what: str) -> None:
    peer = Peer(bench, "player:1").attach()
    session = bench.session("player:1")
    peer.say_hello(**{what: b"x" * 16})
    bench.turn()
    assert peer.welcome is not None
    assert not peer.welcome.resumed
    assert bench.session("player:1") is not session
    assert session.ended


def test_a_token_of_another_name_resumes_nothing(bench: Bench) -> None:
    first, second = Peer(bench, "player:1").attach(), Peer(bench, "player:2")
    second.process, second.token = first.process, first.token
    second.attach()
    assert second.welcome is not None
    assert not second.welcome.resumed
    assert first.up
    assert not first.errors


def test_attachments_are_limited_and_a_successor_takes_no_place() -> None:
    bench = Bench(small_config(limits=LimitsConfig(attachments=2)))
    for name in ("player:1", "player:2"):
        Peer(bench, name).attach()
    third = Peer(bench, "player:3").attach()
    assert third.errors == [ErrorNumber.FULL]
    assert Peer(bench, "player:2").attach().up
    assert set(bench.core.registry.attachments) == {"player:1", "player:2"}


# Fencing


def test_a_newer_process_fences_the_older_for_good(bench: Bench) -> None:
    older = Peer(bench, "player:1").attach()
    newer = Peer(bench, "player:1").attach()
    assert older.errors == [ErrorNumber.FENCED]
    assert newer.up
    assert bench.core.registry.by_token(older.token) is None
    assert bench.session("player:1").process == newer.process


def test_a_fenced_process_that_did_not_hear_of_it_is_told_when_it_comes_back(bench: Bench) -> None:
    older = Peer(bench, "player:1").attach()
    older.cut()
    newer = Peer(bench, "player:1").attach()
    assert [peer.welcome and peer.welcome.generation for peer in (older, newer)] == [1, 2]
    older.say_hello(generation=1)
    bench.turn()
    assert older.errors == [ErrorNumber.FENCED]
    assert newer.errors == []
    assert bench.session("player:1").process == newer.process


def test_of_two_processes_that_knew_an_earlier_broker_the_newer_one_has_the_name(bench: Bench) -> None:
    older, newer = Peer(bench, "player:1"), Peer(bench, "player:1")
    older.say_hello(generation=7)
    bench.turn()
    assert bench.session("player:1").process == older.process
    newer.say_hello(generation=8)
    bench.turn()
    assert bench.session("player:1").process == newer.process
    older.say_hello(generation=7)
    bench.turn()
    assert bench.session("player:1").process == newer.process
    # One that no broker has welcomed yet is newer than all.
    third = Peer(bench, "player:1").attach()
    assert third.welcome is not None
    assert third.welcome.generation == 9
    assert newer.errors == [ErrorNumber.FENCED]


def test_what_the_fenced_process_had_sent_is_delivered_ahead_of_its_successors(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    older = Peer(bench, "player:1").attach()
    older.send("first", "server:a", Lane.LOW)
    older.send("second", "server:a", Lane.LOW)
    newer = Peer(bench, "player:1").attach()
    newer.send("third", "server:a", Lane.LOW)
    bench.advance(1.0)
    assert server.topics() == ["first", "second", "third"]
    assert [got.process for got in server.got] == [older.process, older.process, newer.process]
    server.settle_all()
    bench.advance(1.0)
    assert newer.end_of(1, Lane.LOW) == DELIVERED
    assert bench.problems() == []


def test_nothing_of_the_fenced_process_touches_its_successor(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    older = Peer(bench, "player:1").attach()
    server.send("t", "player:1")
    bench.advance(0.1)
    old_route, frames = older.routes[Lane.CRITICAL], list(older.got)
    newer = Peer(bench, "player:1").attach()
    server.send("t", "player:1")
    bench.advance(0.1)
    assert newer.numbers() == [1]
    # The older process did not hear that it is fenced, and settles over its old connection.
    assert old_route is not None
    older.routes[Lane.CRITICAL] = bench.connect(Lane.CRITICAL, older)
    older.welcomed[Lane.CRITICAL] = True
    older.settle(frames)
    bench.advance(1.0)
    assert older.errors[-1] == ErrorNumber.NO_SESSION
    assert (server.end_of(1), server.end_of(2)) == (None, None)
    newer.settle_all()
    bench.advance(0.5)
    newer.settle_all()
    bench.advance(0.5)
    assert (newer.numbers(), newer.up) == ([1, 2], True)
    assert (server.end_of(1), server.end_of(2)) == (DELIVERED, DELIVERED)


def test_a_gateway_takes_a_player_from_its_own_links(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    direct = Peer(bench, "player:1").attach()
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    bench.advance(0.1)
    assert direct.errors == [ErrorNumber.FENCED]
    assert set(bench.core.registry.attachments) == {"server:a", "gateway:g"}
    server.send("t", "player:1")
    bench.advance(0.1)
    assert gateway.topics(1) == ["t"]


def test_a_player_moves_from_one_gateway_to_another(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    first, second = Peer(bench, "gateway:f").attach(), Peer(bench, "gateway:s").attach()
    first.open(1, "player:1")
    first.open(2, "player:2")
    second.open(1, "player:1")
    server.send("t", "player:1")
    server.send("t", "player:2")
    bench.advance(0.1)
    assert (first.topics(1), first.topics(2), second.topics(1)) == ([], ["t"], ["t"])
    # The first gateway closes its own session late: that is not the player's session any more.
    first.close(1)
    bench.advance(0.1)
    assert bench.session("player:1").attachment.name == "gateway:s"


# The end


def test_goodbye_ends_the_attachment_and_all_its_sessions_at_once(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    gateway.open(2, "player:2")
    gateway.bye()
    bench.turn()
    assert bench.core.registry.attachments == {}
    assert bench.core.directory.peers == {}
    assert bench.core.registry.by_token(gateway.token) is None


def test_a_session_outlives_its_links_for_the_grace_period(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    player.cut()
    server.send("t", "player:1")
    bench.advance(1.0)
    for _ in range(int(bench.core.config.sessions.grace_s) - 2):
        server.ping()
        bench.advance(1.0)
    assert "player:1" in bench.core.directory.peers
    for _ in range(3):
        server.ping()
        bench.advance(1.0)
    assert "player:1" not in bench.core.directory.peers
    assert server.end_of(1) == GONE_SENT


def test_a_peer_that_comes_back_too_late_begins_anew_and_replays(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    player.send("first", "server:a")
    bench.advance(0.1)
    player.cut()
    for _ in range(16):
        server.ping()
        bench.advance(1.0)
    player.attach()
    bench.advance(0.1)
    assert player.welcome is not None
    assert not player.welcome.resumed
    first, again = server.got
    assert (first.number, first.process) == (again.number, again.process)
    assert first.origin != again.origin
    server.settle_all()
    bench.advance(1.0)
    assert player.end_of(1) == DELIVERED
    assert bench.problems() == []


def test_an_ended_session_is_kept_until_its_last_event_is_settled_and_then_summed_up(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    player.send("t", "server:a")
    bench.advance(0.1)
    player.bye()
    bench.advance(2.0)
    registry = bench.core.registry
    assert [session.name for session in registry.ended.values()] == ["player:1"]
    assert registry.totals.sessions == 0
    server.settle_all()
    bench.advance(2.0)
    assert registry.ended == {}
    assert registry.totals.sessions == 1
    assert registry.totals.unreported_sessions == 0
    assert registry.totals.events[Lane.CRITICAL].as_dict()["delivered"] == 1
    assert registry.totals.parts[Lane.CRITICAL].as_dict()["delivered"] == 1
    assert registry.totals.reported[Lane.CRITICAL].as_dict()["unknown"] == 1


def test_sessions_that_never_told_their_books_are_counted(bench: Bench) -> None:
    Peer(bench, "server:a").attach()
    silent, idle = Peer(bench, "player:1").attach(), Peer(bench, "player:2").attach()
    silent.send("t", "player:9")
    idle.attach()
    for peer in (silent, idle):
        peer.say_hello(token=b"", process=b"z" * 16)
    bench.advance(2.0)
    totals = bench.core.registry.totals
    assert (totals.sessions, totals.unreported_sessions) == (2, 1)


def test_ending_a_session_twice_ends_it_once(bench: Bench) -> None:
    Peer(bench, "server:a").attach()
    session = bench.session("server:a")
    bench.core.registry.end_session(session, bench.now, "bye")
    bench.core.registry.end_session(session, bench.now, "bye")
    assert list(bench.core.registry.ended) == [session.origin]


def test_a_gateways_process_that_loses_its_name_twice_keeps_both_times_players(bench: Bench) -> None:
    first = Peer(bench, "gateway:g").attach()
    first.open(1, "player:1")
    Peer(bench, "gateway:g").attach()
    # It has not heard of that, and knows nothing of its first welcome, nor of its first player.
    again = Peer(bench, "gateway:g")
    again.process = first.process
    again.attach()
    again.open(2, "player:2")
    Peer(bench, "gateway:g").attach()
    assert {"player:1", "player:2"} <= {session.name for session in bench.core.registry.sessions()}
    assert bench.problems() == []


def test_parts_that_failed_are_summed_over_all_who_are_or_were(bench: Bench) -> None:
    server, gone = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    for peer in (server, gone):
        peer.send("t", "player:9")
        peer.send("t", "server:a")
    bench.advance(1.0)
    registry = bench.core.registry
    assert registry.parts() == (4, 2)
    gone.bye()
    bench.advance(1.0)
    assert registry.parts() == (4, 2)
    server.settle_all()
    bench.advance(2.0)
    assert list(registry.ended) == []
    assert registry.parts() == (4, 2)


def test_who_has_come_and_gone_leaves_nothing_for_the_collector() -> None:
    # A full collection stops the loop for tens of milliseconds where thousands are there: it is not to be needed.
    bench = Bench(small_config())
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["t"])
    server.ask(Kind.WATCH, what="players")
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            player, gateway = Peer(bench, "player:1").attach(), Peer(bench, "gateway:g").attach()
            gateway.open(1, "player:2")
            for name in ("player:1", "player:2"):
                server.ask(Kind.JOIN, group="room", member=name)
            for lane in LANES:
                server.send("t", "group:room", lane)
                player.send("t", None, lane)
            bench.advance(0.5)
            successor = Peer(bench, "player:1").attach()
            successor.settle_all()
            bench.cut(Lane.CRITICAL, gateway.routes[Lane.CRITICAL] or b"")
            server.send("t", "player:2")
            for _ in range(15):
                bench.advance(1.0)
                server.ping()
                server.settle_all()
                successor.ping()
                successor.settle_all()
            successor.bye()
            bench.advance(2.0)
        del player, gateway, successor
        server.messages.clear()
        assert [each.name for each in bench.core.registry.sessions()] == ["server:a"]
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = {type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("lanebus.")}
        assert left == set()
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
