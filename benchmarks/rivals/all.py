"""The list of all that are measured."""

from __future__ import annotations

from typing import Final

from benchmarks.rivals.bare import BareBatches, BarePyzmq
from benchmarks.rivals.base import Rival
from benchmarks.rivals.jetstream import JetStream
from benchmarks.rivals.mqtt import MqttQos0, MqttQos1
from benchmarks.rivals.nats_core import NatsCore
from benchmarks.rivals.ours import Lanebus
from benchmarks.rivals.proxy import LibzmqProxy
from benchmarks.rivals.redis_server import RedisPubSub, RedisStreams

KINDS: Final[tuple[type[Rival], ...]] = (
    Lanebus,
    BareBatches,
    BarePyzmq,
    LibzmqProxy,
    NatsCore,
    JetStream,
    RedisPubSub,
    RedisStreams,
    MqttQos0,
    MqttQos1,
)


def rivals() -> list[Rival]:
    """One of each kind, ours first."""
    return [kind() for kind in KINDS]
