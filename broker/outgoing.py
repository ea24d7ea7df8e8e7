"""What the core wants put on sockets, and the count of it."""

from __future__ import annotations

import logging
from typing import Any

from lanebus.broker.attachment import Link
from lanebus.broker.describe import FREQUENT, describe, name_of
from lanebus.wire.batches import EncodedBatch
from lanebus.wire.bodies import encode_body
from lanebus.wire.header import encode_header
from lanebus.wire.histogram import Histogram
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane

log = logging.getLogger("lanebus.broker")

Frame = tuple[Lane, bytes, bytes]
"""Lane of the socket, routing id, frame."""


class LaneCounters:
    """Batches of one lane in one direction."""

    __slots__ = ("batches", "bytes", "events", "unbatched_bytes")

    def __init__(self) -> None:
        self.batches = 0
        self.events = 0
        self.bytes = 0
        """Of whole frames, as they travel."""
        self.unbatched_bytes = 0
        """What the same events would take in one uncompressed frame each; known for what the broker sends."""

    def as_dict(self) -> dict[str, int]:
        """The figures by name."""
        return {name: getattr(self, name) for name in ("batches", "events", "bytes", "unbatched_bytes")}


class ControlCounters:
    """Messages other than batches, in one direction."""

    __slots__ = ("bytes", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0

    def as_dict(self) -> dict[str, int]:
        """The figures by name."""
        return {"messages": self.messages, "bytes": self.bytes}


class Counters:
    """All traffic of the broker; plain numbers that only grow."""

    def __init__(self) -> None:
        self.lanes_in = [LaneCounters() for _ in LANES]
        self.lanes_out = [LaneCounters() for _ in LANES]
        self.control_in = ControlCounters()
        self.control_out = ControlCounters()
        self.held = [Histogram() for _ in LANES]
        """How long the oldest event of each batch had been held, on both hops, when it left."""
        self.busy = Histogram()
        """How long the driver's turns took."""
        self.late = Histogram()
        """How much later than a timer had wanted a turn began."""
        self.throttled = [0 for _ in LANES]
        """Events that were not accepted because their sender was over a limit; they come again."""
        self.errors: dict[str, int] = {}
        """Errors that peers were told, by label; as many keys as there are error numbers."""
        self.ignored_settlements = 0
        """Settlements of parts that were already settled, or are not held by that session."""
        self.duplicates = 0
        """Events that a resumed sender sent again."""


class Outgoing:
    """Frames in the order in which they are to be sent; the driver takes them after each turn."""

    def __init__(self, counters: Counters) -> None:
        self.frames: list[Frame] = []
        self.bodies: dict[Frame, bytes] | None = None
        """The batches among them as they were before compression, while somebody reads what is sent."""
        self._counters = counters.control_out

    def batch(self, link: Link, batch: EncodedBatch) -> None:
        """Send a batch on `link`."""
        frame = (link.lane, link.route, batch.frame)
        self.frames.append(frame)
        if self.bodies is not None:
            self.bodies[frame] = batch.raw

    def control(self, link: Link, kind: Kind, message: Any) -> None:
        """Send any message but a batch on `link`; its header acknowledges what the link has received."""
        if kind not in FREQUENT and log.isEnabledFor(logging.DEBUG):
            log.debug("> %s %s: %s", name_of(link), kind.label, describe(message))
        self.answer(link.lane, link.route, kind, message, incarnation=link.incarnation, ack=link.received)
        link.acked = link.received

    def answer(
        self, lane: Lane, route: bytes, kind: Kind, message: Any, *, incarnation: int = 0, ack: int = 0
    ) -> None:
        """Send a message to a connection that need not be a link."""
        body = encode_body(message)
        frame = encode_header(kind, lane, len(body), incarnation=incarnation, ack=ack) + body
        self._counters.messages += 1
        self._counters.bytes += len(frame)
        self.frames.append((lane, route, frame))

    def take(self) -> list[Frame]:
        """The frames since the last call."""
        frames, self.frames = self.frames, []
        return frames
