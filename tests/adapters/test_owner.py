"""Whose an adapter is: one thread's of one process."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.adapters.real import RunningBroker

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import LanebusError, WrongProcess, WrongThread
from lanebus.adapters.gateway import GatewayAdapter, GatewaySession
from lanebus.adapters.loop import Loop
from lanebus.adapters.owner import Owner
from lanebus.adapters.server import ServerAdapter

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "assign": ("1", "game", "a"),
    "join": ("room",),
    "leave": ("room",),
    "on": ("t",),
    "open": ("2",),
    "register": ("game",),
    "send": ("t",),
    "turn": (0.0,),
}
READS = {"book", "stats", "handler_stats", "open_sockets"}
"""What anybody may call."""
DRIVERS = {
    *(
        "before_start",
        "check_undirected",
        "handlers_changed",
        "in_turn",
        "look",
        "tell_news",
        "touch",
        "turn",
    ),
    *("opened", "closing", "touched", "observe", "close_within"),
}
"""What adapters, sessions and loops call of each other, in turns that have been checked."""


def calls_of(thing: Any) -> dict[str, Callable[[], Any]]:
    """Every public method that does something, as a call."""
    calls: dict[str, Callable[[], Any]] = {}
    for name in dir(type(thing)):
        method = getattr(type(thing), name)
        if name.startswith("_") or not callable(method) or name in READS:
            continue
        if name in DRIVERS and not (isinstance(thing, Loop) and name == "turn"):
            continue
        arguments = ARGUMENTS.get(name, ())
        if name.startswith("on") or (isinstance(thing, Loop) and name in ("add", "remove")):
            arguments = arguments or (ClientAdapter("other") if isinstance(thing, Loop) else print,)
        if name == "on":
            calls[name] = partial(_register, thing)
        elif name == "send":
            calls[name] = partial(method, thing, "t", to="server:a")
        else:
            calls[name] = partial(method, thing, *arguments)
    if isinstance(thing, GatewaySession):
        calls["reading"] = lambda: setattr(thing, "reading", True)
    return calls


def _register(thing: Any) -> None:
    thing.on("t")(print)


def said_elsewhere(call: Callable[[], Any]) -> BaseException | None:
    """What a call raises in another thread."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
            raised.append(None)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="another")
    thread.start()
    thread.join(30.0)
    assert raised, "the call hangs"
    return raised[0]


def said_in_a_child(call: Callable[[], Any]) -> str:
    """The kind of what a call raises in a child of a fork; the processor time that it takes is in the child's limit."""
    child = os.fork()
    if not child:
        try:
            call()
            os._exit(10)
        except WrongProcess:
            os._exit(11)
        except BaseException:
            os._exit(12)
    deadline = time.monotonic() + 30.0
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return "it hangs"
        time.sleep(0.005)
    code = os.waitstatus_to_exitcode(done[1])
    return {10: "nothing", 11: "WrongProcess"}.get(code, f"something else ({code})")


@pytest.fixture
def things(broker: RunningBroker) -> Any:
    """One of each, in use."""
    server = ServerAdapter("a", broker=broker.address)
    client = ClientAdapter("1", broker=broker.address)
    gateway = GatewayAdapter("g", broker=broker.address)
    loop = Loop()
    for adapter in (server, client, gateway):
        adapter.connect()
        loop.add(adapter)
    session = gateway.open("3")
    loop.turn(0.0)
    yield [server, client, gateway, session, loop]
    loop.close_all(0.0)
    loop.close()


def test_every_call_of_another_thread_is_refused_and_changes_nothing(things: list[Any]) -> None:
    wrong = {}
    for thing in things:
        before = _state(thing)
        for name, call in calls_of(thing).items():
            error = said_elsewhere(call)
            if not isinstance(error, WrongThread):
                wrong[type(thing).__name__, name] = error
        assert _state(thing) == before
    assert wrong == {}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_every_call_in_a_child_of_a_fork_is_refused_at_once(things: list[Any]) -> None:
    wrong = {}
    for thing in things:
        for name, call in calls_of(thing).items():
            said = said_in_a_child(call)
            if said != "WrongProcess":
                wrong[type(thing).__name__, name] = said
    assert wrong == {}
    server, client, _, _, loop = things
    # The parent's links are as they were.
    got: list[int] = []
    server.on("t")(lambda event: got.append(event.payload))
    client.send("t", 1, to="server:a", flush=True)
    deadline = time.monotonic() + 20.0
    while not got:
        assert time.monotonic() < deadline
        loop.turn(0.05)
    assert {each.core.connects for each in things[:3]} == {1}


def _state(thing: Any) -> Any:
    if isinstance(thing, Loop):
        return list(thing._adapters)
    return thing.in_flight, thing._adapter.requests_pending, thing._adapter.state


def test_what_is_to_be_done_about_it_is_said(broker: RunningBroker) -> None:
    with ServerAdapter("a", broker=broker.address) as server:
        error = said_elsewhere(server.poll)
        assert isinstance(error, LanebusError)
        assert str(error) == (
            "server:a belongs to the thread 'MainThread', and was called by 'another': hand what is to be sent to its "
            "thread (queue.Queue), or give each thread an adapter of its own"
        )


def test_the_thread_that_starts_an_adapter_has_it_whoever_made_it(broker: RunningBroker) -> None:
    server = ServerAdapter("a", broker=broker.address)
    server.on("t")(print)
    server.send("t", to="server:a")

    def use() -> None:
        server.connect()
        server.wait(0.01)

    assert said_elsewhere(use) is None
    with pytest.raises(WrongThread, match="belongs to the thread 'another'"):
        server.poll()
    server.owner.thread = threading.get_ident()
    server.close(0.0)
    assert said_elsewhere(server.close) is None, "what is closed may be closed by anybody"


def test_an_owner_passes_and_nobody_is_anybody() -> None:
    owner = Owner("it")
    assert said_elsewhere(owner.check) is None
    owner.claim()
    owner.claim()
    owner.check()
    assert isinstance(said_elsewhere(owner.claim), WrongThread)
    owner.forked()
    with pytest.raises(WrongProcess, match="it was made before this process was forked"):
        owner.claim()


END = """
import os, sys, threading, lanebus
how, address = sys.argv[1:]
adapter = lanebus.ServerAdapter("end-" + how, broker=address)

def use(wait_s):
    adapter.connect()
    for number in range(100):
        adapter.send("t", number, to="server:nobody", lane="low")
    adapter.wait(wait_s)

if how == "unclosed":
    use(0.01)
elif how == "thread":
    ready = threading.Event()
    threading.Thread(target=lambda: (use(0.01), ready.set(), adapter.wait(1000.0)), daemon=True).start()
    ready.wait(30)
elif how == "child":
    use(0.01)
    if os.fork():
        os.wait()
elif how == "child-raises":
    use(0.01)
    if not os.fork():
        with adapter:
            pass
    os.wait()
elif how == "nobody":
    adapter.start()
    adapter.send("t", 1, to="all")
    adapter.wait(0.2)
elif how == "in-handler":
    adapter.on("t")(lambda event: sys.exit(7))
    adapter.connect()
    adapter.send("t", 1, to="server:end-in-handler")
    adapter.wait(20.0)
"""


@pytest.mark.parametrize(
    ("how", "status"),
    [("unclosed", 0), ("thread", 0), ("child", 0), ("child-raises", 0), ("nobody", 0), ("in-handler", 7)],
)
def test_a_process_ends_whatever_its_adapters_are_about(broker: RunningBroker, how: str, status: int) -> None:
    address = "tcp://127.0.0.1:1" if how == "nobody" else broker.address
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", END, how, address], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == status, done.stderr
    assert ("WrongProcess" in done.stderr) == (how == "child-raises")
