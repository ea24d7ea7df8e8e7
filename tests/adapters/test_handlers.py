"""Handlers: topics to functions, payloads to schemas, and what a failure costs."""

import dataclasses
import datetime as dt
import logging
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import pytest

from lanebus.adapters.event import Event
from lanebus.adapters.handlers import Handlers
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

DELIVERED = (Outcome.DELIVERED, Reason.NONE)
HANDLER_ERROR = (Outcome.REFUSED, Reason.HANDLER_ERROR)
BAD_PAYLOAD = (Outcome.REFUSED, Reason.BAD_PAYLOAD)


class Attack(msgspec.Struct):
    target: int
    damage: float = 1.0


def event(payload: Any, topic: str = "player.attack") -> Event:
    return Event(1, topic, msgspec.msgpack.encode(payload), "player:1", "server:a", Lane.NORMAL, 0.0, False)


def run(handlers: Handlers, shown: Event) -> tuple[Outcome, Reason]:
    return handlers.run(handlers.match(shown.topic), shown)


def fail(_: Event) -> None:
    raise KeyError("a unit that is gone")


def test_every_handler_whose_pattern_matches_gets_the_event_in_the_order_they_were_added() -> None:
    handlers = Handlers()
    got: list[str] = []

    def note(name: str) -> Callable[[Event], None]:
        return lambda _: got.append(name)

    for pattern in ("player.*", "**", "player.attack", "player.heal"):
        handlers.add(pattern, note(pattern))
    assert run(handlers, event(None)) == DELIVERED
    assert got == ["player.*", "**", "player.attack"]


def test_a_topic_that_no_pattern_matches_has_no_handlers() -> None:
    handlers = Handlers()
    handlers.add("player.*", lambda _: None)
    assert handlers.match("unit.state") == ()


def test_patterns_are_listed_once_each() -> None:
    handlers = Handlers()
    for pattern in ("b", "a", "b"):
        handlers.add(pattern, lambda _: None)
    assert handlers.patterns == ["b", "a"]


def test_handlers_of_alerts_get_no_events_of_peers_and_are_told_to_nobody() -> None:
    handlers = Handlers()
    got: list[Event] = []
    handlers.add("bus.alert", got.append)
    handlers.add("player.*", got.append)
    assert handlers.match("bus.alert") == ()
    assert handlers.patterns == ["player.*"]
    (handler,) = handlers.of_alerts
    assert handler.pattern == "bus.alert"


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no topic pattern"):
        Handlers().add("player..attack", lambda _: None)


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError):
        Handlers().add("a", lambda _: None, schema="a text")


def test_a_schema_makes_the_payload_what_the_handler_wants() -> None:
    handlers = Handlers()
    got: list[Any] = []
    handlers.add("player.attack", lambda each: got.append(each.payload), schema=Attack)
    handlers.add("player.attack", lambda each: got.append(each.payload), schema=dict)
    assert run(handlers, event({"target": 7})) == DELIVERED
    assert got == [Attack(7), {"target": 7}]


def test_a_payload_that_does_not_fit_is_refused_and_the_handler_does_not_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handlers = Handlers()
    got: list[Any] = []
    handlers.add("player.attack", got.append, schema=Attack)
    assert run(handlers, event({"target": "none"})) == BAD_PAYLOAD
    assert got == []
    assert handlers.errors == 1
    assert "payload of player.attack from player:1 does not fit the handler of player.attack" in caplog.text


def test_a_payload_that_is_not_messagepack_is_refused_where_a_schema_asks_for_it() -> None:
    handlers = Handlers()
    handlers.add("a", lambda _: None, schema=int)
    shown = Event(1, "a", b"\xc1", "player:1", "server:a", Lane.NORMAL, 0.0, False)
    assert run(handlers, shown) == BAD_PAYLOAD


def test_a_handler_that_raises_is_logged_and_counted_and_the_next_one_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handlers = Handlers()
    got: list[Event] = []
    handlers.add("a", fail)
    handlers.add("a", got.append)
    with caplog.at_level(logging.ERROR):
        assert run(handlers, event(None, "a")) == HANDLER_ERROR
    assert len(got) == 1
    assert handlers.errors == 1
    assert "a unit that is gone" in caplog.text
    assert "<Event a #1 from player:1 on normal>" in caplog.text


def test_a_strict_handler_raises_to_the_program() -> None:
    handlers = Handlers(strict=True)
    handlers.add("a", fail)
    with pytest.raises(KeyError, match="a unit that is gone"):
        run(handlers, event(None, "a"))
    assert handlers.errors == 1


def test_strict_does_not_raise_what_a_sender_did_wrong() -> None:
    handlers = Handlers(strict=True)
    handlers.add("a", lambda _: None, schema=Attack)
    assert run(handlers, event([], "a")) == BAD_PAYLOAD


class Foreign:
    """A class that makes itself of what it is given, as models of other libraries do."""


@dataclasses.dataclass
class Outer:
    inner: list[Foreign | None]


class Tree(msgspec.Struct):
    children: list["Tree"] = []


@pytest.mark.parametrize("schema", [Foreign, list[Foreign], dict[str, tuple[int, Foreign]], Outer])
def test_a_class_that_no_payload_is_ever_decoded_as_is_refused_with_the_remedy(schema: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot be decoded as Foreign: give a msgspec\.Struct, a dataclass"):
        Handlers().add("t", print, schema)


@pytest.mark.parametrize(
    "schema", [Attack, Tree, int, list[Attack], dict[str, Any], Any, Literal["a"], dt.datetime]
)
def test_whatever_payloads_are_decoded_as_is_taken(schema: Any) -> None:
    Handlers().add("t", print, schema)


def test_whatever_a_schemas_own_code_raises_is_a_payload_that_does_not_fit() -> None:
    class Strange(msgspec.Struct):
        n: int

        def __post_init__(self) -> None:
            raise OverflowError("too much")

    handlers = Handlers()
    handlers.add("player.attack", fail, Strange)
    assert run(handlers, event({"n": 1})) == BAD_PAYLOAD
