"""NATS JetStream: publishes that the server acknowledges, reads that the consumer acknowledges."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.lab.load import LANES, Inbox, Load
from benchmarks.rivals.base import Address, decode, encode
from benchmarks.rivals.nats_core import SUBJECT, NatsCore

_STREAM: Final = "bench"
_FETCH: Final = 500


class JetStream(NatsCore):
    """A stream in memory, one replica."""

    name: ClassVar[str] = "jetstream"
    title: ClassVar[str] = "NATS JetStream"
    promise: ClassVar[str] = (
        "at least once: the sender knows that the server has it, the server that it was handled; in memory, one replica"
    )
    settings: ClassVar[str] = (
        "memory storage, one replica; `publish_async` with as many under way as lanebus; pull consumer, `fetch(500)`, "
        "the last of each fetch acknowledged for all (AckPolicy ALL)"
    )
    confirms: ClassVar[bool] = True

    def options(self, port: int, folder: Path) -> list[str]:
        return [*super().options(port, folder), "-js", "-sd", str(folder)]

    async def _receive(self, address: Address, inbox: Inbox) -> None:
        import nats
        from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig

        client = await nats.connect(address.url)
        stream = client.jetstream()
        await stream.add_stream(
            StreamConfig(
                name=_STREAM,
                subjects=[SUBJECT + lane for lane in LANES],
                storage=StorageType.MEMORY,
                num_replicas=1,
            )
        )
        settings = ConsumerConfig(ack_policy=AckPolicy.ALL, max_ack_pending=1 << 20)
        pull = await stream.pull_subscribe("", durable="receiver", stream=_STREAM, config=settings)
        inbox.ready()
        while not inbox.over():
            try:
                messages = await pull.fetch(_FETCH, timeout=0.1)
            except (TimeoutError, nats.errors.TimeoutError):
                continue
            for message in messages:
                inbox.handle(decode(message.data))
            await messages[-1].ack()
        await client.close()

    async def _send(self, address: Address, load: Load) -> None:
        import nats

        client = await nats.connect(address.url)
        stream = client.jetstream(publish_async_max_pending=load.in_flight)
        load.begin()
        while (events := load.take()) is not None:
            if not events:
                await asyncio.sleep(load.rest())
                continue
            for flow, payload in events:
                await stream.publish_async(SUBJECT + flow.lane, encode(payload))
            await asyncio.sleep(0)
        await stream.publish_async_completed()
        await client.close()
