"""What a test's peer has sent and got: the records that it keeps."""

from typing import NamedTuple

from lanebus.wire.batches import UpEvent
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
