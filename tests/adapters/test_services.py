"""What a server says of itself as an instance, and what it learns of all others."""

from typing import Any

import pytest
from tests.adapters.hand import Hand
from tests.adapters.parts import nothing_came

from lanebus.adapters.services import Registration, ServiceChange, Watched
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Services
from lanebus.wire.services import Health, Instance, ServiceState

READY, DEGRADED, GONE = ServiceState.READY, ServiceState.DEGRADED, ServiceState.GONE
OK = (Health.OK, "")


# What it says of itself


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"service": "two words"}, "cannot name a service"),
        ({"depends_on": ["two words"]}, "cannot name a service"),
        ({"depends_on": "world"}, "give a list of texts"),
        ({"depends_on": ["world"] * 17}, "depends_on has more than 16 entries"),
        ({"tags": "eu"}, "give a list of texts"),
        ({"tags": [""]}, "tags are at most"),
        ({"tags": ["x" * 33]}, "tags are at most"),
        ({"tags": ["x"] * 17}, "tags has more than 16 entries"),
        ({"version": "x" * 65}, "65 characters"),
        ({"weight": 0}, "weight is 0"),
        ({"weight": 1.5}, "weight is 1.5"),
        ({"priority": 1001}, "priority is 1001"),
        ({"health_interval_s": 0.0}, "health_interval_s"),
    ],
    ids=str,
)
def test_what_the_broker_would_refuse_is_refused_at_once(arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Registration(**{"service": "combat"} | arguments)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, OK),
        (True, OK),
        ("ok", OK),
        (False, (Health.DEGRADED, "")),
        ("degraded", (Health.DEGRADED, "")),
        ("the disk is full", (Health.DEGRADED, "the disk is full")),
        ("x" * 500, (Health.DEGRADED, "x" * 200)),
    ],
)
def test_a_health_check_answers_in_few_words(answer: str | bool | None, said: tuple[Health, str]) -> None:
    registration = Registration("combat", health=lambda: answer)
    assert registration.look(1.0) is (said != OK)
    assert registration.said == said
    message = registration.message(3, ["t"])
    assert (message.request, message.topics, message.health, message.reason) == (3, ["t"], *said)
    report = registration.report(4)
    assert (report.request, report.service, report.health, report.reason) == (4, "combat", *said)


def test_a_health_check_that_raises_says_that_it_is_not_well() -> None:
    def check() -> bool:
        raise OSError("no route")

    registration = Registration("combat", health=check)
    assert registration.look(1.0)
    assert registration.said == (Health.DEGRADED, "its check failed: OSError")


def test_a_health_check_is_called_once_in_an_interval() -> None:
    calls: list[int] = []
    registration = Registration("combat", health=lambda: calls.append(1), health_interval_s=5.0)
    for now in (0.0, 1.0, 4.9, 5.0, 9.0, 20.0, 21.0):
        registration.look(now)
    assert len(calls) == 3


def test_what_starts_is_not_looked_at_before_it_is_ready() -> None:
    registration = Registration("combat", health=lambda: "no map", starting=True)
    assert not registration.look(0.0)
    assert registration.said == (Health.STARTING, "")
    registration.ready()
    assert registration.said == OK
    assert registration.look(1.0)
    registration.ready()
    assert registration.said == (Health.DEGRADED, "no map")


# What it learns of others


def an_instance(service: str, name: str, state: ServiceState = READY, **facts: Any) -> Instance:
    return Instance(service, f"server:{name}", state, "", **facts)


class Knowing:
    """Somebody who watches."""

    def __init__(self) -> None:
        self.watched = Watched(nothing_came())
        self.changes: list[ServiceChange] = []
        self.watched.functions.append(self.changes.append)

    def told(self, *entries: Instance, at: int = 0, of: int = 0) -> None:
        self.watched.told(Lane.CRITICAL, Services(entries=list(entries), at=at, of=of), 0.0)

    def heard(self) -> list[tuple[str, ServiceState | None, ServiceState]]:
        self.watched.tell()
        heard = [(change.instance.name, change.was, change.instance.state) for change in self.changes]
        self.changes.clear()
        return heard

    def names(self) -> dict[str, list[str]]:
        return {service: list(instances) for service, instances in self.watched.services.items()}


@pytest.fixture
def knowing() -> Knowing:
    return Knowing()


def test_changes_are_heard_once_and_what_is_gone_is_not_listed(knowing: Knowing) -> None:
    knowing.told(an_instance("combat", "a"), an_instance("combat", "b", weight=3))
    assert knowing.watched.services["combat"]["server:b"].weight == 3
    assert knowing.heard() == [("server:a", None, READY), ("server:b", None, READY)]
    knowing.told(an_instance("combat", "a"))
    assert knowing.heard() == []
    knowing.told(an_instance("combat", "a", DEGRADED))
    knowing.told(an_instance("combat", "a", GONE), an_instance("combat", "z", GONE))
    assert knowing.names() == {"combat": ["server:b"]}
    assert knowing.heard() == [("server:a", READY, DEGRADED), ("server:a", DEGRADED, GONE)]
    knowing.told(an_instance("combat", "b", GONE))
    assert knowing.names() == {}


def test_who_is_not_among_all_is_gone(knowing: Knowing) -> None:
    knowing.told(an_instance("combat", "a"), an_instance("chat", "b"), of=2)
    knowing.heard()
    knowing.told(an_instance("combat", "a"), of=2)
    assert knowing.names() == {"combat": ["server:a"], "chat": ["server:b"]}
    knowing.told(an_instance("world", "c", GONE), at=1, of=2)
    assert knowing.names() == {"combat": ["server:a"]}
    assert knowing.heard() == [("server:b", READY, GONE)]


def test_what_was_cut_off_begins_anew(knowing: Knowing) -> None:
    knowing.told(an_instance("combat", "a"), of=3)
    knowing.told(an_instance("combat", "b"), of=1)
    assert knowing.names() == {"combat": ["server:b"]}


def test_a_part_that_is_missing_breaks_the_protocol(knowing: Knowing) -> None:
    knowing.told(an_instance("combat", "a"), of=3)
    with pytest.raises(ProtocolError) as caught:
        knowing.told(an_instance("combat", "b"), at=2, of=3)
    assert caught.value.number is ErrorNumber.BAD_BODY


def test_more_instances_than_one_may_know_break_the_protocol(
    knowing: Knowing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lanebus.adapters.services.MAX_INSTANCES", 2)
    knowing.told(an_instance("combat", "a"), an_instance("combat", "b"))
    knowing.told(an_instance("combat", "b", GONE), an_instance("combat", "c"))
    with pytest.raises(ProtocolError):
        knowing.told(an_instance("combat", "d"))


def test_a_function_that_fails_does_not_keep_others_from_hearing(
    knowing: Knowing, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(change: ServiceChange) -> None:
        raise RuntimeError(change.instance.name)

    knowing.watched.functions.insert(0, fail)
    knowing.told(an_instance("combat", "a"))
    assert knowing.heard() == [("server:a", None, READY)]
    assert "on_service for server:a failed" in caplog.text


def test_nothing_is_kept_for_nobody() -> None:
    watched = Watched(nothing_came())
    watched.told(Lane.CRITICAL, Services(entries=[an_instance("combat", "a")]), 0.0)
    heard: list[ServiceChange] = []
    watched.functions.append(heard.append)
    watched.tell()
    assert heard == []
    watched.forget()
    assert watched.services == {}


def test_an_attachment_takes_what_the_broker_says() -> None:
    hand = Hand().up()
    hand.say(Kind.SERVICES, Services(entries=[an_instance("combat", "a")]))
    assert list(hand.core.services.services) == ["combat"]
