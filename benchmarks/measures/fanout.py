"""One server to 10, 100 and 1,000 clients, thirty times a second: deliveries, and what each costs the broker."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import zmq

from benchmarks.lab.load import Flow, Load
from benchmarks.lab.processes import Child, Failed, Words, cpu_s, rss_bytes
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import latency, spread
from benchmarks.rivals.bare import BarePyzmq
from benchmarks.rivals.base import HOST, TOPIC, Address, Rival
from benchmarks.rivals.jetstream import JetStream
from benchmarks.rivals.mqtt import MqttQos0, MqttQos1
from benchmarks.rivals.nats_core import NatsCore
from benchmarks.rivals.ours import Lanebus
from benchmarks.rivals.redis_server import RedisPubSub, RedisStreams
from benchmarks.rivals.subscribers import MARK, SETTINGS, drain, raise_descriptors
from lanebus import ClientAdapter, GatewayAdapter, Loop, ServerAdapter

CLIENTS: Final = (10, 100, 1000)
TICKS_PER_S: Final = 30.0
PROCESSES: Final = 2
"""That our clients are shared out to."""
GATEWAYS: Final = 10


class BareFanOut(BarePyzmq):
    """A ROUTER in Python that sends each frame on to every receiver."""

    @contextlib.contextmanager
    def server(self) -> Iterator[Address]:
        with Child("the bare forwarder", _to_all) as child:
            port = child.hear(5.0)
            try:
                yield Address(f"tcp://{HOST}:{port}", [child.pid])
            finally:
                child.tell("end")


KINDS: Final[tuple[type[Rival], ...]] = (
    BareFanOut,
    NatsCore,
    JetStream,
    RedisPubSub,
    RedisStreams,
    MqttQos0,
    MqttQos1,
)


def run(setup: Setup) -> dict[str, Any]:
    """Figures by bus and number of clients."""
    others: list[Rival] = [kind() for kind in KINDS]
    missing = {rival.title: why for rival in others if (why := rival.missing())}
    others = [rival for rival in others if not rival.missing()]
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for number in range(setup.rounds):
        for clients in CLIENTS:
            runs: list[tuple[str, Callable[[], dict[str, Any]]]] = [
                ("lanebus", partial(_ours, setup, clients, gateways=0)),
                (f"lanebus, {GATEWAYS} gateways", partial(_ours, setup, clients, gateways=GATEWAYS)),
            ]
            runs += [(rival.title, partial(_theirs, rival, setup, clients)) for rival in others]
            for title, once in runs:
                try:
                    figures = once()
                except Failed as failed:
                    missing[f"{title}, {clients} clients"] = str(failed)
                    continue
                found.setdefault(title, {}).setdefault(clients, []).append(figures)
                setup.say(
                    f"round {number + 1}: {title}, {clients} clients: {figures['per_s']:,.0f} deliveries/s, "
                    f"{figures['broker_us']:.2f} us each"
                )
                setup.pause()
    return {
        "ticks_per_s": TICKS_PER_S,
        "buses": {
            title: {
                str(clients): {
                    "per_s": spread([each["per_s"] for each in runs]),
                    "broker_us": spread([each["broker_us"] for each in runs]),
                    "missing": sum(each["missing"] for each in runs),
                    "rss_bytes": spread([each["rss_bytes"] for each in runs]),
                    **({"latency": runs[-1]["latency"]} if "latency" in runs[-1] else {}),
                }
                for clients, runs in by_clients.items()
            }
            for title, by_clients in found.items()
        },
        "missing": missing,
        "settings": {rival.title: SETTINGS[rival.name] for rival in others if rival.name in SETTINGS},
    }


def _snapshot(setup: Setup) -> list[Any]:
    return [{"mark": MARK.decode(), "units": setup.events.data[0]}]


def _theirs(rival: Rival, setup: Setup, clients: int) -> dict[str, Any]:
    ticks = int(TICKS_PER_S * setup.run_s)
    with rival.server() as address:
        parts = urlsplit(address.url if "//" in address.url else f"//{address.url}")
        arguments = (parts.hostname, parts.port, rival.name, clients)
        with Child("the subscribers", drain, *arguments) as subscribers:
            subscribers.hear(30.0)
            before_s = cpu_s(address.pids)
            load = Load([Flow("normal", ticks, TICKS_PER_S)], _snapshot(setup), in_flight=1000)
            with Child("the publisher", _publish, rival, address, load) as publisher:
                began_s = publisher.hear(setup.run_s + 30.0)
            memory = rss_bytes(address.pids)
            subscribers.tell("end")
            handled, last_s = subscribers.hear(10.0)
            spent_s = cpu_s(address.pids) - before_s
    return {
        "per_s": handled / max(last_s - began_s, 1e-9),
        "broker_us": spent_s / max(1, handled) * 1e6,
        "missing": ticks * clients - handled,
        "rss_bytes": memory,
    }


def _publish(words: Words, rival: Rival, address: Address, load: Load) -> float:
    rival.send(address, load)
    return load.began_s


def _ours(setup: Setup, clients: int, *, gateways: int) -> dict[str, Any]:
    ticks = int(TICKS_PER_S * setup.run_s)
    shares = [range(index, clients, PROCESSES) for index in range(PROCESSES)]
    with Lanebus().server() as address, contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(Child(f"clients {index}", _clients, address, share, gateways // PROCESSES))
            for index, share in enumerate(shares)
        ]
        for child in children:
            child.hear(60.0)
        before_s = cpu_s(address.pids)
        server = stack.enter_context(Child("the server", _serve, address, _snapshot(setup), ticks))
        began_s = server.hear(setup.run_s + 60.0)
        memory = rss_bytes(address.pids)
        spent_s = cpu_s(address.pids) - before_s
        for child in children:
            child.tell("end")
        answers = [child.hear(60.0) for child in children]
    handled = sum(len(late_s) for late_s, _ in answers)
    last_s = max(last for _, last in answers)
    latencies = array("d")
    for late_s, _ in answers:
        latencies.extend(late_s)
    return {
        "per_s": handled / max(last_s - began_s, 1e-9),
        "broker_us": spent_s / max(1, handled) * 1e6,
        "missing": ticks * clients - handled,
        "rss_bytes": memory,
        "latency": latency(latencies),
    }


def _serve(words: Words, address: Address, data: list[Any], ticks: int) -> float:
    """Send every tick to all players, and wait until all is settled."""
    load = Load([Flow("normal", ticks, TICKS_PER_S)], data, in_flight=1000)
    with ServerAdapter("arena", broker=address.url) as server:
        load.begin()
        while (events := load.take()) is not None:
            for _, payload in events:
                server.send(TOPIC, payload, to="all")
            server.flush()
            server.wait(until=load.next_due_s())
        deadline = time.monotonic() + 20.0
        while server.in_flight and time.monotonic() < deadline:
            server.wait(0.01)
    return load.began_s


def _clients(words: Words, address: Address, numbers: range, gateways: int) -> tuple[array[float], float]:
    """Be some players until told to stop: one attachment each, or all behind a few gateways."""
    raise_descriptors()
    loop = Loop()
    late_s = array("d")
    last_s = 0.0

    def take(event: Any) -> None:
        nonlocal last_s
        last_s = time.monotonic()
        late_s.append(last_s - event.payload[0])

    adapters: list[Any] = []
    if gateways:
        for index in range(gateways):
            gateway = GatewayAdapter(f"g{numbers.start}-{index}", broker=address.url)
            adapters.append(gateway)
            for number in list(numbers)[index::gateways]:
                gateway.open(f"player:{number}").on("**")(take)
    else:
        for number in numbers:
            adapters.append(ClientAdapter(str(number), broker=address.url))
            adapters[-1].on("**")(take)
    for adapter in adapters:
        loop.add(adapter)
        adapter.start()
    while any(adapter.state != "up" or adapter.requests_pending for adapter in adapters):
        loop.turn(0.05)
    words.say("ready")
    while words.heard() is None:
        for _ in range(20):
            loop.turn(0.02)
    loop.close_all(5.0)
    loop.close()
    return late_s, last_s


def _to_all(words: Words) -> None:
    router: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    router.setsockopt(zmq.SNDHWM, 0)
    raise_descriptors()
    words.say(router.bind_to_random_port(f"tcp://{HOST}"))
    receive, send = router.recv, router.send
    targets: list[bytes] = []
    while words.heard() is None:
        if not router.poll(50):
            continue
        try:
            while True:
                route = receive(1)
                frame = receive(1)
                if frame == b"receiver":
                    targets.append(route)
                    continue
                for target in targets:
                    send(target, 3)
                    send(frame, 1)
        except zmq.Again:
            continue
    router.close(linger=0)
