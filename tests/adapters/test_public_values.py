"""Every argument of every public method, with every kind of odd value: refused in the call, or all works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum, IntEnum
from itertools import repeat
from math import inf, nan
from typing import Any, Final

import msgspec
import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import LanebusError
from lanebus.adapters.gateway import GatewayAdapter, GatewaySession
from lanebus.adapters.server import ServerAdapter
from lanebus.wire.batches import UpEvent
from lanebus.wire.bodies import encode_body
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import decode_message
from lanebus.wire.services import Health

NOBODY: Final = "tcp://127.0.0.1:9"


class World:
    """One adapter of each kind, none of them connected."""

    def __init__(self, broker: str = NOBODY) -> None:
        self.server = ServerAdapter("s", service="sv", broker=broker)
        self.plain = ServerAdapter("p", broker=broker)
        self.client = ClientAdapter("c", broker=broker)
        self.gateway = GatewayAdapter("g", broker=broker)
        self.session: GatewaySession = self.gateway.open("behind")
        self.adapters = (self.server, self.plain, self.client, self.gateway)
        for adapter in self.adapters:
            if broker != NOBODY:
                adapter.connect()

    def close(self) -> None:
        """Let go of all of them."""
        for adapter in self.adapters:
            adapter.close(0.0)


Call = Callable[[World, Any], object]


def handled(event: object) -> None:
    """Handle an event, or anything else that a program is told."""


def made(build: Callable[[], ServerAdapter | ClientAdapter | GatewayAdapter]) -> None:
    """An adapter that is built, and goes again."""
    build().close(0.0)


def looked_after(server: ServerAdapter, answer: Any) -> None:
    """A health check answers, and what it says is sent."""
    server.register("sv", health=lambda: answer)
    server.before_start()


CALLS: Final[dict[str, Call]] = {
    "send topic": lambda w, v: w.server.send(v, to="all"),
    "send payload": lambda w, v: w.server.send("t", v, to="all"),
    "send to": lambda w, v: w.server.send("t", to=v),
    "send list": lambda w, v: w.server.send("t", to=[v, "player:1"]),
    "send exclude": lambda w, v: w.server.send("t", to="all", exclude=v),
    "send excluded": lambda w, v: w.server.send("t", to="all", exclude=[v]),
    "send lane": lambda w, v: w.server.send("t", to="all", lane=v),
    "send flush": lambda w, v: w.server.send("t", to="all", flush=v),
    "send receipt": lambda w, v: w.server.send("t", to="all", receipt=v),
    "send mode": lambda w, v: w.server.send("t", to="all", mode=v),
    "send key": lambda w, v: w.server.send("t", to="all", mode="latest", key=v),
    "send ttl_ms": lambda w, v: w.server.send("t", to="all", ttl_ms=v),
    "client send to": lambda w, v: w.client.send("t", to=v),
    "session send topic": lambda w, v: w.session.send(v),
    "session send key": lambda w, v: w.session.send("t", mode="latest", key=v),
    "book": lambda w, v: w.server.book(v),
    "on pattern": lambda w, v: w.server.on(v)(handled),
    "on schema": lambda w, v: w.client.on("odd", v)(handled),
    "session on": lambda w, v: w.session.on(v)(handled),
    "join": lambda w, v: w.server.join(v),
    "join member": lambda w, v: w.server.join("room", v),
    "leave": lambda w, v: w.server.leave(v),
    "leave member": lambda w, v: w.server.leave("room", v),
    "client join": lambda w, v: w.client.join(v),
    "client leave": lambda w, v: w.client.leave(v),
    "session join": lambda w, v: w.session.join(v),
    "session leave": lambda w, v: w.session.leave(v),
    "session reading": lambda w, v: setattr(w.session, "reading", v),
    "assign player": lambda w, v: w.server.assign(v, "sv"),
    "assign service": lambda w, v: w.server.assign("1", v, "s"),
    "assign instance": lambda w, v: w.server.assign("1", "sv", v),
    "open": lambda w, v: w.gateway.open(v),
    "open rtt_ms": lambda w, v: w.gateway.open("other", rtt_ms=v),
    "register": lambda w, v: w.plain.register(v),
    "register version": lambda w, v: w.server.register("sv", version=v),
    "register priority": lambda w, v: w.server.register("sv", priority=v),
    "register weight": lambda w, v: w.server.register("sv", weight=v),
    "register tags": lambda w, v: w.server.register("sv", tags=v),
    "register tag": lambda w, v: w.server.register("sv", tags=[v]),
    "register depends_on": lambda w, v: w.server.register("sv", depends_on=v),
    "register dependency": lambda w, v: w.server.register("sv", depends_on=[v]),
    "register health": lambda w, v: w.server.register("sv", health=v),
    "register health's answer": lambda w, v: looked_after(w.server, v),
    "register health_interval_s": lambda w, v: w.server.register("sv", health=bool, health_interval_s=v),
    "register starting": lambda w, v: w.server.register("sv", starting=v),
    "watch_services": lambda w, v: w.server.watch_services(v),
    "watch_alerts": lambda w, v: w.server.watch_alerts(v),
    "client name": lambda w, v: made(lambda: ClientAdapter(v)),
    "server name": lambda w, v: made(lambda: ServerAdapter(v)),
    "gateway name": lambda w, v: made(lambda: GatewayAdapter(v)),
    "outbox_bytes": lambda w, v: made(lambda: ClientAdapter("x", outbox_bytes=v)),
    "session_outbox_bytes": lambda w, v: made(lambda: GatewayAdapter("x", session_outbox_bytes=v)),
    "strict": lambda w, v: made(lambda: ClientAdapter("x", strict=v)),
    "handler_budget_ms": lambda w, v: made(lambda: ClientAdapter("x", handler_budget_ms=v)),
    "handler_budget_ms of a lane": lambda w, v: made(
        lambda: ClientAdapter("x", handler_budget_ms={"low": v})
    ),
    "handler_budget_ms for": lambda w, v: made(lambda: ClientAdapter("x", handler_budget_ms={v: 1.0})),
    "handler_wait_s": lambda w, v: made(lambda: ClientAdapter("x", handler_wait_s=v)),
}
"""By what is given: the call that gives a value there."""


class Size(IntEnum):
    """Whole numbers by name."""

    ONE = 1


class Text(str):
    """A class of texts."""


class Rude:
    """Raises where it is looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("do not look")

    def __bool__(self) -> bool:
        raise RuntimeError("do not ask")


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
NUMBERS: Final[list[Any]] = [None, True, False, 0, -1, 1, 1.0, 1.5, nan, inf, -inf, -0.0, 1 << 64]
TEXTS: Final = ["", " ", "\0", "\n", "a\tb", "ä", "\U0001f600", "all", "bus", "**", "1", "sv"]
OTHERS: Final[list[Any]] = [b"", b"all", [], (), {}, set(), ["all"], [""], [None], {"all": 1}]
ODD: Final[dict[str, Any]] = {
    **{repr(value): value for value in (*NUMBERS, *TEXTS, *OTHERS)},
    "huge": 10**400,
    "-huge": -(10**400),
    "too many digits": 10**5000,
    "surrogate": "caf\udce9",
    "surrogate in a name": "player:caf\udce9",
    "surrogate in a payload": {"name": ["caf\udce9"]},
    "long": "x" * 200_000,
    "long name": "player:" + "x" * 65,
    "longest key": "\U0001f600" * 128,
    "very long": "x" * 3_000_000,
    "many": ["player:1"] * 10_000,
    "without end": repeat("player:1"),
    "text": Text("player:1"),
    "whole": Size.ONE,
    "decimal": Decimal("1.5"),
    "complex": 1j,
    "contains itself": ENDLESS,
    "rude": Rude(),
    "class": Rude,
    "function": handled,
}


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def requests_of(world: World) -> list[Any]:
    """All requests that wait for a broker, as it will read them."""
    found = []
    for adapter in world.adapters:
        for request in list(adapter.core.requests.again()):
            raw = encode_body(request.make(1))
            found.append(decode_message(request.kind, Lane.CRITICAL, raw))
    return found


def events_of(world: World) -> list[UpEvent]:
    """All events that wait for a broker, as it will read them."""
    found = []
    for adapter in world.adapters:
        for lane in LANES:
            for session in adapter.core.sessions.values():
                for event in session.outbox.events(lane):
                    row = (0, event.number, 0, event.topic, event.to, event.payload, event.exclude)
                    if event.terms is not None:
                        row = event.terms.row(event, 0, event.sent_at)
                    found.append(msgspec.msgpack.decode(encode_body(row), type=UpEvent))
    return found


def outcome_of(call: Call, world: World, value: Any) -> str:
    """What the call raised, of what it may raise; empty for nothing."""
    try:
        call(world, value)
    except (TypeError, ValueError, LanebusError) as error:
        return f"{type(error).__name__}: {error}"
    except RuntimeError as error:
        # An error of the program's own class passes as it is.
        return "its own" if str(error) == "do not ask" else f"not documented: {error!r}"
    return ""


@pytest.mark.parametrize("name", CALLS)
def test_what_is_refused_changes_nothing_and_what_is_taken_can_be_read_by_a_broker(name: str) -> None:
    for label, value in ODD.items():
        world = World()
        try:
            before = requests_of(world), events_of(world)
            said = outcome_of(CALLS[name], world, value)
            after = requests_of(world), events_of(world)
            assert "not documented" not in said
            if said:
                assert after == before, f"{label}: {said}"
                assert len(said.encode()) < 1000, label
        finally:
            world.close()


MAKES_AN_ADAPTER: Final = ("client name", "server name", "gateway name")


def test_after_all_of_them_every_adapter_is_up_and_others_get_their_events(broker: RunningBroker) -> None:
    """A real broker, and every value that a call takes really sent to it."""
    world = World(broker.address)
    with (
        ServerAdapter("witness", broker=broker.address) as witness,
        ClientAdapter("w", broker=broker.address) as w,
    ):
        got: list[object] = []
        w.on("t")(lambda event: got.append(event.payload))
        try:
            for name, call in CALLS.items():
                if name in MAKES_AN_ADAPTER:
                    continue
                for value in ODD.values():
                    outcome_of(call, world, value)
                for adapter in (*world.adapters, witness, w):
                    adapter.poll()
            sent = [
                adapter.send("t", adapter.name, to="player:w")
                for adapter in (world.server, world.plain, witness)
            ]
            assert len(sent) == 3
            wanted = {"server:s", "server:p", "server:witness"}
            until(
                lambda: wanted <= {each for each in got if isinstance(each, str)},
                *world.adapters,
                witness,
                w,
                what="all came",
            )
            assert [adapter.state for adapter in (*world.adapters, witness, w)] == ["up"] * 6
            assert [adapter.stats()["reconnects"] for adapter in world.adapters] == [0] * 4
        finally:
            world.close()


class Word(str, Enum):  # noqa: UP042 - what `str` makes of its members is the point
    """Members that are texts, and of which `str` makes others."""

    TOPIC = "unit.state"
    PLAYER = "player:1"
    SERVER = "server:s"
    NAME = "room"
    LANE = "critical"
    MODE = "latest"


@pytest.mark.parametrize("kind", [Word, Text])
def test_subclasses_of_texts_travel_by_their_value(world: World, kind: Callable[[str], str]) -> None:
    player, name = kind("player:1"), kind("room")
    number = world.server.send(
        kind("unit.state"),
        to=[player],
        exclude=[player],
        lane=kind("critical"),
        mode=kind("latest"),  # type: ignore[arg-type]
        key=name,
    )
    world.client.send(kind("unit.state"), to=kind("server:s"), lane=kind("critical"))
    (event, other) = events_of(world)
    assert (event.number, event.topic, event.to) == (number, "unit.state", ["player:1"])
    assert (event.exclude, event.key, other.to) == (["player:1"], "room", "server:s")
    before = requests_of(world)
    world.plain.register(name, version=name, tags=[name], depends_on=[name], health=lambda: name)
    world.plain.on(kind("unit.state"))(handled)
    world.plain.before_start()
    world.server.join(name, player)
    world.server.assign(player, name, kind("server:s"))
    world.gateway.open(player)
    said = [each for each in requests_of(world) if each not in before]
    texts = {text for each in said for text in _texts(msgspec.structs.asdict(each))}
    assert texts == {"unit.state", "player:1", "server:s", "room", "degraded"}
    for adapter in world.adapters:
        for request in adapter.core.requests.again():
            assert {type(text) for text in _texts(msgspec.structs.asdict(request.make(1)))} <= {str, Health}
    for made in (ServerAdapter(name), ClientAdapter(player)):
        assert made.name in ("server:room", "player:1")
        assert type(made.name) is str
        made.close(0.0)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
