"""Policies: whose limits are which, and how they change while the broker runs."""

import pytest

from lanebus.broker.policies import ERROR_BUDGET, KEPT_S, MAX_CHANGES, NAMES_KEPT, Limits, Policies
from lanebus.conf.policy import PeerPolicy, Policy, PolicyConfig, TopicPolicy
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason


def test_players_are_limited_and_servers_are_not_by_default() -> None:
    policies = Policies(PolicyConfig())
    limits = policies.limits("player:1", Role.CLIENT, 0.0)
    assert limits is not None
    assert limits.policy.events_per_s == 100.0
    assert limits.down is not None
    assert limits.down.rate_per_s == 51_200.0
    assert limits.down.burst == 102_400.0
    assert policies.limits("server:a", Role.SERVER, 0.0) is None
    assert policies.limits("gateway:g", Role.GATEWAY, 0.0) is None


def test_a_peers_policy_replaces_what_it_names() -> None:
    config = PolicyConfig(
        peers=[
            PeerPolicy(match="player:bot-*", events_per_s=5.0),
            PeerPolicy(match="player:*", events_burst=7),
        ]
    )
    policies = Policies(config)
    bot, human = policies.of("player:bot-1", Role.CLIENT), policies.of("player:1", Role.CLIENT)
    assert (bot.events_per_s, bot.events_burst, bot.up_bytes_per_s) == (5.0, 200, 51_200.0)
    assert (human.events_per_s, human.events_burst) == (100.0, 7)


def test_a_servers_name_can_be_limited_too() -> None:
    policies = Policies(PolicyConfig(peers=[PeerPolicy(match="server:logs", up_bytes_per_s=100.0)]))
    limits = policies.limits("server:logs", Role.SERVER, 0.0)
    assert limits is not None
    assert limits.events is None
    assert limits.down is None
    assert limits.up_bytes is not None


def test_changes_come_before_the_configuration_and_the_latest_first() -> None:
    policies = Policies(PolicyConfig(peers=[PeerPolicy(match="player:*", events_per_s=50.0)]))
    policies.change("player:4*", {"events_per_s": 20})
    policies.change("player:42", {"events_per_s": 10})
    assert policies.of("player:42", Role.CLIENT).events_per_s == 10.0
    assert policies.of("player:43", Role.CLIENT).events_per_s == 20.0
    assert policies.of("player:53", Role.CLIENT).events_per_s == 50.0
    policies.change("player:42", {})
    assert policies.of("player:42", Role.CLIENT).events_per_s == 20.0


@pytest.mark.parametrize(
    ("match", "settings", "text"),
    [
        ("player:1", {"event_rate": 1}, "unknown field"),
        ("player:1", {"events_per_s": -1.0}, "events_per_s"),
        ("player:1", {"events_burst": "many"}, "events_burst"),
        ("play er", {"events_per_s": 1.0}, "match"),
    ],
)
def test_a_change_that_means_nothing_is_refused(match: str, settings: dict[str, object], text: str) -> None:
    policies = Policies(PolicyConfig())
    policies.change("player:1", {"events_per_s": 5.0})
    before = dict(policies.changes)
    with pytest.raises(ValueError, match=text):
        policies.change(match, settings)
    assert policies.changes == before


def test_there_are_only_so_many_changes() -> None:
    policies = Policies(PolicyConfig())
    for number in range(MAX_CHANGES):
        policies.change(f"player:{number}", {"events_per_s": 1.0})
    policies.change("player:0", {"events_per_s": 2.0})
    with pytest.raises(ValueError, match="take some back"):
        policies.change("player:one-more", {"events_per_s": 1.0})


def test_the_limit_that_holds_longest_is_named() -> None:
    limits = Limits(
        Policy(events_per_s=10.0, events_burst=10, up_bytes_per_s=100.0, bytes_burst_s=1.0), now=0.0
    )
    assert limits.over(Lane.NORMAL) is None
    while limits.over(Lane.NORMAL) is None:
        limits.charge(Lane.NORMAL, 1.0)
    over = limits.over(Lane.NORMAL)
    assert over is not None
    assert over.limit == "events_per_s"
    limits.charge(Lane.NORMAL, 90.0)
    limits.charge(Lane.LOW, 90.0)
    over = limits.over(Lane.NORMAL)
    assert over is not None
    assert over.limit == "up_bytes_per_s"
    assert not limits.eased(Lane.NORMAL)


def test_a_changed_policy_keeps_what_was_taken_of_a_limit_that_stays() -> None:
    limits = Limits(Policy(events_per_s=10.0, events_burst=10, up_bytes_per_s=100.0), now=0.0)
    while limits.over(Lane.NORMAL) is None:
        limits.charge(Lane.NORMAL, 0.0)
    limits.change(Policy(events_per_s=10.0, events_burst=10, up_bytes_per_s=500.0), 0.0)
    assert limits.over(Lane.NORMAL) is not None
    assert limits.up_bytes is not None
    assert limits.up_bytes.rate_per_s == 500.0
    limits.change(Policy(), 0.0)
    assert limits.over(Lane.NORMAL) is None
    assert limits.up_bytes is None


@pytest.mark.parametrize(("over", "outcome"), [("drop", Outcome.DROPPED), ("refuse", Outcome.REFUSED)])
def test_a_topics_limit_ends_what_is_over_it(over: str, outcome: Outcome) -> None:
    rule = TopicPolicy(
        match="telemetry.**", events_per_s=1.0, burst=3, over="drop" if over == "drop" else "refuse"
    )
    policies = Policies(PolicyConfig(topics=[rule]))
    limits = policies.limits("player:1", Role.CLIENT, 0.0)
    assert limits is not None
    ends = [policies.over_topic(limits, Role.CLIENT, "telemetry.fps.now", 0.0) for _ in range(5)]
    assert ends == [None] * 3 + [(outcome, Reason.TOPIC_LIMIT)] * 2
    assert policies.ended == 2
    assert policies.over_topic(limits, Role.CLIENT, "player.move", 0.0) is None
    assert policies.over_topic(limits, Role.CLIENT, "telemetry.fps", 1.0) is None


def test_who_comes_back_soon_has_what_was_left() -> None:
    policies = Policies(PolicyConfig())
    limits = policies.limits("player:1", Role.CLIENT, 0.0)
    assert limits is not None
    while limits.over(Lane.NORMAL) is None:
        limits.charge(Lane.NORMAL, 10.0)
    policies.departed("player:1", limits, 1.0)
    policies.departed("server:a", None, 1.0)
    assert policies.limits("player:2", Role.CLIENT, 1.0) is not limits
    again = policies.limits("player:1", Role.CLIENT, 1.0)
    assert again is limits
    policies.departed("player:1", again, 1.0)
    policies.change("player:1", {"events_per_s": 7.0})
    assert policies.limits("player:1", Role.CLIENT, 2.0) is limits
    assert limits.policy.events_per_s == 7.0
    policies.departed("player:1", limits, 2.0)
    assert policies.limits("player:1", Role.CLIENT, 2.1 + KEPT_S) is not limits


def test_of_so_many_names_it_is_known_what_was_left() -> None:
    policies = Policies(PolicyConfig())
    first = policies.limits("player:0", Role.CLIENT, 0.0)
    for number in range(NAMES_KEPT + 1):
        limits = policies.limits(f"player:{number}", Role.CLIENT, 0.0)
        policies.departed(f"player:{number}", first if number == 0 else limits, 0.0)
    assert policies.limits("player:0", Role.CLIENT, 0.0) is not first
    assert policies.limits(f"player:{NAMES_KEPT}", Role.CLIENT, 0.0) is limits


def test_a_topics_limit_is_each_sessions_own_and_its_roles() -> None:
    rule = TopicPolicy(match="chat", events_per_s=1.0, burst=1, role="server")
    policies = Policies(PolicyConfig(topics=[rule]))
    one, two = (policies.limits(name, Role.SERVER, 0.0) for name in ("server:1", "server:2"))
    assert one is not None
    assert two is not None
    assert policies.over_topic(one, Role.SERVER, "chat", 0.0) is None
    assert policies.over_topic(one, Role.SERVER, "chat", 0.0) is not None
    assert policies.over_topic(two, Role.SERVER, "chat", 0.0) is None
    assert policies.over_topic(two, Role.CLIENT, "chat", 0.0) is None


def test_who_is_held_may_send_nothing_until_then_whatever_is_left() -> None:
    limits = Limits(Policy(), 0.0)
    limits.bar(5.0)
    limits.bar(3.0)
    limits.refill(1.0, 0.0)
    over = limits.over(Lane.CRITICAL)
    assert over == (ERROR_BUDGET, 4.0)
    limits.refill(5.0, 0.0)
    assert limits.over(Lane.CRITICAL) is None


def test_sizes_of_its_own_give_a_session_limits() -> None:
    policies = Policies(PolicyConfig(server=Policy(event_bytes=10), client=Policy(queue_bytes=20)))
    server = policies.limits("server:a", Role.SERVER, 0.0)
    player = policies.limits("player:1", Role.CLIENT, 0.0)
    assert server is not None
    assert player is not None
    assert server.event_bytes == 10
    assert player.event_bytes == float("inf")
    assert (server.queue_bytes, player.queue_bytes) == (0, 20)
    server.change(Policy(queue_bytes=30), 0.0)
    assert server.queue_bytes == 30
    assert server.event_bytes == float("inf")


def test_the_largest_event_of_a_peer_is_the_lesser_limit() -> None:
    policies = Policies(PolicyConfig(client=Policy(event_bytes=100)))
    assert policies.event_bytes("player:1", Role.CLIENT, 1000) == 100
    assert policies.event_bytes("player:1", Role.CLIENT, 50) == 50
    assert policies.event_bytes("server:a", Role.SERVER, 1000) == 1000
    assert policies.event_bytes("gateway:g", Role.GATEWAY, 1000) == 1000


def test_players_processes_have_limits_of_all_they_say_and_gateways_have_none() -> None:
    policies = Policies(PolicyConfig())
    player = policies.limits("player:1", Role.CLIENT, 0.0)
    assert player is not None
    assert player.floods is not None
    assert policies.limits("server:a", Role.SERVER, 0.0) is None
    assert policies.limits("gateway:g", Role.GATEWAY, 0.0) is None
