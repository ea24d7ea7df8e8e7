"""Redis: publish and subscribe, and streams with a consumer group."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.lab.load import LANES, Inbox, Load
from benchmarks.rivals.base import HOST, Address, ServedRival, decode, encode

_PIPELINE: Final = 1000
_COUNT: Final = 1000
_CHANNEL: Final = "bench."
_GROUP: Final = "receivers"


class RedisPubSub(ServedRival):
    """PUBLISH in pipelines, SUBSCRIBE."""

    name: ClassVar[str] = "redis_pubsub"
    title: ClassVar[str] = "Redis pub/sub"
    promise: ClassVar[str] = "at most once: the server has sent it on; an absent receiver loses it"
    settings: ClassVar[str] = (
        "no persistence, no limit of output buffers; redis-py with hiredis; pipelines of up to 1,000 PUBLISH"
    )
    command: ClassVar[str] = "redis-server"
    install: ClassVar[str] = "apt-get install redis-server"
    packages: ClassVar[tuple[str, ...]] = ("redis", "hiredis")
    scheme: ClassVar[str] = "redis://"

    def options(self, port: int, folder: Path) -> list[str]:
        options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
        return [*options, "--client-output-buffer-limit", "pubsub 0 0 0", "--dir", str(folder)]

    def receive(self, address: Address, inbox: Inbox) -> None:
        import redis

        subscriber = redis.Redis.from_url(address.url, protocol=2).pubsub()
        subscriber.subscribe(*(_CHANNEL + lane for lane in LANES))
        confirmed = 0
        while confirmed < len(LANES):
            confirmed += subscriber.get_message(timeout=1.0) is not None
        inbox.ready()
        next_look = 0
        while True:
            # parse_response is what get_message calls; it waits in the socket, and costs no second poll.
            message = subscriber.get_message(timeout=0.05)
            if message is not None:
                inbox.handle(decode(message["data"]))
                next_look += 1
                if next_look < 256:
                    continue
            next_look = 0
            if inbox.over():
                return

    def send(self, address: Address, load: Load) -> None:
        import redis

        pipeline = redis.Redis.from_url(address.url, protocol=2).pipeline(transaction=False)
        load.begin()
        while (events := load.take(_PIPELINE)) is not None:
            if not events:
                time.sleep(load.rest())
                continue
            for flow, payload in events:
                pipeline.publish(_CHANNEL + flow.lane, encode(payload))
            pipeline.execute()


class RedisStreams(RedisPubSub):
    """XADD in pipelines, XREADGROUP with COUNT, XACK of each read."""

    name: ClassVar[str] = "redis_streams"
    title: ClassVar[str] = "Redis streams"
    promise: ClassVar[str] = (
        "at least once: the sender knows that the server has it, the server that it was handled"
    )
    settings: ClassVar[str] = (
        "no persistence; redis-py with hiredis; pipelines of up to 1,000 XADD; XREADGROUP COUNT 1000, one XACK a read; "
        "one stream, trimmed to about 100,000"
    )
    confirms: ClassVar[bool] = True

    def receive(self, address: Address, inbox: Inbox) -> None:
        import redis

        client = redis.Redis.from_url(address.url, protocol=2)
        client.xgroup_create(_CHANNEL, _GROUP, mkstream=True)
        inbox.ready()
        while not inbox.over():
            found = client.xreadgroup(_GROUP, "receiver", {_CHANNEL: ">"}, count=_COUNT, block=20)
            for _, entries in found or []:
                for _, fields in entries:
                    inbox.handle(decode(fields[b"d"]))
                client.xack(_CHANNEL, _GROUP, *(number for number, _ in entries))

    def send(self, address: Address, load: Load) -> None:
        import redis

        pipeline = redis.Redis.from_url(address.url, protocol=2).pipeline(transaction=False)
        load.begin()
        while (events := load.take(_PIPELINE)) is not None:
            if not events:
                time.sleep(load.rest())
                continue
            for _, payload in events:
                pipeline.xadd(_CHANNEL, {b"d": encode(payload)}, maxlen=100_000, approximate=True)
            pipeline.execute()
