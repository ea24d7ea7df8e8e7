"""Rules of groups: which names they allow."""

import pytest

from lanebus.broker.group_rules import GroupRules


@pytest.mark.parametrize(
    ("group", "allowed"),
    [
        ("room:7", True),
        ("room:", True),
        ("room:7:red", True),
        ("room", False),
        ("bedroom:7", False),
        ("lobby", True),
        ("lobby2", False),
        ("team.red", True),
        ("teamxred", False),
        ("", False),
    ],
)
def test_a_star_stands_for_anything_and_all_else_for_itself(group: str, allowed: bool) -> None:
    assert GroupRules(["room:*", "lobby", "team.*"]).allow(group) is allowed


def test_without_a_rule_nothing_is_allowed() -> None:
    rules = GroupRules([])
    assert not rules.allow("room")
    assert not rules.allow("")
