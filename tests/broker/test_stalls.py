"""Stalled processes: silent ones whose connections live, those that have died after all, and those that come back."""

import msgspec
import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.inspect import Inspector
from lanebus.broker.portions import complete
from lanebus.broker.stalls import PROBE_S, away_reason
from lanebus.conf.model import SessionsConfig
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.presence import What

SESSIONS = SessionsConfig(ping_interval_s=1.0, lease_s=3.0, grace_s=10.0, stalled_s=60.0, recovery_s=0.0)


class Sleeper(Peer):
    """A peer whose process does not read, while its connections live."""

    asleep = False

    def take_frame(self, lane: Lane, frame: bytes) -> None:
        """It stays where it is."""
        if not self.asleep:
            super().take_frame(lane, frame)


def sleeping(bench: Bench, name: str) -> Sleeper:
    sleeper = Sleeper(bench, name)
    sleeper.attach()
    sleeper.asleep = True
    return sleeper


@pytest.fixture
def bench() -> Bench:
    return Bench(small_config(sessions=SESSIONS))


def wait(bench: Bench, seconds: float, *speaking: Peer) -> None:
    """Let time pass, while some ping."""
    for _ in range(int(seconds)):
        bench.advance(1.0)
        for peer in speaking:
            peer.ping()
    bench.advance(seconds % 1.0)


def there(bench: Bench, name: str) -> bool:
    return name in bench.core.directory.peers


def test_a_silent_process_is_stalled_and_there_long_after_the_grace_period(bench: Bench) -> None:
    sleeping(bench, "player:1")
    wait(bench, 4.5)
    attachment = bench.attachment("player:1")
    assert attachment.links == [None, None, None]
    assert away_reason(attachment) == "silent"
    wait(bench, 50.0)
    assert there(bench, "player:1")
    wait(bench, 15.0)
    assert not there(bench, "player:1")


def test_a_connection_that_is_gone_makes_it_an_outage_with_a_grace_period_of_its_own(bench: Bench) -> None:
    player = sleeping(bench, "player:1")
    wait(bench, 20.0)
    player.cut()
    wait(bench, PROBE_S + 1.0)
    assert away_reason(bench.attachment("player:1")) == "no link"
    wait(bench, 8.0)
    assert there(bench, "player:1")
    wait(bench, 4.0)
    assert not there(bench, "player:1")


def test_one_whose_connection_may_be_gone_is_looked_at_when_that_is_said(bench: Bench) -> None:
    player, other = sleeping(bench, "player:1"), sleeping(bench, "player:2")
    routes = player.routes[Lane.CRITICAL], other.routes[Lane.CRITICAL]
    wait(bench, 5.0)
    player.cut()
    assert [bench.core.stalls.probe(route) for route in routes if route is not None] == [True, True]
    assert not bench.core.stalls.probe(b"nobody")
    assert [bench.core.stalls.has(route) for route in (*routes, b"nobody") if route is not None] == [
        True,
        True,
        False,
    ]
    bench.turn()
    reasons = [away_reason(bench.attachment(each.name)) for each in (player, other)]
    assert reasons == ["no link", "silent"]


def test_a_silent_process_whose_connection_is_gone_is_found_out_at_once(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    player.cut()
    wait(bench, 4.5)
    assert away_reason(bench.attachment("player:1")) == "no link"
    wait(bench, 11.0)
    assert not there(bench, "player:1")


def test_who_goes_on_is_told_resumes_and_is_not_probed_any_more(bench: Bench) -> None:
    player, server = Peer(bench, "player:1").attach(), Peer(bench, "server:a").attach()
    wait(bench, 8.0, server)
    server.send("t", "player:1")
    assert set(player.errors) == {ErrorNumber.NO_SESSION}
    player.attach()
    bench.advance(0.1)
    attachment = bench.attachment("player:1")
    assert attachment.stalled is None
    assert player.topics() == ["t"]
    said = len(player.errors)
    wait(bench, 3 * PROBE_S, player, server)
    assert len(player.errors) == said
    assert attachment.away_since is None


def test_a_newer_process_of_the_name_ends_it(bench: Bench) -> None:
    sleeping(bench, "player:1")
    wait(bench, 5.0)
    successor = Peer(bench, "player:1").attach()
    wait(bench, 2 * PROBE_S, successor)
    assert successor.up
    assert bench.attachment("player:1").stalled is None
    assert bench.core.stalls._by_route == {}


def test_it_is_shown_and_told_to_servers_that_watch(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    sleeping(bench, "player:1")
    server.ask(Kind.WATCH, what="players")
    wait(bench, 5.0, server)
    entries = [
        entry for kind, message in server.messages if kind is Kind.PRESENCE for entry in message.entries
    ]
    assert [(entry.player, entry.what, entry.reason) for entry in entries[-1:]] == [
        ("player:1", What.AWAY, "silent")
    ]
    rows = complete(Inspector(bench.core, {}).peers(bench.now), bench.now)
    peers = {each["name"]: each for each in msgspec.msgpack.decode(b"".join(rows))}
    assert (peers["player:1"]["state"], peers["player:1"]["reason"]) == ("stalled", "silent")
    assert peers["server:a"]["state"] == "up"


def test_players_of_a_gateway_that_lost_its_name_while_it_was_stalled_have_the_grace_period(
    bench: Bench,
) -> None:
    gateway = Sleeper(bench, "gateway:g")
    gateway.attach()
    gateway.open(1, "player:1")
    gateway.asleep = True
    wait(bench, 5.0)
    successor = Peer(bench, "gateway:g").attach()
    wait(bench, 4.0, successor)
    assert there(bench, "player:1")
    wait(bench, 10.0, successor)
    assert not there(bench, "player:1")
