"""Requests: numbered, paced, sent again until answered, made again of a broker that has forgotten."""

from typing import Any

from lanebus.adapters.requests import MAX_UNDER_WAY, Failed, Request, Requests
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Done, Limits


class Wire:
    """What was sent, as kind, number and name."""

    def __init__(self) -> None:
        self.requests = Requests(self._send)
        self.sent: list[tuple[Kind, int, str]] = []

    def _send(self, kind: Kind, message: Any) -> None:
        self.sent.append((kind, *message))

    def ask(
        self,
        name: str,
        kind: Kind = Kind.JOIN,
        *,
        keep: bool = True,
        key: str | None = None,
        undoes: bool = False,
        replaces: Request | None = None,
    ) -> Request:
        request = Request(kind, lambda number: (number, name), f"asking for {name}", key, undoes)
        self.requests.ask(request, keep=keep, replaces=replaces)
        return request

    def names(self) -> list[str]:
        """What was sent since the last look, as ``number name``."""
        sent, self.sent = self.sent, []
        return [f"{number} {name}" for _, number, name in sent]


def test_nothing_is_asked_before_there_is_a_link() -> None:
    wire = Wire()
    wire.ask("a")
    wire.ask("b")
    assert wire.names() == []
    assert (len(wire.requests), wire.requests.last) == (2, 2)
    wire.requests.restart()
    assert wire.names() == ["1 a", "2 b"]


def test_a_resumed_link_is_asked_again_what_was_not_answered_with_the_same_numbers() -> None:
    wire = Wire()
    wire.requests.restart()
    for name in "abc":
        wire.ask(name)
    assert wire.names() == ["1 a", "2 b", "3 c"]
    wire.requests.done(Done(request=1))
    wire.requests.lost()
    wire.ask("d")
    assert wire.names() == []
    wire.requests.resume()
    assert wire.names() == ["2 b", "3 c", "4 d"]
    assert len(wire.requests) == 3


def test_a_resumed_link_without_anything_open_is_asked_nothing() -> None:
    wire = Wire()
    wire.requests.restart()
    wire.ask("a")
    wire.requests.done(Done(request=1))
    wire.names()
    wire.requests.lost()
    wire.requests.resume()
    assert wire.names() == []
    wire.ask("b")
    assert wire.names() == ["2 b"]


def test_a_broker_that_has_forgotten_is_asked_for_all_that_is_to_be_kept_and_all_that_is_open() -> None:
    wire = Wire()
    wire.requests.restart()
    wire.ask("kept")
    wire.ask("once", Kind.LEAVE, keep=False)
    for number in (1, 2):
        wire.requests.done(Done(request=number))
    wire.ask("open", Kind.LEAVE, keep=False)
    wire.names()
    wire.requests.lost()
    wire.requests.restart()
    assert wire.names() == ["1 kept", "2 open"]
    assert wire.requests.last == 2


def test_what_was_not_answered_is_made_again_in_its_order() -> None:
    wire = Wire()
    answered = wire.ask("answered")
    wire.requests.restart()
    wire.requests.done(Done(request=1))
    first = wire.ask("opened", Kind.OPEN)
    wire.requests.withdraw(first)
    wire.ask("closed", Kind.CLOSE, keep=False)
    wire.ask("opened again", Kind.OPEN)
    wire.names()
    wire.requests.restart()
    assert wire.names() == ["1 answered", "2 opened", "3 closed", "4 opened again"]
    assert answered in wire.requests.assertions


def test_what_is_withdrawn_is_not_made_again() -> None:
    wire = Wire()
    request = wire.ask("a")
    wire.requests.restart()
    wire.requests.done(Done(request=1))
    wire.requests.withdraw(request)
    wire.requests.withdraw(None)
    wire.names()
    wire.requests.restart()
    assert wire.names() == []
    assert len(wire.requests) == 0


def test_a_refused_request_is_reported_once_and_not_made_again() -> None:
    wire = Wire()
    wire.requests.restart()
    wire.ask("a")
    wire.requests.done(Done(request=1, error=501, detail="no session of player:1"))
    assert wire.requests.failed == [Failed("asking for a", 501, "no session of player:1")]
    assert wire.requests.assertions == {}
    wire.requests.done(Done(request=1, error=501, detail="again"))
    assert len(wire.requests.failed) == 1


def test_only_so_many_are_under_way_at_once() -> None:
    wire = Wire()
    wire.requests.restart()
    for number in range(MAX_UNDER_WAY + 10):
        wire.ask(str(number))
    assert len(wire.names()) == MAX_UNDER_WAY
    wire.requests.done(Done(request=2))
    assert wire.names() == [], "the oldest is not answered"
    wire.requests.done(Done(request=1))
    assert len(wire.names()) == 2
    for number in range(3, wire.requests.last + 1):
        wire.requests.done(Done(request=number))
    assert len(wire.names()) == 8
    assert len(wire.requests) == 0


def test_without_a_link_a_request_takes_the_place_of_an_earlier_one_for_the_same_thing() -> None:
    wire = Wire()
    wire.requests.restart()
    wire.ask("join 1", key="1")
    wire.requests.lost()
    for _ in range(50):
        wire.ask("leave 1", key="1", keep=False)
        wire.ask("join 2", key="2")
        wire.ask("join 1", key="1")
    wire.names()
    # The first may have been carried out; of those made since only the last of each counts.
    renumbered = wire.requests.resume()
    assert wire.names() == ["1 join 1", "2 join 2", "3 join 1"]
    assert [renumbered(1), renumbered(150), renumbered(151)] == [1, 2, 3]


def test_what_only_takes_back_a_request_that_never_left_is_not_asked_either() -> None:
    wire = Wire()
    wire.ask("open 1", key="1", keep=False)
    wire.ask("close 1", key="1", keep=False, undoes=True)
    wire.ask("open 2", key="2")
    wire.requests.restart()
    assert wire.names() == ["1 open 2"]


def test_a_new_broker_numbers_requests_anew_and_says_what_became_of_the_old_numbers() -> None:
    wire = Wire()
    wire.requests.restart()
    kept = [wire.ask(name) for name in "abcd"]
    for number in range(1, 5):
        wire.requests.done(Done(request=number))
    wire.requests.withdraw(kept[1])
    wire.requests.lost()
    wire.ask("e")
    wire.names()
    assert len(wire.requests.again()) == 4
    renumbered = wire.requests.restart()
    assert wire.names() == ["1 a", "2 c", "3 d", "4 e"]
    assert [renumbered(number) for number in range(6)] == [0, 1, 1, 2, 3, 4]


def test_a_request_that_says_an_earlier_one_again_keeps_its_place() -> None:
    wire = Wire()
    wire.requests.restart()
    first = wire.ask("a")
    wire.ask("b")
    wire.ask("a again", replaces=first)
    for number in range(1, 4):
        wire.requests.done(Done(request=number))
    wire.names()
    renumbered = wire.requests.restart()
    assert wire.names() == ["1 a again", "2 b"]
    # What was sent after the first of them, and before the second, still depends on it.
    assert renumbered(1) == 1


def test_requests_are_asked_no_faster_than_the_broker_takes_them() -> None:
    wire = Wire()
    requests = wire.requests
    requests.adopt(Limits(control_messages_per_s=8.0, control_messages=12), 100.0)
    requests.restart()
    for number in range(20):
        wire.ask(str(number))
    assert len(wire.names()) == 3
    assert requests.due == 100.25
    requests.turn(100.2)
    assert wire.names() == []
    for step in range(17):
        assert requests.due is not None
        requests.turn(requests.due)
        assert wire.names() == [f"{step + 4} {step + 3}"]
    assert requests.due is None


def test_without_a_limit_nothing_waits_and_with_fresh_links_none_that_had_passed_comes_back() -> None:
    wire = Wire()
    requests = wire.requests
    requests.adopt(Limits(control_messages_per_s=2.0, control_messages=8), 0.0)
    requests.restart()
    for name in "abc":
        wire.ask(name)
    assert wire.names() == ["1 a", "2 b"]
    requests.lost()
    assert requests.due is None
    requests.adopt(Limits(control_messages_per_s=2.0, control_messages=8), 0.5)
    requests.resume()
    assert wire.names() == []
    requests.adopt(Limits(), 0.5)
    requests.resume()
    assert wire.names() == ["1 a", "2 b", "3 c"]
