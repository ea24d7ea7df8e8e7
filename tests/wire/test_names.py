"""Names, destinations, topics and patterns: one grammar each, held against a naive model."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.samples import unless_refused

from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.names import (
    MAX_GROUP_BYTES,
    MAX_NAME_BYTES,
    MAX_TOPIC_BYTES,
    Destination,
    DestinationKind,
    PatternTable,
    Role,
    compile_pattern,
    full_name,
    parse_destination,
    valid_group,
    valid_pattern,
    valid_peer,
    valid_service,
    valid_topic,
)

words = st.sampled_from(["a", "b", "ab", "A-1", "_"])
topics = st.lists(words, min_size=1, max_size=4).map(".".join)
pattern_words = st.lists(st.one_of(words, st.just("*")), max_size=3)
patterns = st.builds(
    lambda front, last: ".".join([*front, last]), pattern_words, st.one_of(words, st.just("*"), st.just("**"))
)


def matches(pattern: list[str], topic: list[str]) -> bool:
    """What a pattern means, said in the simplest way."""
    if pattern == ["**"]:
        return len(topic) >= 1
    if not pattern or not topic:
        return pattern == topic
    return pattern[0] in ("*", topic[0]) and matches(pattern[1:], topic[1:])


@given(patterns, topics)
def test_a_pattern_matches_what_the_naive_model_says(pattern: str, topic: str) -> None:
    expected = matches(pattern.split("."), topic.split("."))
    assert (compile_pattern(pattern).match(topic) is not None) is expected


@given(topics)
def test_a_topic_is_a_pattern_that_matches_itself(topic: str) -> None:
    assert valid_topic(topic)
    assert valid_pattern(topic)
    assert compile_pattern(topic).match(topic)


@given(st.text(max_size=20))
def test_any_text_is_a_topic_exactly_when_the_grammar_says_so(text: str) -> None:
    grammar = all(word and re.fullmatch(r"[A-Za-z0-9_-]+", word) for word in text.split("."))
    assert valid_topic(text) is grammar


@pytest.mark.parametrize("topic", ["player.attack", "a", "A-1.b_2.c", "x" * MAX_TOPIC_BYTES])
def test_topics_are_dotted_words(topic: str) -> None:
    assert valid_topic(topic)


@pytest.mark.parametrize(
    "topic",
    ["", ".", "a.", ".a", "a..b", "a b", "a\n", "é", "a.*", "**", "a:b", "\x00", "x" * (MAX_TOPIC_BYTES + 1)],
)
def test_anything_else_is_no_topic(topic: str) -> None:
    assert not valid_topic(topic)


@pytest.mark.parametrize("pattern", ["*", "**", "a.*", "*.a", "a.*.b", "a.**", "*.**", "a.b"])
def test_patterns_are_topics_with_stars_for_words(pattern: str) -> None:
    assert valid_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["", "a*", "**.a", "a.**.b", "***", "a.", "**\n", "x" * (MAX_TOPIC_BYTES + 1)]
)
def test_anything_else_is_no_pattern(pattern: str) -> None:
    assert not valid_pattern(pattern)
    with pytest.raises(ValueError, match="is no topic pattern"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("player:42", Role.CLIENT),
        ("server:arena-1", Role.SERVER),
        ("gateway:eu.1", Role.GATEWAY),
        ("player:" + "x" * MAX_NAME_BYTES, Role.CLIENT),
    ],
)
def test_a_peer_carries_the_prefix_of_its_role(name: str, role: Role) -> None:
    assert valid_peer(name, role)
    assert [other for other in Role if valid_peer(name, other)] == [role]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "player",
        "player:",
        "42",
        "player:4 2",
        "player:a:b",
        "Player:42",
        "player:é",
        "player:4\n",
        "player:" + "x" * (MAX_NAME_BYTES + 1),
    ],
)
def test_anything_else_is_no_peer(name: str) -> None:
    assert not any(valid_peer(name, role) for role in Role)


def test_services_and_groups_have_limits_and_only_groups_have_colons() -> None:
    assert valid_service("combat")
    assert valid_service("x" * MAX_NAME_BYTES)
    assert not valid_service("x" * (MAX_NAME_BYTES + 1))
    assert not valid_service("a:b")
    assert not valid_service("")
    assert valid_group("room:7")
    assert valid_group("x" * MAX_GROUP_BYTES)
    assert not valid_group("x" * (MAX_GROUP_BYTES + 1))
    assert not valid_group("room 7")
    assert not valid_group("")


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("player:42", DestinationKind.PLAYER, "42"),
        ("server:arena-1", DestinationKind.SERVER, "arena-1"),
        ("service:combat", DestinationKind.SERVICE, "combat"),
        ("group:room:7", DestinationKind.GROUP, "room:7"),
        ("all", DestinationKind.ALL, ""),
    ],
)
def test_a_destination_is_taken_apart_at_its_first_colon(text: str, kind: DestinationKind, name: str) -> None:
    assert parse_destination(text) == Destination(kind, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "all:",
        "all:x",
        "player:",
        "player:a:b",
        "player:\ud7ff",
        "group:",
        "group:a b",
        "group:" + "x" * (MAX_GROUP_BYTES + 1),
        "gateway:g",
        "topic:x",
        "ALL",
    ],
)
def test_anything_else_is_no_destination(text: str) -> None:
    with pytest.raises(ProtocolError, match="is no destination") as raised:
        parse_destination(text)
    assert raised.value.number is ErrorNumber.BAD_DESTINATION


@given(st.text())
def test_any_text_is_a_destination_or_a_protocol_error(text: str) -> None:
    with unless_refused(ErrorNumber.BAD_DESTINATION):
        destination = parse_destination(text)
        whole = "all" if destination.kind is DestinationKind.ALL else ":".join(destination)
        assert whole == text


@pytest.mark.parametrize(
    ("name", "role", "full"),
    [
        ("42", Role.CLIENT, "player:42"),
        ("player:42", Role.CLIENT, "player:42"),
        ("arena-1", Role.SERVER, "server:arena-1"),
        ("gateway:g", Role.GATEWAY, "gateway:g"),
    ],
)
def test_a_name_may_be_written_with_or_without_its_prefix(name: str, role: Role, full: str) -> None:
    assert full_name(name, role) == full


@pytest.mark.parametrize("name", ["", "a b", "server:x", "player:", "player:player:x"])
def test_a_name_that_is_not_legal_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a player: letters, digits"):
        full_name(name, Role.CLIENT)


@given(st.lists(st.tuples(patterns, st.integers(0, 5)), max_size=8), st.lists(topics, max_size=5))
def test_a_table_finds_each_value_once_in_the_order_added(
    entries: list[tuple[str, int]], asked: list[str]
) -> None:
    table: PatternTable[int] = PatternTable(cache_topics=2)
    for pattern, value in entries:
        table.add(pattern, value)
    assert len(table) == len(entries)
    assert list(table.patterns()) == [pattern for pattern, _ in entries]
    for topic in [*asked, *asked]:
        expected: dict[int, None] = {}
        for pattern, value in entries:
            if matches(pattern.split("."), topic.split(".")):
                expected.setdefault(value)
        assert table.match(topic) == tuple(expected)


def test_adding_and_removing_changes_what_was_remembered() -> None:
    table: PatternTable[str] = PatternTable()
    assert table.match("a.b") == ()
    table.add("a.*", "one")
    table.add("a.**", "two")
    table.add("**", "one")
    assert table.match("a.b") == ("one", "two")
    table.remove("one")
    assert table.match("a.b") == ("two",)
    assert len(table) == 1


def test_a_malformed_pattern_is_not_filed() -> None:
    table: PatternTable[str] = PatternTable()
    with pytest.raises(ValueError, match="is no topic pattern"):
        table.add("a.**.b", "value")
    assert len(table) == 0
