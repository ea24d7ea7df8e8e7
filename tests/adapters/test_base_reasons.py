"""Why an adapter is not up: what a broker or the system said last is in every place where a person looks."""

import logging
import socket as plain
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.adapters.down import frame, welcome
from tests.adapters.listening import Hand
from tests.adapters.real import RunningBroker, until
from tests.adapters.test_base import nobody

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import NotConnected
from lanebus.adapters.server import ServerAdapter
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Bye, ErrorMessage

Answer = Callable[[Hand], None]


def says(kind: Kind, message: object) -> Answer:
    return lambda hand: hand.say(Lane.CRITICAL, frame(kind, message, incarnation=hand.incarnation))


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, Callable[[], None]]]:
    """An address where every hello gets an answer, and what gives it."""
    hand = Hand()

    def work() -> None:
        while hand.sockets[0].poll(0):
            if hand.take(Lane.CRITICAL) is Kind.HELLO:
                answer(hand)

    yield hand.address, work
    hand.close()


@contextmanager
def refusing() -> Iterator[tuple[str, Callable[[], None]]]:
    yield nobody(), lambda: None


@contextmanager
def mute() -> Iterator[tuple[str, Callable[[], None]]]:
    with plain.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}", lambda: None


@contextmanager
def hanging_up() -> Iterator[tuple[str, Callable[[], None]]]:
    """As a port that is forwarded to nobody: it accepts, and ends the connection."""
    with plain.create_server(("127.0.0.1", 0), backlog=64) as listening:
        listening.settimeout(0.0)

        def work() -> None:
            try:
                listening.accept()[0].close()
            except BlockingIOError:
                pass

        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}", work


def elsewhere(**changes: Any) -> Answer:
    return says(Kind.WELCOME, welcome(**changes))


CASES = {
    "nobody listens": (refusing, "refused, or ends at once: no broker listens there"),
    "it hangs up": (hanging_up, "refused, or ends at once: no broker listens there"),
    "it is silent": (mute, "no answer for 2 s: what listens there is no broker"),
    "it cools down": (
        lambda: answering(
            says(Kind.ERROR, ErrorMessage(number=ErrorNumber.COOLING_DOWN, text="not so fast"))
        ),
        "error 307: not so fast",
    ),
    "it breaks the protocol": (lambda: answering(says(Kind.BYE, Bye(reason="no"))), "bye on a new link"),
    "its other ports are closed": (
        lambda: answering(elsewhere(ports=[1, int(nobody().rpartition(":")[2]), 2])),
        "says that its normal lane is at tcp://127.0.0.1:",
    ),
    "its name leads nowhere": (
        lambda: answering(elsewhere(host="no such host")),
        "no such host",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_in_the_exception_the_state_and_the_log_once(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    context, reason = CASES[case]
    with ExitStack() as stack:
        address, work = stack.enter_context(context())
        adapter = stack.enter_context(_closing(ClientAdapter("1", broker=address)))
        adapter.start()
        deadline = time.monotonic() + 20.0
        with caplog.at_level(logging.WARNING):
            while adapter.retry.attempts < (1 if "silent" in case else 3):
                assert time.monotonic() < deadline, f"no attempt has failed: {adapter!r}"
                work()
                adapter.wait(0.01)
        assert address in adapter.state_reason
        assert reason in adapter.state_reason
        assert adapter.stats()["state_reason"] == adapter.state_reason
        assert [reason in each.getMessage() for each in caplog.records].count(True) == 1
        with pytest.raises(NotConnected) as caught:
            adapter.connect(0.0)
        assert reason in str(caught.value)


@contextmanager
def _closing(adapter: ClientAdapter) -> Iterator[ClientAdapter]:
    yield adapter
    adapter.close(0.0)


def test_a_name_that_was_taken_over_again_and_again_hears_why_it_is_not_let_in(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    said = ""
    with ExitStack() as stack:
        for _ in range(10):
            adapter = ServerAdapter("a", broker=broker.address)
            stack.callback(adapter.close, 0.0)
            try:
                adapter.connect(1.0)
            except NotConnected as error:
                said = str(error)
                break
    assert "error 307: processes take server:a from each other" in said
    # How long it still takes is in the exception, and no news for the log.
    told = [each.getMessage() for each in caplog.records if each.name == "lanebus.adapters"]
    assert ["error 307" in each for each in told].count(True) == 1


def test_all_is_well_has_no_reason_and_a_refusal_is_one(broker: RunningBroker) -> None:
    with ServerAdapter("a", broker=[nobody(), broker.address]) as server:
        assert server.state_reason == ""
        server.join("room", "player:nobody")
        until(lambda: bool(server.state_reason), server, what="the refusal is known")
        assert "putting player:nobody into group room was refused" in server.state_reason
        assert server.state == "up"
        broker.stop()
        until(lambda: server.state == "down", server, what="the broker is gone")
        assert broker.address in server.state_reason
        broker.come_back()
        until(lambda: server.state == "up", server, what="the broker is back")
        until(lambda: not server.requests_pending, server, what="all is asked again")
    assert server.state == "closed"


def test_each_broker_of_a_list_is_named_with_its_reason() -> None:
    one, other = nobody(), nobody()
    adapter = ServerAdapter("a", broker=[one, other])
    with pytest.raises(NotConnected) as caught:
        adapter.connect(1.0)
    said = str(caught.value)
    assert f"{one}: the connection is refused" in said
    assert f"{other}: the connection is refused" in said


def test_a_fenced_adapter_says_who_it_was(broker: RunningBroker) -> None:
    older = ServerAdapter("a", broker=broker.address)
    older.connect()
    with ServerAdapter("a", broker=broker.address):
        until(lambda: _is_fenced(older), what="the older one is fenced")
        assert "was fenced: a newer process of server:a" in older.state_reason


def _is_fenced(adapter: ServerAdapter) -> bool:
    adapter.turn(time.monotonic())
    return adapter.state == "closed"
