"""What messages say, for people: nothing secret, nothing long."""

import pytest

from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.describe import (
    FREQUENT,
    TEXT_CHARACTERS,
    concerns,
    describe,
    describe_down,
    describe_up,
    name_of,
    only_session,
)
from lanebus.wire.batches import UpEvent
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import REQUESTS, Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import (
    Ack,
    Bye,
    Close,
    Done,
    Drain,
    ErrorMessage,
    Hello,
    Join,
    Kept,
    LaneHello,
    LaneWelcome,
    Open,
    Pause,
    Register,
    Settle,
    Settlement,
    Throttle,
    Throttled,
)
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.pings import Ping, Pong
from lanebus.wire.quality import Degree

PROCESS = b"p" * 16
ACK = Ack([1, 1, 1])
SETTLE = Settle(
    [1, 0, 0],
    [
        Settlement(0, 7, Lane.CRITICAL, Outcome.DELIVERED, Reason.NONE, [1, 3, 5, 5]),
        Settlement(2, 7, Lane.LOW, Outcome.REFUSED, Reason.HANDLER_ERROR, [9, 9]),
        Settlement(2, 8, Lane.LOW, Outcome.REFUSED, Reason.HANDLER_ERROR, [1, 1]),
    ],
)

THROTTLE = Throttle(
    entries=[
        Throttled(2, Lane.CRITICAL, 17, "events_per_s", 40.4, 100.0, 51_200.0),
        Throttled(1, Lane.LOW, 3, "up_bytes_per_s", 0.0, 100.0, 51_200.0),
    ]
)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            THROTTLE,
            (
                "critical from event 17 on, over events_per_s, again in 40 ms, "
                "low from event 3 on, over up_bytes_per_s, again in 0 ms"
            ),
        ),
        (Ack([3, 0, 1]), "received up to 3, 0, 1"),
        (SETTLE, "4 critical delivered, 2 low refused (handler_error)"),
        (Ping(1, 0, []), "no round trip yet"),
        (Ping(1, 1_250, []), "round trip 1.2 ms"),
        (
            Ping(1, 1_250, [], Degree.GOOD, "jitter 24.1 ms"),
            "round trip 1.2 ms, it finds its connection good: jitter 24.1 ms",
        ),
        (Done(request=3), "request 3"),
        (
            Done(request=3, error=ErrorNumber.NOT_ALLOWED, detail="no"),
            "request 3 refused, error 405 not_allowed: no",
        ),
        (ErrorMessage(number=303, text="gone"), "303 fenced: gone"),
        (ErrorMessage(number=999, text="?"), "999: ?"),
        (
            Hello(name="player:1", role=Role.CLIENT, process=PROCESS, versions=(1, 1), token=b"secret"),
            "client player:1, to resume",
        ),
        (Hello(name="player:1", role=Role.CLIENT, process=PROCESS, versions=(1, 1)), "client player:1, anew"),
        (LaneHello(token=b"secret"), ""),
        (LaneWelcome(lane=1), "lane normal"),
        (LaneWelcome(lane=7), "lane 7"),
        (Join(request=4, group="room", member="player:1"), "request 4, group room, member player:1"),
        (
            Register(request=1, service="combat", topics=["a.*", "b"]),
            "request 1, service combat, topics [a.* b]",
        ),
        (
            Pause(session=0, lane=Lane.LOW, destination="player:2"),
            "session 0, lane low, destination player:2",
        ),
        (Kept(entries=[("room", ["server:a"])]), "1 entries"),
        (Drain(deadline_ms=5.0), "deadline_ms 5.0"),
        (Bye(reason="done", books=[(0, [[1] * 7] * 3)]), "reason done"),
        (Close(request=2, index=1, books=[[1] * 7]), "request 2, index 1"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_message_in_a_few_words(message: object, text: str) -> None:
    assert describe(message) == text


def test_a_process_is_never_told() -> None:
    told = describe(Open(request=1, index=2, name="player:1", process=b"\x01secretsecretsec"))
    assert told == "request 1, index 2, name player:1"


def test_what_is_long_is_cut() -> None:
    told = describe(Register(request=1, service="combat", topics=["topic.topic.topic"] * 50))
    assert len(told) == TEXT_CHARACTERS
    assert told.endswith("...")


def up(topic: str, to: str | list[str] | None) -> UpEvent:
    return UpEvent(0, 1, 0, topic, to, b"secret")


def test_topics_of_events_on_their_way_in() -> None:
    events = [
        up("move", None),
        up("move", None),
        up("say", "group:room"),
        up("hit", ["player:1", "player:2"]),
    ]
    assert describe_up(events) == "2 x move to its service, say to group:room, hit to 2 destinations"


def test_many_topics_are_counted() -> None:
    assert describe_down((f"t{number}", "server:a") for number in range(6)) == (
        "t0 from server:a, t1 from server:a, t2 from server:a, t3 from server:a, and 2 other topics"
    )


@pytest.mark.parametrize(
    ("message", "is_about"),
    [
        (SETTLE, True),
        (Settle([0, 0, 0], SETTLE.settlements[:1]), False),
        (THROTTLE, True),
        (Throttle(entries=THROTTLE.entries[1:]), False),
        (Ack([1, 1, 1]), False),
        (Pong(0, 0), False),
        (Pause(session=2, lane=Lane.LOW, destination=""), True),
        (Pause(session=1, lane=Lane.LOW, destination=""), False),
        (Open(request=1, index=2, name="player:2", process=PROCESS), True),
        (Join(request=1, group="room", member="player:2"), True),
        (Join(request=1, group="room", member="player:3"), False),
        (ErrorMessage(number=303, text=""), True),
    ],
)
def test_which_messages_of_a_gateway_concern_one_of_its_players(message: object, is_about: bool) -> None:
    assert concerns(message, 2, "player:2") is is_about


def test_of_what_a_gateway_is_told_that_of_one_player() -> None:
    assert only_session(SETTLE, 2) == Settle([1, 0, 0], SETTLE.settlements[1:])
    assert only_session(THROTTLE, 2) == Throttle(entries=THROTTLE.entries[:1])
    assert only_session(ACK, 2) is ACK


def test_who_is_at_the_other_end_of_a_link() -> None:
    link = Link(Lane.LOW, b"route", 0.0)
    assert name_of(None) == name_of(link) == "a stranger"
    link.attachment = Attachment("player:1", Role.CLIENT, PROCESS, b"t" * 16, 0.0)
    assert name_of(link) == "player:1"


def test_what_is_logged_at_debug_are_the_rare_kinds() -> None:
    assert not FREQUENT & REQUESTS
    assert {Kind.HELLO, Kind.WELCOME, Kind.DONE, Kind.PAUSE} & FREQUENT == set()
