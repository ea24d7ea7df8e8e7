"""What a handler may do: poll and wait, which return at once, and close, which happens when it has returned."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import Closed, NotConnected
from lanebus.adapters.event import Event
from lanebus.adapters.gateway import GatewayAdapter
from lanebus.adapters.loop import Loop
from lanebus.adapters.server import ServerAdapter
from lanebus.wire.outcomes import Outcome, Reason


async def never_runs(event: Event) -> None:
    """A handler as somebody writes it who expects asyncio."""


def returns_what_never_runs(event: Event) -> object:
    """What no look at it could have told."""
    return never_runs(event)


@pytest.mark.parametrize("call", ["poll", "wait", "wait for long", "wait for an event"])
def test_a_handler_that_polls_nests_nothing_and_handlers_end_in_order(
    broker: RunningBroker, call: str
) -> None:
    server = ServerAdapter("a", broker=broker.address)
    calls: dict[str, Callable[[], int]] = {
        "poll": server.poll,
        "wait": lambda: server.wait(0.0),
        "wait for long": lambda: server.wait(60.0),
        "wait for an event": server.wait,
    }
    begun: list[int] = []
    ended: list[int] = []

    @server.on("t")
    def handle(event: Event) -> None:
        begun.append(event.payload)
        assert calls[call]() == 0
        ended.append(event.payload)

    with server, ServerAdapter("b", broker=broker.address) as sender:
        receipts: list[Any] = [sender.send("t", number, to="server:a", receipt=True) for number in range(300)]
        until(lambda: len(ended) == 300, server, sender, what="all are handled")
        assert begun == ended == list(range(300))
        until(lambda: all(each.done for each in receipts), server, sender, what="all are settled")
        assert {each.outcome for each in receipts} == {Outcome.DELIVERED}


def test_other_functions_of_the_program_may_poll_too(broker: RunningBroker) -> None:
    polled: list[int] = []

    def health() -> bool:
        polled.append(server.poll())
        return True

    server = ServerAdapter("a", service="s", health=health, broker=broker.address)
    server.on_unsettled(lambda unsettled: polled.append(server.wait(60.0)))
    server.on_player_joined(lambda change: polled.append(server.poll()))
    server.on_service(lambda change: polled.append(server.poll()))
    server.watch_services()
    with server, ClientAdapter("1", broker=broker.address):
        server.send("t", to="player:nobody")
        until(lambda: len(polled) >= 4, server, what="each was called")
        assert set(polled) == {0}


def test_an_adapter_that_its_handler_closes_settles_the_event_and_is_closed_then(
    broker: RunningBroker,
) -> None:
    server = ServerAdapter("a", broker=broker.address)
    in_flight: list[int] = []

    @server.on("end")
    def end(event: Event) -> None:
        server.send("bye", to=event.sender)
        in_flight.append(server.close(2.0))
        assert server.state == "up"

    with ServerAdapter("b", broker=broker.address) as other:
        heard: list[Event] = []
        other.on("bye")(heard.append)
        server.connect()
        receipt: Any = other.send("end", to="server:a", receipt=True, flush=True)
        loop = Loop()
        loop.add(other)
        while not in_flight:
            server.poll()
            loop.turn(0.001)
        # It waited for its own event within that poll, in vain: nobody else had a turn.
        assert in_flight == [1]
        assert server.state == "closed"
        until(lambda: receipt.done and len(heard) == 1, other, what="both have arrived")
        assert receipt.outcome is Outcome.DELIVERED
        with pytest.raises(Closed):
            server.poll()


def test_wait_returns_when_a_handler_has_closed_its_adapter(broker: RunningBroker) -> None:
    server = ServerAdapter("a", broker=broker.address)
    server.on("end")(lambda event: server.close(0.0))
    with ServerAdapter("b", broker=broker.address) as other:
        server.connect()
        other.send("end", to="server:a", flush=True)
        assert server.wait(20.0) == 1
        assert server.state == "closed"


def test_in_a_loop_a_closing_adapter_is_waited_for_and_holds_up_nobody(broker: RunningBroker) -> None:
    loop = Loop()
    server, other = ServerAdapter("a", broker=broker.address), ServerAdapter("b", broker=broker.address)
    nested: list[int] = []

    @server.on("end")
    def end(event: Event) -> None:
        nested.append(loop.turn(60.0))
        server.send("bye", to=event.sender)
        other.close(5.0)
        server.close(5.0)

    heard: list[Event] = []
    other.on("bye")(heard.append)
    for each in (server, other):
        each.connect()
        loop.add(each)
    receipt: Any = other.send("end", to="server:a", receipt=True, flush=True)
    for _ in range(2000):
        loop.turn(0.01)
        if server.state == other.state == "closed":
            break
    assert (server.state, other.state) == ("closed", "closed")
    assert nested == [0]
    assert len(heard) == 1
    assert receipt.outcome is Outcome.DELIVERED
    loop.close()


def test_a_gateways_player_that_polls_the_gateway_nests_nothing(broker: RunningBroker) -> None:
    gateway = GatewayAdapter("g", broker=broker.address)
    polled: list[int] = []
    with gateway, ServerAdapter("a", broker=broker.address) as server:
        player = gateway.open("1")
        player.on("t")(lambda event: polled.append(gateway.poll()))
        for _ in range(50):
            server.send("t", to="player:1")
        until(lambda: len(polled) == 50, gateway, server, what="all are handled")
        assert set(polled) == {0}


def test_a_handler_cannot_wait_for_a_connection(broker: RunningBroker) -> None:
    server = ServerAdapter("a", broker=broker.address)
    raised: list[Exception] = []

    @server.on_unsettled
    def lost(unsettled: object) -> None:
        try:
            server.connect()
        except NotConnected as error:
            raised.append(error)

    server.send("t", to="server:b", mode="volatile", ttl_ms=1)
    server.start()
    until(lambda: server.state == "up" or bool(raised), server, what="it is up, or the event was late")
    server.close(0.0)
    assert all("a handler cannot wait" in str(error) for error in raised)


def test_what_would_not_run_is_refused_wherever_functions_are_given() -> None:
    server = ServerAdapter("a", broker="tcp://127.0.0.1:1")
    session = GatewayAdapter("g", broker="tcp://127.0.0.1:1").open("1")
    takers: list[Callable[[Any], object]] = [
        server.on("t"),
        session.on("t"),
        server.on("bus.alert"),
        server.on_unsettled,
        server.on_gap,
        server.on_service,
        server.on_player_joined,
        server.on_player_left,
        server.on_player_away,
        server.on_player_resumed,
        server.on_player_quality,
        lambda function: ServerAdapter("b", service="s", health=function),
    ]
    for take in takers:
        with pytest.raises(TypeError, match="does not run when it is called"):
            take(never_runs)


def test_an_event_whose_handler_returned_something_to_await_is_refused(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with ServerAdapter("a", broker=broker.address) as server:
        server.on("t")(returns_what_never_runs)
        ended: list[tuple[Outcome, Reason]] = []
        server.on_unsettled(lambda unsettled: ended.append((unsettled.outcome, unsettled.reason)))
        with caplog.at_level(logging.ERROR):
            server.send("t", to="server:a")
            until(lambda: bool(ended), server, what="the event has ended")
    assert ended == [(Outcome.REFUSED, Reason.HANDLER_ERROR)]
    assert "the handler of t returned" in caplog.text
    assert "give a plain function" in caplog.text
