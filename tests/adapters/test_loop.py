"""Many adapters in one thread: nobody waits for ever, whatever has woken the others."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from tests.adapters.real import RunningBroker

from lanebus.adapters import loop
from lanebus.adapters.base import Adapter
from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.event import Event
from lanebus.adapters.gateway import GatewayAdapter
from lanebus.adapters.loop import Loop
from lanebus.adapters.server import ServerAdapter

DEADLINE_S = 20.0
SOON_S = 1.0
"""Less than the interval of pings, which would cover up a wake-up that is missing."""


AdapterT = TypeVar("AdapterT", bound=Adapter)


class Crew:
    """A loop with its adapters."""

    def __init__(self, broker: str) -> None:
        self.loop = Loop()
        self.broker = broker
        self.adapters: list[Adapter] = []

    def server(self, name: str, *, service: str | None = None, strict: bool = False) -> ServerAdapter:
        return self._add(ServerAdapter(name, service=service, broker=self.broker, strict=strict))

    def client(self, name: str) -> ClientAdapter:
        return self._add(ClientAdapter(name, broker=self.broker))

    def gateway(self, name: str) -> GatewayAdapter:
        return self._add(GatewayAdapter(name, broker=self.broker))

    def _add(self, adapter: AdapterT) -> AdapterT:
        adapter.start()
        self.loop.add(adapter)
        self.adapters.append(adapter)
        return adapter

    def up(self) -> None:
        self.until(
            lambda: all(each.state == "up" and not each.requests_pending for each in self.adapters),
            "all are up",
        )

    def until(self, reached: Callable[[], bool], what: str, seconds: float = DEADLINE_S) -> float:
        """Turn until a state is reached; how long it took."""
        began = time.monotonic()
        while not reached():
            assert time.monotonic() - began < seconds, f"not reached within {seconds:g} s: {what}"
            self.loop.turn(seconds)
        return time.monotonic() - began

    def close(self) -> None:
        for adapter in self.adapters:
            adapter.close(0.0)
        self.loop.close()


@pytest.fixture
def crew(broker: RunningBroker) -> Iterator[Crew]:
    made = Crew(broker.address)
    yield made
    made.close()


def test_a_loop_connects_its_adapters_and_carries_their_events(crew: Crew) -> None:
    server = crew.server("a", service="game")
    got: list[tuple[str, int]] = []

    @server.on("move")
    def answer(event: Event) -> None:
        server.send("moved", event.payload, to=event.sender)

    clients = [crew.client(str(number)) for number in range(10)]
    for client in clients:
        client.on("moved")(lambda event: got.append((event.receiver, event.payload)))
    crew.up()
    for number, client in enumerate(clients):
        client.send("move", number)
    crew.until(lambda: len(got) == 10, "all have their answers")
    assert sorted(got) == [(f"player:{number}", number) for number in range(10)]


def test_timers_that_are_overtaken_do_not_pile_up(crew: Crew) -> None:
    left, right = crew.server("left"), crew.server("right")
    got: list[int] = []
    right.on("t")(lambda event: got.append(event.payload))
    crew.up()
    for number in range(1500):
        left.send("t", number, to="server:right", lane="critical", flush=True)
        crew.loop.turn(0.0)
    crew.until(lambda: len(got) == 1500, "all have come")
    assert len(crew.loop._timers) <= loop._STALE_TIMERS + 2 * len(crew.adapters)


def test_ping_pong_never_stalls_though_every_send_takes_notice_of_the_socket(crew: Crew) -> None:
    left, right = crew.server("left"), crew.server("right")
    rounds = 300

    def answer(adapter: ServerAdapter, to: str) -> Callable[[Event], None]:
        def handle(event: Event) -> None:
            if event.payload < rounds:
                adapter.send("ball", event.payload + 1, to=to, lane="critical", flush=True)

        return handle

    left.on("ball")(answer(left, "server:right"))
    last: list[int] = []
    right.on("ball")(answer(right, "server:left"))
    right.on("ball")(lambda event: last.append(event.payload))
    left.on("ball")(lambda event: last.append(event.payload))
    crew.up()
    left.send("ball", 0, to="server:right", lane="critical", flush=True)
    # A round takes an interval of the critical lane at most; one that is stalled waits for a ping, two seconds.
    took_s = crew.until(lambda: last[-1:] == [rounds], "the last round is over", seconds=60.0)
    assert last == list(range(rounds + 1))
    assert took_s < rounds * 0.04


def test_many_senders_to_one_receiver_are_all_read_whatever_their_sends_have_noticed(crew: Crew) -> None:
    receiver = crew.server("receiver")
    got: list[int] = []
    receiver.on("t")(lambda event: got.append(event.payload))
    senders = [crew.server(f"s{number}") for number in range(8)]
    for sender in senders:
        sender.on("echo")(lambda event: got.append(event.payload))
    crew.up()
    for number in range(50):
        for sender in senders:
            sender.send("t", number, to="server:receiver", flush=True)
            receiver.send("echo", number, to=sender.name, flush=True)
        crew.loop.turn(0.0)
    crew.until(lambda: len(got) == 2 * 8 * 50, "everything has arrived")
    crew.until(lambda: not any(each.in_flight for each in crew.adapters), "everything is settled")


def test_a_send_from_outside_a_turn_wakes_its_adapter(crew: Crew) -> None:
    sender, receiver = crew.server("a"), crew.server("b")
    got: list[int] = []
    receiver.on("t")(lambda event: got.append(event.payload))
    crew.up()
    for number in range(5):
        sender.send("t", number, to="server:b")
        crew.until(lambda: got[-1:] == [number], "it has arrived", seconds=SOON_S)  # noqa: B023 - called at once


def test_a_handler_that_sends_through_another_adapter_wakes_that_one(crew: Crew) -> None:
    one, two, receiver = crew.server("one"), crew.server("two"), crew.server("receiver")
    got: list[int] = []
    one.on("t")(lambda event: two.send("t", event.payload, to="server:receiver"))
    receiver.on("t")(lambda event: got.append(event.payload))
    crew.up()
    two.send("t", 7, to="server:one")
    crew.until(lambda: got == [7], "it has come by the other one", seconds=SOON_S)


def test_a_handler_added_later_gets_what_waited_at_once(crew: Crew) -> None:
    sender, client = crew.server("a"), crew.client("1")
    crew.up()
    sender.send("later", 7, to="player:1")
    crew.until(lambda: bool(client._session.unhandled), "the event waits for a handler")
    got: list[int] = []
    client.on("later")(lambda event: got.append(event.payload))
    crew.until(lambda: got == [7], "it has its handler", seconds=SOON_S)


def test_a_session_that_reads_again_gets_what_waited_at_once(crew: Crew) -> None:
    server, gateway = crew.server("a"), crew.gateway("g")
    player = gateway.open("1")
    got: list[int] = []
    player.on("t")(lambda event: got.append(event.payload))
    crew.up()
    player.reading = False
    server.send("t", 7, to="player:1")
    crew.until(lambda: bool(player._session.unread), "the event waits to be read")
    player.reading = True
    crew.until(lambda: got == [7], "it is read", seconds=SOON_S)


def test_one_adapter_with_much_to_do_does_not_keep_the_others_waiting(crew: Crew) -> None:
    sender, busy, quick = crew.server("a"), crew.server("busy"), crew.server("quick")
    handled: list[str] = []

    @busy.on("t")
    def slow(event: Event) -> None:
        handled.append("busy")
        time.sleep(0.001)

    quick.on("t")(lambda event: handled.append("quick"))
    crew.up()
    for _ in range(200):
        sender.send("t", to="server:busy")
    crew.until(lambda: "busy" in handled, "the busy one has begun")
    sender.send("t", to="server:quick", flush=True)
    crew.until(lambda: "quick" in handled, "the quick one has its turn")
    assert handled.count("busy") < 200
    crew.until(lambda: handled.count("busy") == 200, "the busy one is done")


def test_what_a_strict_handler_raises_costs_nobody_else_a_turn(crew: Crew) -> None:
    sender, strict, other = crew.server("a"), crew.server("strict", strict=True), crew.server("other")
    got: list[int] = []

    @strict.on("t")
    def fail(event: Event) -> None:
        raise KeyError("a program's mistake")

    other.on("t")(lambda event: got.append(event.payload))
    crew.up()
    sender.send("t", to="server:strict", flush=True)
    with pytest.raises(KeyError, match="a program's mistake"):
        crew.until(lambda: False, "the handler raises")
    sender.send("t", 7, to="server:other")
    crew.until(lambda: got == [7], "the other one is served", seconds=SOON_S)
    crew.until(lambda: not sender.in_flight, "all is settled")


def test_a_removed_adapter_is_left_alone_and_can_be_polled(crew: Crew) -> None:
    sender, receiver = crew.server("a"), crew.server("b")
    got: list[int] = []
    receiver.on("t")(lambda event: got.append(event.payload))
    crew.up()
    crew.loop.remove(receiver)
    sender.send("t", 7, to="server:b", flush=True)
    crew.loop.turn(0.05)
    assert got == []
    deadline = time.monotonic() + DEADLINE_S
    while not got:
        assert time.monotonic() < deadline
        receiver.poll()
        crew.loop.turn(0.001)
    crew.loop.add(receiver)
    crew.until(lambda: not sender.in_flight, "it is settled")


def test_an_adapter_that_closes_itself_in_a_handler_ends_only_itself(crew: Crew) -> None:
    sender, leaving, staying = crew.server("a"), crew.server("leaving"), crew.server("staying")
    got: list[int] = []
    leaving.on("t")(lambda event: leaving.close(0.0))
    staying.on("t")(lambda event: got.append(event.payload))
    crew.up()
    sender.send("t", to="server:leaving")
    crew.until(lambda: leaving.state == "closed", "it has closed itself")
    sender.send("t", 7, to="server:staying")
    crew.until(lambda: got == [7], "the other one is served", seconds=SOON_S)
    assert leaving.open_sockets() == []


def test_a_loop_without_anything_to_do_waits_as_long_as_it_may(crew: Crew) -> None:
    began = time.monotonic()
    assert crew.loop.turn(0.05) == 0
    assert 0.045 <= time.monotonic() - began < 1.0


def test_a_broker_that_comes_back_finds_all_adapters_of_a_loop(broker: RunningBroker, crew: Crew) -> None:
    adapters = [crew.server(f"s{number}") for number in range(10)]
    got: list[str] = []
    for adapter in adapters:
        adapter.on("t")(lambda event: got.append(event.receiver))
    crew.up()
    broker.stop()
    crew.until(lambda: all(each.state == "down" for each in adapters), "all know", seconds=SOON_S)
    broker.come_back()
    crew.up()
    adapters[0].send("t", to=[adapter.name for adapter in adapters])
    crew.until(lambda: len(got) == 10, "all have it")
    assert sorted(got) == sorted(adapter.name for adapter in adapters)


# Closing


def test_an_adapter_closes_with_the_help_of_the_others_in_its_loop(crew: Crew) -> None:
    sender, receiver = crew.server("sender"), crew.server("receiver")
    got: list[int] = []
    receiver.on("t")(lambda event: got.append(event.payload))
    crew.up()
    for number in range(20):
        sender.send("t", number, to="server:receiver", lane="low")
    assert sender.close() == 0
    assert got == list(range(20))
    assert receiver.state == "up"


def test_all_are_closed_together_and_none_before_the_others_are_settled(crew: Crew) -> None:
    game = crew.server("game", service="game")
    game.on("ask")(lambda event: game.send("answer", to=event.sender, lane="low"))
    clients = [crew.client(str(number)) for number in range(20)]
    gateway = crew.gateway("gw")
    crew.up()
    player = gateway.open("behind")
    answered: list[str] = []
    for each in (*clients, player):
        each.on("answer")(lambda event: answered.append(event.receiver))
        each.send("ask", lane="low")
    assert crew.loop.close_all() == 0
    assert sorted(answered) == sorted([*(client.name for client in clients), "player:behind"])
    assert {each.state for each in crew.adapters} == {"closed"}
    assert game.book("low").as_dict()["delivered"] == 21


def test_what_is_not_settled_in_time_is_counted_over_all(crew: Crew) -> None:
    sender, silent = crew.server("sender"), crew.gateway("gw")
    crew.up()
    player = silent.open("1")
    crew.up()
    player.reading = False
    reasons: list[str] = []
    sender.on_unsettled(lambda end: reasons.append(str(end.reason)))
    for _ in range(3):
        sender.send("t", to="player:1")
    player.on_unsettled(lambda end: reasons.append(str(end.reason)))
    player.send("t", to="server:sender")
    assert crew.loop.close_all(0.3) == 4
    assert reasons == ["closed"] * 4


def test_adapters_that_never_connected_are_closed_at_once() -> None:
    loop = Loop()
    adapter = ServerAdapter("a", broker="tcp://127.0.0.1:9")
    loop.add(adapter)
    began = time.monotonic()
    adapter.send("t", to="server:b")
    assert loop.close_all(DEADLINE_S) == 1
    assert time.monotonic() - began < DEADLINE_S / 2
    loop.close()
