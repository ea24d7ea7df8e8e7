"""The end of an adapter: flushed, settled as far as there is time, counted, and said goodbye."""

import subprocess
import sys
import threading
import time

import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.errors import Closed
from lanebus.adapters.event import Event, Receipt
from lanebus.adapters.loop import Loop
from lanebus.adapters.server import ServerAdapter
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Reason


def test_a_close_that_cannot_wait_longer_books_the_rest_as_unknown(
    pair: tuple[ServerAdapter, ServerAdapter],
) -> None:
    one, _ = pair
    receipt = one.send("t", to="server:b", receipt=True)
    ends: list[Reason] = []
    one.on_unsettled(lambda each: ends.append(each.reason))
    assert one.close(timeout_s=0.1) == 1
    assert ends == [Reason.CLOSED]
    assert isinstance(receipt, Receipt)
    assert receipt.state == "unknown"
    assert one.close() == 0


def test_a_close_handles_what_has_arrived_and_waits_for_the_answers_to_it(broker: RunningBroker) -> None:
    with ServerAdapter("b", broker=broker.address) as other:
        one = ServerAdapter("a", broker=broker.address)
        got: list[int] = []
        other.on("answer")(lambda event: got.append(event.payload))
        one.on("t")(lambda event: one.send("answer", event.payload, to=event.sender))
        one.connect()
        other.send("t", 7, to="server:a", flush=True)

        def arrived() -> bool:
            one.links.read()
            return any(one.core.incoming.arrivals)

        until(arrived, what="it has arrived")
        # In a loop, so that who is to handle the answer has its turns.
        loop = Loop()
        for adapter in (one, other):
            loop.add(adapter)
        assert one.close() == 0
        assert got == [7]
        assert one.book("normal").as_dict()["delivered"] == 1
        loop.remove(other)
        loop.close()


def test_a_close_while_the_broker_is_away_waits_for_it_to_come_back(broker: RunningBroker) -> None:
    one = ServerAdapter("a", broker=broker.address)
    one.on("t")(lambda event: None)
    one.connect()
    broker.stop()
    until(lambda: one.state == "down", one, what="the loss")
    one.send("t", to="server:a")
    assert one.close(timeout_s=0.2) == 1
    broker.come_back()
    two = ServerAdapter("b", broker=broker.address)
    two.on("t")(lambda event: None)
    two.connect()
    broker.stop()
    two.send("t", to="server:b")
    broker.come_back()
    assert two.close(timeout_s=20.0) == 0
    assert two.book("normal").as_dict()["delivered"] == 1


def test_a_process_that_ends_right_after_close_does_not_lose_its_goodbye(broker: RunningBroker) -> None:
    program = (
        "import lanebus, sys; a = lanebus.ServerAdapter('brief', broker=sys.argv[1]); a.connect(); "
        "a.send('t', to='server:nobody'); a.close()"
    )
    for _ in range(5):
        subprocess.run([sys.executable, "-c", program, broker.address], check=True, timeout=30)
        until(
            lambda: "server:brief" not in broker.broker.core.registry.attachments,
            what="its session has ended",
        )
        totals = broker.broker.core.registry.totals
        assert totals.unreported_sessions == 0


def test_a_process_that_never_closes_its_adapter_ends_all_the_same(broker: RunningBroker) -> None:
    program = "import lanebus, sys; a = lanebus.ServerAdapter('left', broker=sys.argv[1]); a.connect()"
    subprocess.run([sys.executable, "-c", program, broker.address], check=True, timeout=30)


def test_a_close_in_which_a_strict_handler_raises_closes_all_the_same(broker: RunningBroker) -> None:
    adapter = ServerAdapter("a", broker=broker.address, strict=True)
    adapter.connect()

    @adapter.on("t")
    def fail(event: Event) -> None:
        raise KeyError("a program's mistake")

    adapter.send("t", to="server:a")
    with pytest.raises(KeyError, match="a program's mistake"):
        adapter.close()
    assert adapter.state == "closed"
    assert adapter.open_sockets() == []


def test_a_close_while_the_broker_drains_waits_for_the_next_one(broker: RunningBroker) -> None:
    one = ServerAdapter("a", broker=broker.address)
    one.on("t")(lambda event: None)
    one.connect()

    def restart() -> None:
        broker.stop()
        broker.come_back()

    restarting = threading.Thread(target=restart)
    restarting.start()
    until(lambda: one.core.draining or one.state != "up", one, what="the drain")
    one.send("t", to="server:a", lane="low")
    assert one.close(timeout_s=20.0) == 0
    restarting.join()
    assert one.book("low").as_dict()["delivered"] == 1


def test_the_goodbye_of_a_broker_that_ends_is_read_with_the_last_settlements(broker: RunningBroker) -> None:
    with ServerAdapter("a", broker=broker.address) as one:
        one.on("t")(lambda event: None)
        stopping = threading.Thread(target=broker.stop)
        for _ in range(10):
            one.send("t", to="server:a", lane="low", flush=True)
        until(lambda: len(broker.broker.core.registry.attachments) == 1, one, what="the broker has it")
        stopping.start()
        until(lambda: one.state == "down", one, what="the goodbye")
        stopping.join()
        # What the broker had accepted is settled with it, and not by the next one.
        accepted = sum(s.sending[Lane.LOW].book.accepted for s in broker.broker.core.registry.sessions())
        assert one.book("low").as_dict()["delivered"] == accepted
        broker.come_back()


def test_a_wait_in_which_the_adapter_is_closed_ends_at_once(broker: RunningBroker) -> None:
    adapter = ServerAdapter("a", broker=broker.address)
    adapter.connect()
    adapter.on("t")(lambda event: adapter.close(0.0))
    adapter.send("t", to="server:a")
    began = time.monotonic()
    assert adapter.wait(60.0) == 1
    with pytest.raises(Closed, match="server:a is closed"):
        adapter.wait(60.0)
    assert time.monotonic() - began < 30.0
