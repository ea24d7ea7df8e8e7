"""What one event costs at each step, from `send` to its handler and back: both cores and the codec, without sockets."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks.lab.instructions import Instructions
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import spread
from benchmarks.rivals.base import TOPIC
from lanebus import ServerAdapter
from lanebus.adapters.actions import Dial, Send, State
from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.dispatch import dispatch
from lanebus.broker.core import BrokerCore
from lanebus.conf.model import Config, LaneConfig, LanesConfig
from lanebus.wire.lanes import Lane

SIZES: Final = (1, 4, 16, 64)
EVENTS: Final = 30_000
STEPS: Final = ("send", "encode", "route", "forward", "receive", "dispatch", "settle")
"""`send`: the call. `encode`: the sender's batch. `route`: the broker decodes and queues. `forward`: it encodes what
leaves. `receive`: the receiver decodes. `dispatch`: handlers, and their results noted. `settle`: all control."""

# Nothing waits for company: the steps are measured, not the lanes' intervals.
_LANE: Final = LaneConfig(port=1, interval_ms=0.001, hold_ms=0.0)
CONFIG: Final = Config(lanes=LanesConfig(critical=_LANE, normal=_LANE, low=_LANE))


class Pipeline:
    """A sender, a broker and a receiver, with what is between them moved by hand."""

    def __init__(self) -> None:
        now = time.monotonic()
        self.broker = BrokerCore(CONFIG, epoch=os.urandom(16), random=os.urandom, started=now)
        self.sender = ServerAdapter("sender")
        self.receiver = ServerAdapter("receiver")
        self.handled = 0
        self._ends: dict[tuple[Lane, bytes], AttachmentCore] = {}
        self._routes: dict[tuple[int, Lane], bytes] = {}
        self._numbers = itertools.count(1)

        @self.receiver.on("**")
        def take(event: Any) -> None:
            self.handled += 1

        for adapter in (self.sender, self.receiver):
            adapter.core.start(now)
        while {self.sender.core.state, self.receiver.core.state} != {State.UP}:
            self.exchange()

    def up(self, core: AttachmentCore) -> list[tuple[Lane, bytes, bytes]]:
        """What an attachment has to send, with the routes of its connections."""
        frames = []
        for action in core.take():
            if isinstance(action, Send):
                frames.append((action.lane, self._routes[id(core), action.lane], action.frame))
            elif isinstance(action, Dial):
                route = next(self._numbers).to_bytes(5, "big")
                self._routes[id(core), action.lane] = route
                self._ends[action.lane, route] = core
        return frames

    def down(self) -> list[tuple[AttachmentCore, Lane, bytes]]:
        """What the broker has to send, and to whom."""
        return [(self._ends[lane, route], lane, frame) for lane, route, frame in self.broker.take()]

    def exchange(self) -> None:
        """Move everything that waits, once in each direction."""
        now = time.monotonic()
        for adapter in (self.sender, self.receiver):
            core = adapter.core
            core.begin_turn(now)
            core.end_turn(now, now)
            for lane, route, frame in self.up(core):
                self.broker.receive(lane, route, frame, now)
        self.broker.end_turn(now)
        for core, lane, frame in self.down():
            core.receive(lane, frame, now)


def run(setup: Setup) -> dict[str, Any]:
    """Microseconds, and where the machine counts them instructions, by step and size of batch."""
    counter = Instructions()
    found: dict[int, list[dict[str, Any]]] = {size: [] for size in SIZES}
    once(setup.events.data, 16, EVENTS // 10, counter)
    for number in range(max(setup.rounds, 3)):
        for size in SIZES:
            found[size].append(once(setup.events.data, size, EVENTS, counter))
        total = sum(found[16][-1]["us"].values())
        setup.say(f"round {number + 1}: {total:.2f} us an event in batches of 16, all steps")
    counter.close()
    return {
        "events": setup.events.source,
        "instructions_missing": counter.why,
        "sizes": {
            str(size): {
                step: {
                    "us": spread([each["us"][step] for each in runs]),
                    "instructions": spread([each["instructions"][step] for each in runs]),
                }
                for step in STEPS
            }
            for size, runs in found.items()
        },
    }


def once(data: list[Any], size: int, events: int, counter: Instructions) -> dict[str, Any]:
    """One run: by step, what an event took."""
    line = Pipeline()
    spent_ns = dict.fromkeys(STEPS, 0)
    executed = dict.fromkeys(STEPS, 0)
    # Of this thread: what others take of the core is not counted.
    clock, read = time.thread_time_ns, counter.read
    sender, receiver, broker = line.sender, line.receiver, line.broker
    payloads = itertools.cycle(data)

    def step(name: str, function: Callable[[], Any]) -> Any:
        instructions = read()
        begun = clock()
        result = function()
        spent_ns[name] += clock() - begun
        executed[name] += read() - instructions
        return result

    gc.collect()
    while line.handled < events:
        batch = [next(payloads) for _ in range(size)]
        now = time.monotonic()

        def send(batch: list[Any] = batch) -> None:
            for payload in batch:
                sender.send(TOPIC, payload, to="server:receiver")

        def encode(now: float = now) -> Any:
            sender.core.flush(now)
            return line.up(sender.core)

        step("send", send)
        frames = step("encode", encode)

        def route(frames: Any = frames) -> None:
            for lane, where, frame in frames:
                broker.receive(lane, where, frame, time.monotonic())

        def forward() -> Any:
            broker.end_turn(time.monotonic())
            return line.down()

        step("route", route)
        frames = step("forward", forward)

        def receive(frames: Any = frames) -> None:
            for core, lane, frame in frames:
                core.receive(lane, frame, time.monotonic())

        step("receive", receive)
        step(
            "dispatch",
            lambda: dispatch(receiver.core, time.monotonic, time.monotonic() + 1.0, receiver.handler_times),
        )
        step("settle", line.exchange)
    deadline = time.monotonic() + 5.0
    while sender.in_flight and time.monotonic() < deadline:
        step("settle", line.exchange)
        time.sleep(0.0005)
    for adapter in (sender, receiver):
        adapter.core.close("measured")
    return {
        "us": {name: spent / line.handled / 1e3 for name, spent in spent_ns.items()},
        "instructions": {name: count / line.handled for name, count in executed.items()},
    }
