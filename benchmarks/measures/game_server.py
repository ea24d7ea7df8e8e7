"""A game server of 100 players at 30 ticks a second: what its adapter takes of a core."""

from __future__ import annotations

import itertools
import time
from typing import Any, Final

from benchmarks.lab.processes import Child, Words, cpu_s
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import spread
from benchmarks.rivals.base import Address
from benchmarks.rivals.ours import Lanebus
from lanebus import Event, GatewayAdapter, Loop, ServerAdapter

PLAYERS: Final = 100
ROOMS: Final = 12
TICKS_PER_S: Final = 30.0
SENDS_PER_TICK: Final = 20
"""To rooms: 600 a second, 50 for each room of eight, as in the recorded matches."""
UP_PER_S: Final = 3.6
"""Events of each player."""


def run(setup: Setup) -> dict[str, Any]:
    """The server's process does nothing but call its adapter, so its time is the adapter's."""
    bus = Lanebus()
    runs = []
    for number in range(setup.rounds):
        with bus.server() as address:
            runs.append(_once(setup, address))
        setup.say(f"round {number + 1}: the adapter takes {runs[-1]['share']:.2%} of a core")
        setup.pause()
    return {
        "players": PLAYERS,
        "ticks_per_s": TICKS_PER_S,
        "sends_per_s": SENDS_PER_TICK * TICKS_PER_S,
        "share": spread([each["share"] for each in runs]),
        "receiving_share": spread([each["receiving_share"] for each in runs]),
        "received_per_s": spread([each["received_per_s"] for each in runs]),
        "broker_share": spread([each["broker_share"] for each in runs]),
    }


def _once(setup: Setup, address: Address) -> dict[str, float]:
    data = setup.events.data
    with (
        Child("the players", _players, address, data) as players,
        Child("the server", _serve, address, data, setup.run_s) as server,
    ):
        players.hear(20.0)
        server.hear(20.0)
        players.tell("play")
        shares = []
        for _ in ("receiving", "both"):
            server.hear(30.0)
            before = cpu_s([server.pid]), cpu_s(address.pids), time.monotonic()
            handled = server.hear(setup.run_s + 30.0)
            after = cpu_s([server.pid]), cpu_s(address.pids), time.monotonic()
            took_s = after[2] - before[2]
            shares.append(
                ((after[0] - before[0]) / took_s, (after[1] - before[1]) / took_s, handled / took_s)
            )
        players.tell("end")
        players.hear(20.0)
        server.hear(20.0)
    receiving, both = shares
    return {
        "share": both[0],
        "receiving_share": receiving[0],
        "broker_share": both[1],
        "received_per_s": both[2],
    }


def _serve(words: Words, address: Address, data: list[Any], run_s: float) -> None:
    handled = 0
    with ServerAdapter("arena", service="arena", broker=address.url) as server:

        @server.on("player.*")
        def take(event: Event) -> None:
            nonlocal handled
            handled += 1

        for player in range(PLAYERS):
            server.join(f"room-{player % ROOMS}", f"player:{player}")
        server.wait(1.0)
        words.say("ready")
        payloads = itertools.cycle(data)
        rooms = itertools.cycle([f"group:room-{room}" for room in range(ROOMS)])
        lanes = itertools.cycle(["critical", "normal", "critical", "low", "normal"])
        # First the same loop without a send: ticks, and what players send.
        for sends in (0, SENDS_PER_TICK):
            words.say("begin")
            handled = 0
            begun_s = time.monotonic()
            for tick in range(int(TICKS_PER_S * run_s)):
                for _ in range(sends):
                    server.send("unit.state", next(payloads), to=next(rooms), lane=next(lanes))
                server.flush()
                server.wait(until=begun_s + (tick + 1) / TICKS_PER_S)
            words.say(handled)


def _players(words: Words, address: Address, data: list[Any]) -> None:
    loop = Loop()
    gateways = [GatewayAdapter(f"gateway-{number}", broker=address.url) for number in range(2)]
    sessions = []
    for gateway in gateways:
        loop.add(gateway)
        gateway.start()
    for player in range(PLAYERS):
        session = gateways[player % 2].open(f"player:{player}")
        session.on("**")(lambda event: None)
        sessions.append(session)
    while any(gateway.state != "up" or gateway.requests_pending for gateway in gateways):
        loop.turn(0.05)
    words.say("ready")
    while words.heard(0.0) is None:
        loop.turn(0.05)
    gap_s = 1.0 / (UP_PER_S * PLAYERS)
    due_s = time.monotonic()
    payloads, senders = itertools.cycle(data), itertools.cycle(sessions)
    while words.heard() is None:
        while due_s <= time.monotonic():
            due_s += gap_s
            next(senders).send("player.input", next(payloads), to="service:arena", lane="critical")
        loop.turn(max(0.0, due_s - time.monotonic()))
    loop.close_all(5.0)
    loop.close()
