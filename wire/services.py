"""Services: what an instance says of itself, the states it can be in, and how the broker tells others of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from lanebus.wire.names import MAX_NAME_BYTES

BUS: Final = "bus"
"""The service that the broker itself is; nobody else can be an instance of it."""
MAX_TAGS: Final = 16
MAX_TAG_CHARACTERS: Final = 32
MAX_VERSION_CHARACTERS: Final = 64
MAX_DEPENDENCIES: Final = 16
MAX_PRIORITY: Final = 1000
"""Highest priority; the lowest is as far below zero."""
MAX_WEIGHT: Final = 1000
MAX_REASON_CHARACTERS: Final = 200
MAX_INSTANCES: Final = 1 << 20
"""Instances that one peer can be told of."""
ENTRIES: Final = 64
"""Instances in one message: even the largest of them stay far below a frame's limit."""

ServiceName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_BYTES)]
ServiceVersion = Annotated[str, Meta(max_length=MAX_VERSION_CHARACTERS)]
Priority = Annotated[int, Meta(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]
Weight = Annotated[int, Meta(ge=1, le=MAX_WEIGHT)]
Tag = Annotated[str, Meta(min_length=1, max_length=MAX_TAG_CHARACTERS)]
Tags = Annotated[list[Tag], Meta(max_length=MAX_TAGS)]
Dependencies = Annotated[list[ServiceName], Meta(max_length=MAX_DEPENDENCIES)]
Why = Annotated[str, Meta(max_length=MAX_REASON_CHARACTERS)]


class Health(StrEnum):
    """What an instance says of itself."""

    STARTING = "starting"
    """It wants no newcomers yet."""
    OK = "ok"
    DEGRADED = "degraded"
    """It works, and is not well: newcomers go elsewhere while there is anywhere else."""


class ServiceState(StrEnum):
    """What the broker makes of it, together with the services that the instance depends on."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    GONE = "gone"
    """Without links for the failover time, or at its end."""


class Instance(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One instance of a service, as watchers know it."""

    service: ServiceName
    name: Annotated[str, Meta(min_length=1, max_length=160)]
    """The full name of the server; of the service `bus`: the broker's name."""
    state: ServiceState
    reason: Why
    """Why it is not ready; empty while it is."""
    version: ServiceVersion = ""
    priority: Priority = 0
    """Instances of a higher one are to be started before others, and ended after them."""
    weight: Weight = 1
    """Its share of the newcomers, against the weights of the other instances."""
    tags: Tags = []
