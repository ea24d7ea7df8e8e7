"""What programs see of events: those that arrive, and what became of those sent."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

_NOT_DECODED: Final = object()


class Event:
    """An event as a handler gets it."""

    __slots__ = ("_payload", "age_ms", "id", "lane", "raw", "receiver", "redelivered", "sender", "topic")

    def __init__(
        self,
        id: int,
        topic: str,
        raw: bytes,
        sender: str,
        receiver: str,
        lane: Lane,
        age_ms: float,
        redelivered: bool,
    ) -> None:
        self.id = id
        """Its sender's number for it on its lane."""
        self.topic = topic
        self._payload: Any = _NOT_DECODED
        self.raw = raw
        """The payload as it travelled, MessagePack."""
        self.sender = sender
        self.receiver = receiver
        """Who it is for: the adapter's own name, or the session's of a gateway."""
        self.lane = lane
        self.age_ms = age_ms
        """Milliseconds since `send`, from a clock offset measured per connection (good to half a round trip)."""
        self.redelivered = redelivered
        """Whether a process of this name may have handled it before."""

    @property
    def payload(self) -> Any:
        """The payload, as the handler's schema where it has one; else decoded when first asked for.

        Raises:
            msgspec.MsgspecError: there is no schema, and the payload is not MessagePack.
        """
        if self._payload is _NOT_DECODED:
            self._payload = msgspec.msgpack.decode(self.raw)
        return self._payload

    @payload.setter
    def payload(self, value: Any) -> None:
        self._payload = value

    def __repr__(self) -> str:
        return f"<Event {self.topic} #{self.id} from {self.sender} on {self.lane.label}>"


class Unsettled(NamedTuple):
    """An event that ended other than delivered, as `on_unsettled` gets it."""

    number: int
    lane: Lane
    topic: str
    to: str | list[str] | None
    outcome: Outcome
    reason: Reason

    def __repr__(self) -> str:
        to = self.to
        whom = (
            "whoever handles it" if to is None else to if isinstance(to, str) else f"{len(to)} destinations"
        )
        end = f"{self.outcome.label}: {self.reason}"
        return f"<Unsettled {self.topic} #{self.number} to {whom} on {self.lane.label}, {end}>"


class Gap(NamedTuple):
    """Events of a sender that were dropped because the receiver fell behind, as `on_gap` gets it."""

    sender: str
    lane: Lane
    receiver: str

    def __repr__(self) -> str:
        return f"<Gap in what {self.receiver} gets from {self.sender} on {self.lane.label}>"


class Receipt:
    """What becomes of one event; kept up to date while the adapter is polled."""

    __slots__ = ("lane", "number", "outcome", "reason")

    def __init__(self, number: int, lane: Lane) -> None:
        self.number = number
        self.lane = lane
        self.outcome: Outcome | None = None
        self.reason = Reason.NONE

    @property
    def done(self) -> bool:
        """Whether the event is settled."""
        return self.outcome is not None

    @property
    def state(self) -> str:
        """``in_flight``, or the outcome's name."""
        return "in_flight" if self.outcome is None else self.outcome.label

    def __repr__(self) -> str:
        return f"<Receipt #{self.number} on {self.lane.label}: {self.state}{' ' + self.reason if self.reason else ''}>"
