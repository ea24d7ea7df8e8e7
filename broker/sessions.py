"""What the broker remembers of a peer: its session, as a sender and as a receiver. Data and bookkeeping only."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from lanebus.broker.allowance import Allowance
from lanebus.broker.backlog import Backlog
from lanebus.broker.events import Event
from lanebus.broker.policies import Limits
from lanebus.broker.quality import Quality
from lanebus.broker.sending import Sending
from lanebus.broker.traffic import Traffic
from lanebus.broker.trial import Trial
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import BOOK_FIGURES, WITHHELD, Book
from lanebus.wire.reports import SessionReport, UnhandledTopic

if TYPE_CHECKING:
    from lanebus.broker.attachment import Attachment, Link
    from lanebus.broker.disputes import Dispute

NO_HOLD: Final = float("inf")
INSTANCES_REMEMBERED: Final = 8
"""Instances of one service that a session's events went to; they do not move often while any is unsettled."""


class Replayed(NamedTuple):
    """What an event that was sent before was to its sender."""

    after: int
    """The last request of its attachment that it depended on."""
    lane: Lane
    number: int


Unresolved = tuple[str, str | list[str] | None, list[str], Replayed | None]
"""Topic, destination and exclusions of an event that has no receivers yet, and what it was before."""


class Receiving:
    """One session as a receiver, on one lane: its credit, and the egress queue beyond it."""

    __slots__ = (
        "allowance",
        "charged_bytes",
        "committed_bytes",
        "deliveries",
        "dropped",
        "expired",
        "gaps",
        "gated",
        "paused",
        "retried",
        "shaped",
        "shaped_until",
        "superseded",
        "suspects",
        "tellers",
        "unsettled",
        "untold",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self) -> None:
        self.dropped = 0
        self.expired = 0
        self.superseded = 0
        self.allowance: Allowance | None = None
        """What may be sent to it, on all lanes together; None without a limit."""
        self.clear()

    def clear(self) -> None:
        """Forget every part; somebody else has booked their ends or taken them over."""
        self.gated = False
        """Whether what comes has to wait: behind others, or behind a suspect."""
        self.shaped = False
        """Whether what waits, waits for the allowance."""
        self.shaped_until: float | None = None
        """When somebody comes back to look whether it has grown."""
        self.committed_bytes = 0
        """Bytes handed to the link's queue or sent, and not settled; bounded by the credit."""
        self.unsettled: dict[int, dict[int, Event]] = {}
        """Parts sent and not settled: origin, then number."""
        self.retried: dict[Event, int] = {}
        """Parts sent again on a fresh link, and how often they were sent; settled ones are forgotten later."""
        self.waiting = Backlog()
        """Parts that found the credit used up."""
        self.waiting_bytes = 0
        self.charged_bytes = 0
        """Bytes of the oldest of them for which the allowance has been taken already."""
        self.suspects: deque[Event] = deque()
        """Parts that an earlier process of this name was sent and did not settle: they go first, in rounds."""
        self.deliveries: dict[Event, int] = {}
        """How often each suspect, and those of the round under way, were given to a process of this name."""
        self.gaps: set[Session] = set()
        """Senders some of whose events were dropped for this receiver, and none has left those that wait since."""
        self.tellers: dict[Event, None] = {}
        """Events behind dropped ones, that tell of them; ended ones are forgotten later."""
        self.untold: set[Session] = set()
        """Senders of events that were to tell of a gap, and that no handler gets: they came too late."""
        self.paused: dict[tuple[Session, str], Link] = {}
        """Senders that were told to pause and what they call this destination, to the link that was told."""


def under_way(session: Session) -> list[list[Event]]:
    """By lane: the parts that a session was sent and has not settled."""
    return [
        [event for numbers in receiving.unsettled.values() for event in numbers.values()]
        for receiving in session.receiving
    ]


def is_unsettled(receiving: Receiving, event: Event) -> bool:
    """Whether a part was sent to this receiver and is not settled."""
    numbers = receiving.unsettled.get(event.origin.origin)
    return numbers is not None and numbers.get(event.number) is event


def forget_settled(receiving: Receiving) -> None:
    """What was sent again and is settled is not being tried any longer."""
    receiving.retried = {
        event: sendings for event, sendings in receiving.retried.items() if is_unsettled(receiving, event)
    }


class Served(NamedTuple):
    """An instance of a service that a session's events went to."""

    instance: str
    since: list[int]
    """By lane: the number of the first event that did."""
    moved: bool
    """Whether some of them were another instance's before: they may come behind later ones for this server itself."""


class Session:
    """A peer, as long as the broker remembers it; outlives its links for the grace period."""

    __slots__ = (
        "alone",
        "attachment",
        "disputes",
        "ended",
        "groups",
        "index",
        "is_finished",
        "kept_by",
        "limits",
        "name",
        "origin",
        "parts_counted",
        "process",
        "quality",
        "receiving",
        "reported",
        "revoked",
        "role",
        "route_version",
        "routes",
        "sending",
        "served",
        "served_by",
        "since",
        "told",
        "traffic",
        "trial",
    )

    def __init__(
        self,
        attachment: Attachment,
        index: int,
        name: str,
        role: Role,
        process: bytes,
        origin: int,
        quality: Quality,
        since: float,
        limits: Limits | None = None,
    ) -> None:
        self.attachment = attachment
        self.limits = limits
        """What is left of what its policy gives; None where nothing is limited."""
        self.index = index
        self.name = name
        self.role = role
        self.process = process
        self.origin = origin
        """The broker's number for this session as a sender; never used again in one epoch."""
        self.quality = quality
        self.since = since
        self.sending = [Sending() for _ in LANES]
        self.receiving = [Receiving() for _ in LANES]
        self.limit_egress()
        self.trial: Trial | None = None
        """While it is given what an earlier process of its name, or another instance, did not settle."""
        self.reported: list[Book] | None = None
        """The peer's own books, as it last reported them."""
        self.disputes: dict[Lane, Dispute] = {}
        """Lanes on which they have said something else than the broker's."""
        self.told: SessionReport | None = None
        """What else its process said of it in its last ping."""
        self.groups: set[str] = set()
        self.routes: dict[object, object] = {}
        """Resolved destinations, valid for `route_version` of the directory."""
        self.route_version = -1
        self.served_by: dict[str, str] = {}
        """By service: the instance that its events went to last."""
        self.served: dict[str, list[Served]] = {}
        """By service: its instances that unsettled events went to, oldest first."""
        self.revoked: dict[tuple[Session, Lane], list[int]] = {}
        """Numbers of the parts that it was sent and that went to another instance: its adapter has to be told."""
        self.kept_by: dict[str, list[str]] = {}
        """Groups that it sends to, and the other servers that put members in, as it knows."""
        self.alone: tuple[Session, ...] = (self,)
        self.ended = False
        self.is_finished = False
        """Whether its process has said that it is over: nothing of it is replayed to any broker."""
        self.parts_counted = (0, 0)
        """Parts accepted, and those refused or dropped, that are in the broker's count."""
        self.traffic = [Traffic() for _ in LANES]

    def recall(self, known: list[tuple[str, list[tuple[str, list[int], bool]]]], sent: Sequence[int]) -> None:
        """Take over what a peer knows of an earlier session.

        Args:
            known: services, and the instances of each that its events went to.
            sent: by lane, the highest number of those that it will replay.
        """
        for sending, number in zip(self.sending, sent, strict=True):
            sending.awaited = number
        for service, history in known:
            if history:
                self.served[service] = [Served(*each) for each in history[-INSTANCES_REMEMBERED:]]
                self.served_by[service] = history[-1][0]

    def note_served(self, service: str, served: Served) -> None:
        """Its events for `service` go to another instance from now on."""
        self.served_by[service] = served.instance
        history = self.served.setdefault(service, [])
        history.append(served)
        # One counts until its successor has begun on every lane.
        bases = [sending.base for sending in self.sending]
        while len(history) > INSTANCES_REMEMBERED or (
            len(history) > 1
            and all(first <= base for first, base in zip(history[1].since, bases, strict=True))
        ):
            del history[0]

    def had(self, service: str, replayed: Replayed) -> Served | None:
        """The instance of a service that a replayed event went to, where its sender knows it."""
        had: Served | None = None
        for served in self.served.get(service, ()):
            if replayed.number >= served.since[replayed.lane]:
                had = served
        return had

    @property
    def unhandled(self) -> Sequence[UnhandledTopic]:
        """Topics of which it has events and no handler."""
        return () if self.told is None else self.told.unhandled

    def limit_egress(self) -> None:
        """What it is sent is limited as its limits say now."""
        for receiving in self.receiving:
            receiving.allowance = self.limits.down if self.limits is not None else None

    def report(self, books: list[list[int]]) -> None:
        """Take the peer's own books of all lanes, as they travel."""
        self.reported = [Book.from_list(figures[:BOOK_FIGURES]) for figures in books]
        for sending, figures in zip(self.sending, books, strict=True):
            withheld = figures[BOOK_FIGURES:]
            sending.withhold([*withheld, *(0 for _ in WITHHELD[len(withheld) :])])

    def release(self) -> None:
        """Refer to nothing that refers to this: it is over, and its memory is given back without a collector."""
        self.alone = ()
        self.routes.clear()

    def __repr__(self) -> str:
        return f"<Session {self.name} origin={self.origin}{' ended' if self.ended else ''}>"
