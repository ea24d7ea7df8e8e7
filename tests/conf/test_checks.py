"""Settings that are at odds with one another, or that could only fail later."""

import re

import pytest

from lanebus.conf.checks import contradiction
from lanebus.conf.load import ConfigError, loads
from lanebus.conf.model import Config

AT_ODDS = {
    '[broker]\nadvertise = "127.0.0.1:5570"': r'\[broker\] advertise = "127.0.0.1:5570" has a port: .*; write what',
    '[broker]\nadvertise = "tcp://127.0.0.1"': r"advertise = .* has a scheme",
    '[broker]\nadvertise = "127.0.0.1 "': r"advertise = .* has a blank",
    '[broker]\nadvertise = "*"': r"advertise = .* is every interface",
    '[broker]\nadvertise = "0.0.0.0"': r"advertise = .* is no address of one machine",
    '[broker]\nhost = "tcp://127.0.0.1"': r"host = .* has a scheme",
    '[broker]\nhost = "localhost"': r"host = .* is a host's name",
    '[broker]\nhost = "10.0.0.256"': r"host = .* is no address",
    '[broker]\nname = "a\\nb"': r"name = .* cannot be shown",
    '[broker]\nname = " "': r"name = .* has blanks around it",
    '[alerts]\nwebhook_url = "http://a..b/"': r"webhook_url = .* names a host that is no name of a host",
    "[limits]\nframe_bytes = 262_144": r"frame_bytes = 262144 has no room for a batch .* raise it to 295936",
    "[egress]\nbatch_bytes = 1_000_000": r"has no room for a batch",
    "[limits]\nevent_bytes = 1_020_000\n[egress]\ncredit_bytes = 2_000_000": r"has no room for a batch",
    "[egress]\nbudget_bytes = 65_536": r"event_bytes = 262144 is more than \[egress\] budget_bytes = 65536",
    "[policy.client]\nevent_bytes = 300_000": r"event_bytes = 300000 is more than \[limits\] event_bytes = 262144",
    "[policy.server]\nevents_per_s = 5e-324": r"events_per_s = 5e-324 lets nothing pass; raise it to 0.01",
    '[policy]\npeers = [{ match = "player:x", up_bytes_per_s = 1e-9 }]': r"up_bytes_per_s = 1e-09 lets nothing pass",
    "[policy.client]\ncontrol_messages_per_s = 1": r"less than the pings take .*; raise it to 4.0 at least",
    "[policy.client]\ncontrol_bytes_per_s = 100": r"less than the pings take .*; raise it to 512.0 at least",
    "[policy.client]\nraw_bytes_per_s = 51_200": r"ends the links of who sends .*; raise it to 51712",
    "[limits]\nhellos_per_s = 1e-9": r"\[limits\] hellos_per_s = 1e-09 lets nothing pass",
    "[policy]\nerror_budget_per_s = 1e-9": r"\[policy\] error_budget_per_s = 1e-09 lets nothing pass",
    '[policy]\ntopics = [{ match = "a.*", events_per_s = 1e-9 }]': r"topics a.\*: events_per_s = 1e-09 lets nothing",
    "[sessions]\nping_interval_s = 0.1": r"control_messages_per_s = 50.0 is less than the pings take",
    '[policy]\npeers = [{ match = "bot-*" }]': r'"bot-\*" is nobody\'s name; write a full one: "player:bot-\*"',
    '[policy]\npeers = [{ match = "player:" }]': r"is nobody's name",
    '[groups]\nclient_may_join = ["group:room:*"]': r'is written without its kind; write "room:\*"',
}


@pytest.mark.parametrize(("text", "message"), AT_ODDS.items(), ids=range(len(AT_ODDS)))
def test_what_could_only_fail_later_fails_at_once(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text, "x")
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '[broker]\nadvertise = "bus.example.com"',
        '[broker]\nhost = "eth0"',
        '[policy]\npeers = [{ match = "*" }, { match = "play*" }, { match = "server:a" }]',
        '[groups]\nclient_may_join = ["group-*", "*"]',
        "[policy.client]\nevents_per_s = 0.01",
    ],
)
def test_what_serves_is_legal(text: str) -> None:
    loads(text, "x")


def test_the_defaults_do_not_contradict_themselves() -> None:
    assert contradiction(Config()) is None
