"""Names of hosts: nobody waits for a name server but who needs the name, and that one not for ever."""

import os
import select
import socket as plain
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.adapters.listening import Hand
from tests.adapters.real import RunningBroker, until

from lanebus.adapters import names
from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.loop import Loop
from lanebus.adapters.names import MAX_NAMES, MAX_THREADS, Lookup, Resolver, is_number, resolver
from lanebus.adapters.server import ServerAdapter

DEADLINE_S = 20.0


class NameServer:
    """Stands in for what the machine's own name servers say; of a name without an answer they say nothing."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.goes_on = threading.Event()

    def ask(self, host: str, port: object, **options: object) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host not in self.answers:
            assert self.goes_on.wait(60.0)
        found = self.answers.get(host)
        if not found:
            raise plain.gaierror(plain.EAI_NONAME, "Name or service not known")
        return [(0, 0, 6, "", (each, 0)) for each in found]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    made = NameServer()
    monkeypatch.setattr("lanebus.adapters.names.socket.getaddrinfo", made.ask)
    names._resolver_of.cache_clear()
    yield made
    made.goes_on.set()
    names._resolver_of.cache_clear()


def wait_for(lookup: Lookup) -> None:
    assert select.select([lookup], [], [], DEADLINE_S)[0], "there is no answer"
    assert lookup.is_done


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_an_answer_makes_the_descriptor_readable_and_is_remembered_for_a_while(server: NameServer) -> None:
    server.answers["bus"] = ["127.0.0.1", "::1", "127.0.0.1"]
    asking = Resolver()
    now = time.monotonic()
    lookup = asking.look_up("bus", now)
    wait_for(lookup)
    assert (lookup.addresses, lookup.error) == (["127.0.0.1", "::1"], "")
    again = asking.look_up("bus", now)
    assert again.addresses == lookup.addresses
    assert server.asked == ["bus"]
    later = asking.look_up("bus", now + 60.0)
    wait_for(later)
    assert server.asked == ["bus", "bus"]
    for each in (lookup, again, later):
        asking.forget(each)


def test_a_name_without_an_address_is_an_error_that_names_it(server: NameServer) -> None:
    server.answers["nobody"] = []
    asking = Resolver()
    lookup = asking.look_up("nobody", time.monotonic())
    wait_for(lookup)
    assert lookup.error == "the name 'nobody' leads nowhere: Name or service not known"
    asking.forget(lookup)


def test_names_that_are_not_answered_hold_up_neither_threads_without_limit_nor_other_names(
    server: NameServer,
) -> None:
    asking = Resolver()
    server.answers["bus"] = ["127.0.0.1"]
    now = time.monotonic()
    before = set(threading.enumerate())
    hung = [asking.look_up(f"hung-{number % MAX_NAMES}", now) for number in range(2 * MAX_NAMES)]
    assert len(set(threading.enumerate()) - before) == MAX_THREADS
    full = asking.look_up("bus", now)
    assert "other names are asked for" in full.error
    for each in hung:
        asking.forget(each)
    assert not any(asking._waiting.values()), "who has gone is not kept"
    server.goes_on.set()
    deadline = time.monotonic() + DEADLINE_S
    while asking._waiting:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    found = asking.look_up("bus", time.monotonic())
    wait_for(found)
    assert found.addresses == ["127.0.0.1"]
    for each in (full, found):
        asking.forget(each)


def test_one_hung_name_does_not_hold_up_another(server: NameServer) -> None:
    asking = Resolver()
    server.answers["bus"] = ["127.0.0.1"]
    hung = [asking.look_up(f"hung-{number}", time.monotonic()) for number in range(MAX_THREADS - 1)]
    found = asking.look_up("bus", time.monotonic())
    wait_for(found)
    for each in (*hung, found):
        asking.forget(each)


def test_an_answer_that_nobody_waits_for_any_more_writes_into_nothing(server: NameServer) -> None:
    asking = Resolver()
    lookup = asking.look_up("late", time.monotonic())
    descriptor = lookup.fileno()
    asking.forget(lookup)
    other = os.eventfd(0, os.EFD_NONBLOCK)
    assert other == descriptor, "the number is used again"
    lookup.answer(["127.0.0.1"], "")
    assert not select.select([other], [], [], 0)[0]
    os.close(other)


@pytest.mark.parametrize(
    ("host", "number"),
    [("127.0.0.1", True), ("::1", True), ("fe80::1%eth0", True), ("bus", False), ("1", False)],
)
def test_numbers_are_not_asked_for(host: str, number: bool) -> None:
    assert is_number(host) is number


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_resolver_of_its_own() -> None:
    mine = resolver()
    child = os.fork()
    if not child:
        os._exit(0 if resolver() is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# With adapters


def test_a_name_server_that_does_not_answer_holds_up_no_call_no_other_adapter_and_no_other_broker(
    broker: RunningBroker, server: NameServer
) -> None:
    with (
        ServerAdapter("a", broker=broker.address) as one,
        ServerAdapter("b", broker=broker.address) as other,
    ):
        waiting = ClientAdapter("1", broker="tcp://hung.example:5570")
        waiting.start()
        waiting.poll()
        got: list[int] = []
        other.on("t")(lambda event: got.append(event.payload))
        for number in range(20):
            one.send("t", number, to="server:b")
            until(lambda: len(got) == number + 1, one, other, waiting, what="it has come")  # noqa: B023
        assert (one.state, other.state, one.core.connects, other.core.connects) == ("up", "up", 1, 1)
        with ClientAdapter("2", broker=["tcp://hung.example:5570", broker.address]) as second:
            assert second.state == "up"
            assert not server.goes_on.is_set()
        until(lambda: bool(waiting.state_reason), waiting, what="it has waited long enough")
        assert "the name 'hung.example' has no address after" in waiting.state_reason
        assert server.asked == ["hung.example"], "it is asked for once"
        waiting.close(0.0)
        assert waiting.links.waited_for() == []


def test_every_address_of_a_name_is_tried_in_one_attempt(broker: RunningBroker, server: NameServer) -> None:
    server.answers["bus.example"] = ["127.0.0.3", "127.0.0.2", "127.0.0.1"]
    with ServerAdapter("a", broker=f"tcp://bus.example:{port_of(broker.address)}") as one:
        assert one.retry.attempts == 0
        one.on("t")(lambda event: None)
        one.send("t", to="server:a", lane="low")
        until(lambda: not one.in_flight, one, what="all its lanes are at the address that answered")
        server.answers["bus.example"] = ["127.0.0.3", "127.0.0.1"]
        broker.stop()
        until(lambda: one.state == "down", one, what="the broker is gone")
        broker.come_back()
        until(lambda: one.state == "up", one, what="the broker is back")


def test_an_address_that_is_silent_is_followed_by_the_next_one(
    broker: RunningBroker, server: NameServer
) -> None:
    port = port_of(broker.address)
    with plain.create_server(("127.0.0.2", port), backlog=16):
        server.answers["bus.example"] = ["127.0.0.2", "127.0.0.1"]
        with ServerAdapter("a", broker=f"tcp://bus.example:{port}") as one:
            assert one.state == "up"


def test_a_name_without_an_address_is_told_as_the_reason(server: NameServer) -> None:
    server.answers["nobody"] = []
    adapter = ClientAdapter("1", broker="tcp://nobody:5570")
    adapter.start()
    until(lambda: bool(adapter.state_reason), adapter, what="the answer")
    assert "tcp://nobody:5570: the name 'nobody' leads nowhere" in adapter.state_reason
    adapter.close(0.0)


def test_a_loop_wakes_for_a_name(broker: RunningBroker, server: NameServer) -> None:
    server.answers["bus.example"] = ["127.0.0.1"]
    loop = Loop()
    adapters = [
        ClientAdapter(str(n), broker=f"tcp://bus.example:{port_of(broker.address)}") for n in range(3)
    ]
    adapters[0].start()
    for each in adapters:
        loop.add(each)
        each.start()
    deadline = time.monotonic() + DEADLINE_S
    while not all(each.state == "up" for each in adapters):
        assert time.monotonic() < deadline
        loop.turn(1.0)
    assert all(each.retry.attempts == 0 for each in adapters)
    loop.close_all()
    loop.close()


def test_the_name_that_a_broker_advertises_is_looked_up_as_any_other(server: NameServer) -> None:
    server.answers["inside.example"] = ["127.0.0.1"]
    hand = Hand()
    adapter = ServerAdapter("a", broker=hand.address)
    hand.welcome(adapter, host="inside.example")
    assert server.asked == ["inside.example"]
    adapter.close(0.0)
    hand.close()


def six() -> bool:
    try:
        with plain.create_server(("::1", 0), family=plain.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not six(), reason="the loopback has no IPv6 address")
def test_a_broker_that_is_there_over_ipv6_alone_is_found_by_its_name(server: NameServer) -> None:
    server.answers["bus.example"] = ["127.0.0.1", "::1"]
    hand = Hand("[::1]")
    adapter = ServerAdapter("a", broker=f"tcp://bus.example:{hand.ports[0]}")
    hand.welcome(adapter)
    assert adapter.state == "up"
    adapter.close(0.0)
    hand.close()


def test_a_process_ends_while_a_name_is_asked_for() -> None:
    program = (
        "import socket, time, lanebus\n"
        "socket.getaddrinfo = lambda *_, **__: time.sleep(1000)\n"
        "a = lanebus.ClientAdapter('1', broker='tcp://hung.example:5570')\n"
        "a.send('t', 1)\n"
        "a.start(); a.wait(0.1)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
