"""The policies of the configuration."""

import pytest

from lanebus.conf.load import ConfigError, loads
from lanebus.conf.policy import PeerPolicy, Policy, PolicyConfig, TopicPolicy


def test_the_default_file_says_what_the_model_says() -> None:
    assert loads("", "x").policy == PolicyConfig()


def test_the_defaults_are_those_of_a_player_and_of_an_unlimited_server() -> None:
    config = PolicyConfig()
    assert config.client.events_per_s == 100.0
    assert config.client.events_burst == 200
    assert config.client.up_bytes_per_s == config.client.down_bytes_per_s == 51_200.0
    assert config.client.bytes_burst_s == 2.0
    assert config.server == Policy()


def test_peers_and_topics_are_lists_of_tables() -> None:
    text = """
        [policy.client]
        events_per_s = 60
        [[policy.peers]]
        match = "player:bot-*"
        events_per_s = 20
        [[policy.topics]]
        match = "telemetry.**"
        events_per_s = 10
        over = "refuse"
    """
    policy = loads(text, "x").policy
    assert policy.client.events_per_s == 60.0
    assert policy.client.up_bytes_per_s == 51_200.0
    assert policy.peers == [PeerPolicy(match="player:bot-*", events_per_s=20.0)]
    assert policy.topics == [TopicPolicy(match="telemetry.**", events_per_s=10.0, over="refuse")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[policy.client]\nevents_per_s = -1", r"\[policy.client\] events_per_s = -1: expected float >= 0.0"),
        ("[policy.player]\nevents_per_s = 1", r"\[policy\]: there is no section 'player'"),
        ('[[policy.peers]]\nmatch = "player:1"\nevents = 1', r"\[policy\] peers = .*unknown field events"),
        ('[[policy.topics]]\nmatch = "a..b"\nevents_per_s = 1', r"\[policy\] topics = "),
        ('[[policy.topics]]\nmatch = "a"\nevents_per_s = 1\nover = "throttle"', r"\[policy\] topics = "),
    ],
)
def test_what_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loads(text, "x")
