"""lanebus itself, as anybody gets it: the default configuration, two servers, every promise kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from benchmarks.lab.load import Inbox, Load
from benchmarks.rivals.base import TOPIC, Address, Rival
from lanebus import OutboxFull, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess

_STEP_S = 0.002
"""How long a sender waits when its outbox is full, or for the last settlements."""


class Lanebus(Rival):
    """A server sends to a server. Every event is settled: its handler has run, and its sender knows."""

    name: ClassVar[str] = "lanebus"
    title: ClassVar[str] = "lanebus"
    promise: ClassVar[str] = (
        "handled by the receiver, in order, once; survives lost links and a broker that is killed"
    )
    settings: ClassVar[str] = (
        "default configuration; `ServerAdapter` to `ServerAdapter`, one `poll` for 256 events"
    )
    confirms: ClassVar[bool] = True

    def __init__(self, configuration: Mapping[str, Any] | None = None) -> None:
        """`configuration` is laid over the default one, and has to be said in the report."""
        self._configuration = {"log": {"level": "warning"}, **(configuration or {})}

    @contextlib.contextmanager
    def server(self) -> Iterator[Address]:
        with BrokerProcess(self._configuration) as broker:
            yield Address(
                broker.addresses["critical"], [broker.pid], {"control": broker.addresses["control"]}
            )

    def receive(self, address: Address, inbox: Inbox) -> None:
        receiver = ServerAdapter("receiver", broker=address.url)
        receiver.on("**")(lambda event: inbox.handle(event.payload))
        with receiver:
            inbox.ready()
            while not inbox.over():
                receiver.wait(0.02)
            # What the receiver has handled last has to be told before it goes.
            receiver.wait(0.3)

    def send(self, address: Address, load: Load) -> None:
        with ServerAdapter(load.name, broker=address.url) as server:
            load.begin()
            send = server.send
            peak = 0
            while (events := load.take(load.burst or 256)) is not None:
                if not events:
                    server.wait(until=load.next_due_s())
                    continue
                for flow, payload in events:
                    while True:
                        try:
                            send(TOPIC, payload, to="server:receiver", lane=flow.lane, flush=flow.urgent)
                            break
                        except OutboxFull:
                            server.wait(_STEP_S)
                peak = max(peak, server.in_flight)
                if load.burst:
                    server.flush()
                server.poll(0.0)
                while server.in_flight >= load.in_flight:
                    server.wait(_STEP_S)
            while server.in_flight:
                server.wait(_STEP_S)
            lanes = server.stats()["lanes"].values()
            batches = sum(lane["batches_out"] for lane in lanes)
            load.notes = {
                "events_per_batch": sum(lane["events_out"] for lane in lanes) / max(1, batches),
                "in_flight_peak": peak,
                "delivered": sum(
                    server.book(lane).as_dict()["delivered"] for lane in ("critical", "normal", "low")
                ),
            }
