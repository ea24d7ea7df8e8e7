"""Sessions that have ended are remembered: why, for how long, and with what they had."""

import gc
from typing import Any

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer
from tests.broker.test_stalls import sleeping

from lanebus.broker import closed
from lanebus.broker.closed import CLOSED_SHOWN, REASON_CHARACTERS
from lanebus.broker.sessions import Session
from lanebus.conf.model import SessionsConfig
from lanebus.wire.header import encode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Bye
from lanebus.wire.pings import Ping


def only(bench: Bench, name: str) -> dict[str, Any]:
    """What is known of the one session of that name that has ended."""
    (found,) = bench.core.registry.closed.of(name, bench.now)
    return found


def wait(bench: Bench, seconds: int, *peers: Peer) -> None:
    """Let time pass in which these peers stay."""
    for _ in range(seconds):
        for peer in peers:
            peer.ping()
        bench.advance(1.0)


# Why


@pytest.mark.parametrize(("said", "reason"), [("the match is over", ": the match is over"), ("", "")])
def test_a_goodbye_with_its_words(bench: Bench, said: str, reason: str) -> None:
    player = Peer(bench, "player:1").attach()
    bench.advance(2.0)
    player.say(Kind.BYE, Bye(reason=said))
    bench.advance(3.0)
    found = only(bench, "player:1")
    assert found["reason"] == f"said goodbye{reason}"
    assert (found["lasted_s"], found["ended_ago_s"], found["lost_reason"]) == (2.0, 3.0, "")
    assert (found["role"], found["via"]) == ("client", None)


def test_one_that_was_silent_and_did_not_come_back(bench: Bench) -> None:
    Peer(bench, "player:1").attach().cut()
    wait(bench, 16)
    found = only(bench, "player:1")
    assert found["reason"] == "did not come back within 10 s"
    assert found["lost_reason"] == "it has been silent for 5.0 s"
    assert found["away_s"] == pytest.approx(11.0)
    assert (found["outages"], found["longest_outage_s"]) == (1, found["away_s"])


def test_one_that_stood_still_for_too_long_though_its_connection_lived() -> None:
    sessions = SessionsConfig(ping_interval_s=1.0, lease_s=4.0, grace_s=10.0, stalled_s=20.0, recovery_s=0.0)
    bench = Bench(small_config(sessions=sessions))
    sleeping(bench, "player:1")
    wait(bench, 26)
    found = only(bench, "player:1")
    assert found["reason"] == "was stalled for 20 s"
    assert found["lost_reason"] == "it has been silent for 5.0 s"


def test_one_whose_connection_was_gone(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    player.cut()
    server.send("t", "player:1")
    wait(bench, 13, server)
    assert only(bench, "player:1")["lost_reason"] == "its connection was gone"


def test_the_rule_that_it_broke_has_its_number(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    route = player.routes[Lane.CRITICAL]
    assert route is not None
    bench.receive(Lane.CRITICAL, route, encode_header(Kind.WELCOME, Lane.CRITICAL, 0, incarnation=1))
    wait(bench, 13)
    found = only(bench, "player:1")
    assert found["reason"] == "did not come back within 10 s"
    assert found["lost_reason"] == "it broke rule 201 (not_legal_here): welcome on a link that is ready"


def test_a_newer_process_fences_it(bench: Bench) -> None:
    Peer(bench, "player:1").attach()
    newer = Peer(bench, "player:1").attach()
    assert only(bench, "player:1")["reason"] == "fenced: a newer process has taken its name"
    newer.bye()
    latest, earlier = bench.core.registry.closed.of("player:1", bench.now)
    assert (latest["reason"], earlier["reason"][:6]) == ("said goodbye: done", "fenced")


def test_behind_a_gateway_it_is_the_gateways_word(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2):
        gateway.open(index, f"player:{index}", rtt_ms=30.0)
    Peer(bench, "player:3").attach()
    gateway.open(3, "player:3")
    gateway.close(1)
    bench.turn()
    gateway.bye()
    bench.turn()
    closed, ended = only(bench, "player:1"), only(bench, "player:2")
    assert (closed["reason"], closed["via"]) == ("closed by gateway:g", "gateway:g")
    assert ended["reason"] == "its gateway gateway:g said goodbye: done"
    _, before = bench.core.registry.closed.of("player:3", bench.now)
    assert (before["reason"], before["via"]) == (
        "taken over: gateway:g has opened a session of its name",
        None,
    )


def test_who_was_expected_after_a_start_has_ended_only_if_it_never_came() -> None:
    bench = Bench(small_config(sessions=SessionsConfig(grace_s=10.0, recovery_s=3.0)))
    server = Peer(bench, "server:a").attach()
    for name in ("player:1", "player:2", "player:3"):
        server.send("t", name)
    bench.turn()
    Peer(bench, "player:1").attach()
    Peer(bench, "player:3").attach().bye()
    server.send("t", "player:3")
    bench.turn()
    wait(bench, 4, server)
    assert bench.core.registry.closed.of("player:1", bench.now) == []
    assert only(bench, "player:2")["reason"] == "did not come back after the broker's start"
    assert only(bench, "player:3")["reason"] == "said goodbye: done"


# With what


def test_what_it_sent_got_and_left_behind(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    player.say(Kind.PING, Ping(0, 40_000, []))
    player.send("t", "server:a", Lane.CRITICAL)
    player.send("t", "player:9", Lane.LOW)
    server.send("t", "player:1", Lane.CRITICAL, bytes(100))
    bench.advance(1.0)
    player.bye()
    bench.turn()
    found = only(bench, "player:1")
    assert (found["events_in"], found["events_out"], found["resent"], found["dropped"]) == (2, 1, 0, 0)
    assert found["bytes_out"] == found["held_bytes"] > 100
    assert found["oldest_age_s"] == pytest.approx(1.0)
    assert (found["quality"], found["rtt_ms"]) == ("estimating", pytest.approx(40.0))
    assert found["books"]["low"]["refused"] == 1
    assert found["reasons"] == {"refused: not_allowed": 1}
    # What it had sent ends after it, and then its books are final.
    assert found["books"]["critical"]["in_flight"] == 1
    server.settle_all()
    bench.advance(1.5)
    book = only(bench, "player:1")["books"]["critical"]
    assert (book["delivered"], book["in_flight"]) == (1, 0)


def test_the_quality_is_the_last_one_that_it_had_with_links(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    for _ in range(12):
        player.say(Kind.PING, Ping(0, 20_000, []))
        bench.advance(1.0)
    wait(bench, 16)
    assert only(bench, "player:1")["quality"] == "excellent"


def test_a_players_round_trip_has_in_it_what_lies_behind_its_gateway(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1", rtt_ms=30.0)
    gateway.say(Kind.PING, Ping(0, 10_000, []))
    gateway.close(1)
    bench.turn()
    assert only(bench, "player:1")["rtt_ms"] == pytest.approx(40.0)


# How much


def test_only_the_latest_are_remembered_and_fewer_shown(
    monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    monkeypatch.setattr(closed, "CLOSED_REMEMBERED", 15)
    bench = Bench()
    Peer(bench, "player:first").attach().bye()
    for _ in range(15):
        Peer(bench, "player:1").attach().bye()
        bench.advance(1.0)
    remembered = bench.core.registry.closed
    assert len(remembered) == 15
    assert remembered.of("player:first", bench.now) == []
    found = remembered.of("player:1", bench.now)
    assert [each["ended_ago_s"] for each in found] == [float(age) for age in range(1, CLOSED_SHOWN + 1)]


def test_words_that_peers_choose_are_cut(bench: Bench) -> None:
    Peer(bench, "player:1").attach().say(Kind.BYE, Bye(reason="x" * 500))
    bench.turn()
    assert len(only(bench, "player:1")["reason"]) == REASON_CHARACTERS


def test_no_session_is_kept_alive(bench: Bench) -> None:
    player = Peer(bench, "player:forgotten").attach()
    assert _sessions_of("player:forgotten") == 1
    player.bye()
    bench.advance(2.0)
    assert only(bench, "player:forgotten")["reason"] == "said goodbye: done"
    assert _sessions_of("player:forgotten") == 0


def _sessions_of(name: str) -> int:
    gc.collect()
    return sum(isinstance(each, Session) and each.name == name for each in gc.get_objects())
