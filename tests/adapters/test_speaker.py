"""Sending and handling for one name, on an adapter that need not be connected."""

import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec
import pytest

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import Closed, OutboxFull, TooLarge
from lanebus.adapters.event import Receipt
from lanebus.adapters.outbox import EVENT_OVERHEAD_BYTES
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.server import ServerAdapter
from lanebus.adapters.turns import FORGOTTEN_S
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Book, Outcome, Reason


@pytest.fixture
def server() -> Iterator[ServerAdapter]:
    adapter = ServerAdapter("a", outbox_bytes=10_000)
    yield adapter
    adapter.close(0.0)


def queued(adapter: ServerAdapter | ClientAdapter, lane: Lane = Lane.NORMAL) -> list[OutEvent]:
    return list(adapter.core.outgoing.lanes[lane].queue)


def nothing_accepted(adapter: ServerAdapter | ClientAdapter) -> bool:
    return adapter.in_flight == 0 and all(adapter.book(lane) == Book() for lane in LANES)


def test_send_returns_the_number_on_its_lane(server: ServerAdapter) -> None:
    assert [server.send("t", to="all"), server.send("t", to="all")] == [1, 2]
    assert server.send("t", to="all", lane="low") == 1
    assert server.send("t", to="all", lane=Lane.LOW) == 2
    assert server.in_flight == 4
    assert server.book("normal").as_dict()["in_flight"] == 2


def test_send_returns_a_receipt_that_is_wanted(server: ServerAdapter) -> None:
    receipt = server.send("t", to="all", receipt=True)
    assert isinstance(receipt, Receipt)
    assert (receipt.number, receipt.state) == (1, "in_flight")


def test_what_is_sent_before_the_adapter_is_connected_waits(server: ServerAdapter) -> None:
    server.send("unit.state", {"hp": 7}, to="group:room:7", lane="critical", exclude=["player:1"])
    (event,) = queued(server, Lane.CRITICAL)
    assert (event.topic, event.to, event.exclude) == ("unit.state", "group:room:7", ["player:1"])
    assert msgspec.msgpack.decode(event.payload) == {"hp": 7}


def test_encoded_bytes_pass_as_they_are(server: ServerAdapter) -> None:
    encoded = msgspec.msgpack.encode([1, 2])
    server.send("t", msgspec.Raw(encoded), to="all")
    assert queued(server)[0].payload == encoded


def test_the_topic_of_alerts_is_the_bus_s_own(server: ServerAdapter) -> None:
    with pytest.raises(ValueError, match=r"'bus.alert' is the bus's own: .* choose another topic"):
        server.send("bus.alert", to="all")


@pytest.mark.parametrize("topic", ["", "a..b", "a b", ".a", "a.", "x" * 129, "a.*", "ä"])
def test_a_malformed_topic_is_refused_at_once(server: ServerAdapter, topic: str) -> None:
    with pytest.raises(ValueError, match="is no topic: dotted words of letters"):
        server.send(topic, to="all")
    assert nothing_accepted(server)


@pytest.mark.parametrize("lane", ["fast", "", "NORMAL"])
def test_a_lane_that_does_not_exist_is_refused_with_those_that_do(server: ServerAdapter, lane: str) -> None:
    with pytest.raises(ValueError, match=r"no lane .*: use one of critical, normal, low"):
        server.send("t", to="all", lane=lane)
    assert nothing_accepted(server)


@pytest.mark.parametrize("lane", [1, None])
def test_what_is_no_name_of_a_lane_is_refused(server: ServerAdapter, lane: Any) -> None:
    # Where `send` is compiled, its types are looked at before anything else.
    with pytest.raises((ValueError, TypeError)):
        server.send("t", to="all", lane=lane)
    assert nothing_accepted(server)


@pytest.mark.parametrize(
    ("to", "complaint"),
    [
        ("42", "is no destination: use player:NAME, server:NAME"),
        ("player:", "is no destination"),
        ("everybody", "is no destination"),
        ("group:a b", "is no destination"),
        ("gateway:g", "is no destination"),
        (["player:1", "42"], "'42' is no destination"),
        ([], "an empty list of destinations"),
        ([42], "to is 42: give a text"),
        (b"all", "to is 97: give a text"),
        (
            [f"player:{number}" for number in range(257)],
            "to has more than 256 entries: use a group",
        ),
    ],
)
def test_a_malformed_destination_is_refused_at_once(server: ServerAdapter, to: Any, complaint: str) -> None:
    with pytest.raises((ValueError, TypeError), match=complaint):
        server.send("t", to=to)
    assert nothing_accepted(server)


@pytest.mark.parametrize(
    ("exclude", "complaint"),
    [
        ("player:1", "exclude is 'player:1', one text: give a list of texts"),
        (["1"], "'1' is no destination"),
        ([1], "exclude is 1: give a text"),
        (["group:room"], "'group:room' cannot be left out: only a player or a server can"),
    ],
)
def test_malformed_exclusions_are_refused_at_once(
    server: ServerAdapter, exclude: Any, complaint: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=complaint):
        server.send("t", to="all", exclude=exclude)
    assert nothing_accepted(server)


def test_a_server_must_say_whom_an_event_is_for(server: ServerAdapter) -> None:
    with pytest.raises(ValueError, match="server:a must say whom an event is for"):
        server.send("t")
    assert nothing_accepted(server)


def test_a_client_may_leave_the_choice_to_the_broker() -> None:
    client = ClientAdapter("1")
    client.send("player.attack")
    assert queued(client)[0].to is None
    client.close(0.0)


class Text(str):
    """A class of texts that does not encode by itself."""


class Name(StrEnum):
    LOBBY = "group:lobby"
    ALICE = "player:alice"


@pytest.mark.parametrize("kind", [Text, Name])
def test_texts_of_any_class_are_sent_as_plain_ones(server: ServerAdapter, kind: type[str]) -> None:
    for _ in range(2):
        server.send(Text("unit.state"), to=kind("group:lobby"), exclude=[kind("player:alice")])
        server.send(Text("unit.state"), to=[kind("player:alice")])
    for event in queued(server):
        assert type(event.topic) is str
        named = event.to if isinstance(event.to, list) else [event.to]
        assert {type(each) for each in (*named, *event.exclude)} == {str}


def test_a_payload_that_does_not_encode_is_refused_at_once(server: ServerAdapter) -> None:
    with pytest.raises(TypeError):
        server.send("t", object(), to="all")
    assert nothing_accepted(server)


def test_a_payload_past_the_brokers_limit_is_refused_with_both_sizes() -> None:
    server = ServerAdapter("a")
    limit = server.core.limits.event_bytes
    with pytest.raises(TooLarge) as caught:
        server.send("t", b"x" * limit, to="all")
    assert caught.value.limit_bytes == limit
    assert caught.value.size_bytes > limit
    assert nothing_accepted(server)
    assert server.send("t", b"x" * (limit - 5), to="all") == 1
    server.close(0.0)


def test_a_full_outbox_refuses_and_accepts_nothing(server: ServerAdapter) -> None:
    size = 200 + 2 + len("t") + EVENT_OVERHEAD_BYTES
    accepted = 10_000 // size
    for _ in range(accepted):
        server.send("t", b"x" * 200, to="all")
    with pytest.raises(OutboxFull) as caught:
        server.send("t", b"x" * 200, to="all")
    assert caught.value.limit_bytes == 10_000
    assert caught.value.held_bytes == accepted * size
    assert server.in_flight == accepted == len(queued(server))
    assert server.book("normal").as_dict()["accepted"] == accepted


def test_a_book_is_a_copy(server: ServerAdapter) -> None:
    book = server.book("normal")
    server.send("t", to="all")
    assert book == Book()
    book.accepted = 77
    assert server.book("normal").accepted == 1


def test_a_closed_adapter_sends_nothing_and_books_the_rest_as_unknown() -> None:
    server = ServerAdapter("a")
    told: list[tuple[int, Outcome, Reason]] = []
    server.on_unsettled(lambda each: told.append((each.number, each.outcome, each.reason)))
    receipt = server.send("t", to="all", receipt=True)
    assert server.close(0.0) == 1
    assert told == [(1, Outcome.UNKNOWN, Reason.CLOSED)]
    assert isinstance(receipt, Receipt)
    assert receipt.state == "unknown"
    with pytest.raises(Closed, match="server:a is closed"):
        server.send("t", to="all")
    assert server.book("normal").as_list() == [1, 0, 0, 0, 0, 0, 1]
    assert server.close(0.0) == 0


def test_what_on_unsettled_raises_is_logged_and_the_next_one_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = ServerAdapter("a")
    told: list[object] = []

    @server.on_unsettled
    def fail(unsettled: object) -> None:
        raise KeyError("a program's mistake")

    server.on_unsettled(told.append)
    server.send("t", to="all")
    server.close(0.0)
    assert len(told) == 1
    assert "a program's mistake" in caplog.text


def test_a_handler_for_a_pattern_that_is_none_is_refused(server: ServerAdapter) -> None:
    with pytest.raises(ValueError, match="no topic pattern"):
        server.on("a b")(print)


def test_on_gives_the_function_back(server: ServerAdapter) -> None:
    def handle(event: object) -> None: ...

    assert server.on("t")(handle) is handle
    assert server.on_unsettled(handle) is handle


def test_many_topics_are_remembered_within_a_bound(
    server: ServerAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered = {f"topic.{number}": f"topic.{number}" for number in range(8192)}
    monkeypatch.setattr("lanebus.adapters.speaker._TOPICS", remembered)
    server.send("one.more", to="all")
    assert list(remembered) == ["one.more"]


@pytest.mark.parametrize(
    "terms",
    [
        {"mode": "newest"},
        {"mode": "latest"},
        {"mode": "volatile", "key": "k"},
        {"key": 1},
        {"ttl_ms": 0},
    ],
)
def test_terms_that_make_no_sense_are_refused(server: ServerAdapter, terms: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mode|key|ttl_ms"):
        server.send("t", to="all", **terms)
    assert nothing_accepted(server)


def test_a_newer_value_has_the_older_ones_place_and_a_number_of_its_own(server: ServerAdapter) -> None:
    old = server.send("t", "old", to="all", mode="latest", key="k", receipt=True)
    server.send("t", "other", to="all")
    new = server.send("t", "new, and longer", to="all", mode="latest", key="k", receipt=True)
    assert isinstance(old, Receipt)
    assert isinstance(new, Receipt)
    assert [event.number for event in queued(server)] == [3, 2]
    assert (old.state, old.reason, new.number, new.state) == (
        "superseded",
        Reason.NEWER_VALUE,
        3,
        "in_flight",
    )
    lane = server.core.outgoing.lanes[Lane.NORMAL]
    assert lane.queued_bytes == sum(event.size for event in lane.queue)


def test_a_volatile_event_does_not_raise_where_there_is_no_room(server: ServerAdapter) -> None:
    with pytest.raises(OutboxFull):
        server.send("t", bytes(10_000), to="all")
    receipt = server.send("t", bytes(10_000), to="all", mode="volatile", receipt=True)
    assert isinstance(receipt, Receipt)
    assert (receipt.state, receipt.reason) == ("dropped", Reason.NO_ROOM)
    assert queued(server) == []
    assert server.book("normal").as_dict()["dropped"] == 1


@pytest.mark.patches
def test_numbers_do_not_run_away_from_what_is_not_settled(
    server: ServerAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = server.core.sessions[0].outbox
    monkeypatch.setattr("lanebus.adapters.outbox.MAX_SPREAD", 10)
    outbox._spread_ends[Lane.NORMAL] = 11
    server.send("t", "stays", to="player:1")
    for value in range(9):
        server.send("t", value, to="all", mode="latest", key="k")
    full = "since number 1, which is not settled: it is for player:1 "
    with pytest.raises(OutboxFull, match=full):
        server.send("t", "one more", to="all", mode="latest", key="k")
    with pytest.raises(OutboxFull, match=full):
        server.send("t", "one more", to="all")
    outbox.settle(Lane.NORMAL, Outcome.DELIVERED, Reason.NONE, [1, 1])
    assert server.send("t", "fits", to="all", mode="latest", key="k") == 11


def test_who_sends_and_forgets_to_poll_is_told_once(
    server: ServerAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    server.turns.end(time.monotonic() - FORGOTTEN_S + 1.0)
    server.send("t", to="all")
    assert caplog.text == ""
    server.turns.end(time.monotonic() - FORGOTTEN_S - 1.0)
    for _ in range(3):
        server.send("t", to="all")
    assert caplog.text.count("was not polled for 6.0 s") == 1
