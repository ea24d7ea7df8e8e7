"""What a test's peer has sent and got: the records that it keeps."""

import zlib
from typing import NamedTuple

from msgspec.structs import replace

from lanebus.wire.batches import EVENT_AGAIN, EVENT_LATEST, EVENT_QUESTION, EVENT_VOLATILE, UpEvent
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Book, Outcome, Reason

End = tuple[Outcome, Reason]
DELIVERED: End = (Outcome.DELIVERED, Reason.NONE)
Stream = tuple[int, Lane]
"""Index of a session of the peer, and a lane."""


class Got(NamedTuple):
    """An event that arrived."""

    session: int
    lane: Lane
    sender: str
    process: bytes
    origin: int
    number: int
    topic: str
    payload: bytes
    base: int
    batch: int
    held: int
    incarnation: int
    at: float
    flags: int


def key_of(got: Got) -> tuple[int, Lane, str, bytes, int]:
    """What tells an event apart from all others that its receiver gets."""
    return got.session, got.lane, got.sender, got.process, got.number


class Terms(NamedTuple):
    """What a sender says of an event beside where it goes."""

    flags: int = 0
    ttl: int = 0
    key: str = ""

    def topic(self, to: object, exclude: list[str]) -> str:
        """A topic of its own for what keeps an order of its own."""
        if self.flags & EVENT_LATEST:
            return f"player.{self.key}-{zlib.crc32(repr((to, exclude)).encode())}"
        return "player.volatile" if self.flags & EVENT_VOLATILE else "player.move"


class Sender:
    """What one session has sent on one lane."""

    def __init__(self) -> None:
        self.next_number = 1
        self.unsettled: dict[int, UpEvent] = {}
        self.ends: dict[int, End] = {}
        """How events ended, as the broker said first."""
        self.book = Book()

    @property
    def base(self) -> int:
        """The lowest number that is not settled."""
        return min(self.unsettled, default=self.next_number)


def sent_again(event: UpEvent) -> UpEvent:
    """An event as it is sent when it may have arrived before."""
    if event.flags & EVENT_VOLATILE:
        return replace(event, flags=EVENT_VOLATILE | EVENT_QUESTION, payload=b"", ttl=0)
    if event.flags or event.ttl:
        return replace(event, flags=event.flags | EVENT_AGAIN)
    return event
