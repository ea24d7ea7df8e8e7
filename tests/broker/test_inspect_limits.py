"""The control endpoint's limits: shown, used up, and changed while the broker runs."""

from random import Random
from typing import Any

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.core import BrokerCore
from lanebus.broker.inspect_limits import change_limits, limits, limits_of
from lanebus.broker.portions import complete
from lanebus.conf.policy import PeerPolicy, PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane


@pytest.fixture
def bench() -> Bench:
    policy = PolicyConfig(peers=[PeerPolicy(match="player:bot-*", events_per_s=5.0)])
    bench = Bench(small_config(policy=policy))
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["**"])
    return bench


def changed(core: BrokerCore, match: object, settings: object, now: float) -> dict[str, Any]:
    """What a change of limits answers."""
    return complete(change_limits(core, match, settings, now), now)


def flood(bench: Bench, player: Peer, count: int = 150) -> int:
    """Send one batch to the service; how many events of it were accepted."""
    before = bench.session(player.name).sending[Lane.NORMAL].book.accepted
    player.send_batch([player.event("t", None, Lane.NORMAL) for _ in range(count)], Lane.NORMAL)
    bench.turn()
    return bench.session(player.name).sending[Lane.NORMAL].book.accepted - before


def test_policies_are_listed_in_the_order_in_which_they_count(bench: Bench) -> None:
    changed(bench.core, "player:1", {"events_per_s": 7.0}, bench.now)
    changed(bench.core, "player:2", {"events_burst": 9}, bench.now)
    rows = limits(bench.core)
    assert [(row["source"], row["match"]) for row in rows] == [
        ("changed", "player:2"),
        ("changed", "player:1"),
        ("configured", "player:bot-*"),
        ("role", "player:*"),
        ("role", "server:*"),
    ]
    assert (rows[1]["events_per_s"], rows[1]["events_burst"]) == (7.0, None)
    assert rows[3]["events_per_s"] == 100.0


def test_a_peer_has_its_policy_and_what_is_used_up(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    shown = limits_of(bench.core, "player:1", bench.now)
    limited = ("events_per_s", "up_bytes_per_s", "down_bytes_per_s", "error_budget")
    assert shown["used"] == dict.fromkeys(limited, 0.0)
    assert shown["throttled"] == {}
    accepted = flood(bench, player)
    shown = limits_of(bench.core, "player:1", bench.now)
    assert shown["used"]["events_per_s"] == 1.0
    assert shown["throttled"]["normal"]["limit"] == "events_per_s"
    assert shown["throttled_events"]["normal"] == 150 - accepted
    assert limits_of(bench.core, "server:a", bench.now)["used"]["events_per_s"] is None


@pytest.mark.parametrize("name", ["player:99", None, 7])
def test_nobody_has_no_limits(bench: Bench, name: object) -> None:
    with pytest.raises(ValueError, match=r"has no session|is no name of a peer"):
        limits_of(bench.core, name, bench.now)


def test_a_change_holds_at_once_for_who_is_there_and_for_who_comes(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    found = changed(bench.core, "player:*", {"events_per_s": 1.0, "events_burst": 16}, bench.now)
    assert found == {"sessions": ["player:1"]}
    assert flood(bench, player) < 10
    assert flood(bench, Peer(bench, "player:2").attach()) < 10


def test_a_change_taken_back_leaves_what_the_configuration_says(bench: Bench) -> None:
    bot = Peer(bench, "player:bot-1").attach()
    changed(bench.core, "player:bot-1", {"events_per_s": 0.0}, bench.now)
    assert flood(bench, bot) == 150
    assert changed(bench.core, "player:bot-1", {}, bench.now) == {"sessions": ["player:bot-1"]}
    assert limits_of(bench.core, "player:bot-1", bench.now)["policy"]["events_per_s"] == 5.0
    assert flood(bench, bot) < 150


def test_a_server_can_be_limited_while_it_runs(bench: Bench) -> None:
    assert changed(bench.core, "server:*", {"up_bytes_per_s": 50.0}, bench.now) == {"sessions": ["server:a"]}
    assert changed(bench.core, "server:*", {"up_bytes_per_s": 50.0}, bench.now) == {"sessions": []}
    assert bench.session("server:a").limits is not None


def test_what_is_sent_to_a_player_follows_a_change(bench: Bench) -> None:
    Peer(bench, "player:1").attach()
    changed(bench.core, "player:1", {"down_bytes_per_s": 10.0}, bench.now)
    allowance = bench.receiving("player:1").allowance
    assert allowance is not None
    assert allowance.rate_per_s == 10.0
    changed(bench.core, "player:1", {"down_bytes_per_s": 0.0}, bench.now)
    assert bench.receiving("player:1").allowance is None


def test_what_waits_for_an_allowance_leaves_when_a_larger_one_is_set(bench: Bench) -> None:
    server, player = Peer(bench, "server:b").attach(), Peer(bench, "player:1").attach()
    changed(bench.core, "player:1", {"down_bytes_per_s": 10.0}, bench.now)
    for _ in range(20):
        server.send("t", "player:1", Lane.NORMAL, Random(1).randbytes(200))
        bench.advance(0.05)
        player.settle_all()
    assert bench.receiving("player:1", Lane.NORMAL).shaped
    changed(bench.core, "player:1", {}, bench.now)
    for _ in range(5):
        bench.advance(0.2)
        player.settle_all()
    assert len(player.numbers(Lane.NORMAL)) == 20


@pytest.mark.parametrize(
    ("match", "settings"),
    [(None, {}), ("player:1", None), ("player:1", {"speed": 1}), ("", {"events_per_s": 1.0})],
)
def test_a_change_that_means_nothing_changes_nothing(bench: Bench, match: object, settings: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each of them says something else
        changed(bench.core, match, settings, bench.now)
    assert bench.core.policies.changes == {}


def test_the_limits_of_a_process_follow_a_change_too(bench: Bench) -> None:
    player, gateway = Peer(bench, "player:1").attach(), Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:2")
    change = {"control_messages_per_s": 5.0, "control_burst_s": 1.0}
    assert changed(bench.core, "player:1", change, bench.now) == {"sessions": ["player:1"]}
    for _ in range(9):
        player.ping()
    assert bench.core.violations.counts("player:1") == {"control": 4}
    assert changed(bench.core, "server:*", change, bench.now) == {"sessions": ["server:a"]}
    assert bench.attachment("server:a").line.floods is not None
    assert changed(bench.core, "server:*", {}, bench.now) == {"sessions": ["server:a"]}
    assert bench.attachment("server:a").line.floods is None
    # Of players behind a gateway their own sessions are limited, and never the gateway.
    changed(bench.core, "player:2", change, bench.now)
    assert bench.attachment("gateway:g").line.floods is None


def test_how_much_of_its_error_budget_a_peer_has_used_is_shown(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    player.send_batch([player.event("t", "player:2") for _ in range(20)])
    assert limits_of(bench.core, "player:1", bench.now)["used"]["error_budget"] == 0.5
