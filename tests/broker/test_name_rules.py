"""Rules by names: which ones they allow."""

import pytest

from lanebus.broker.name_rules import NAMES_REMEMBERED, NameRules


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
    assert NameRules(["room:*", "lobby", "team.*"]).allow(group) is allowed


def test_without_a_rule_nothing_is_allowed() -> None:
    rules = NameRules([])
    assert not rules.allow("room")
    assert not rules.allow("")


def test_answers_are_remembered_within_bounds() -> None:
    rules = NameRules(["room:*"])
    for number in range(2 * NAMES_REMEMBERED):
        assert rules.allow(f"room:{number}")
    assert len(rules._known) <= NAMES_REMEMBERED
    assert rules.allow("room:0")
    assert not rules.allow("den")
