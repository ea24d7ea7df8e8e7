"""What the broker remembers of a process that is attached: its three links, and what is to leave for it on each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from lanebus.broker.events import Event
from lanebus.broker.handling import Told
from lanebus.broker.line import Line
from lanebus.broker.places import Places
from lanebus.broker.sending import Sending
from lanebus.broker.sessions import NO_HOLD, Session
from lanebus.wire.batches import UpBatch
from lanebus.wire.history import History
from lanebus.wire.kinds import LinkState
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Done
from lanebus.wire.names import Role


class Sent:
    """A batch that was sent and not acknowledged."""

    __slots__ = ("at", "entries", "number", "size")

    def __init__(self, number: int, size: int, entries: list[Entry], at: float) -> None:
        self.number = number
        self.at = at
        """When it was sent."""
        self.size = size
        self.entries = entries


Entry = tuple[Event, tuple[Session, ...]]
"""An event, and the sessions of one attachment that it is for."""


class Outbound:
    """What is to leave for one attachment on one lane: the queue that becomes batches, and the window of those sent."""

    __slots__ = (
        "announced",
        "attachment",
        "dirty",
        "due",
        "expires",
        "extra_s",
        "held_back",
        "hold_until",
        "lane",
        "last_flush",
        "next_number",
        "places",
        "queue",
        "queued_bytes",
        "ratio",
        "resent",
        "unacked",
        "unacked_bytes",
    )

    def __init__(self, attachment: Attachment, lane: Lane) -> None:
        self.attachment = attachment
        self.lane = lane
        self.queue: deque[Entry] = deque()
        self.queued_bytes = 0
        self.places = Places()
        """Of the latest values in the queue, by key and session."""
        self.expires = NO_HOLD
        """No entry of the queue is late before this."""
        self.resent = 0
        """Entries at the head of the queue that an earlier link may already have delivered."""
        self.hold_until = NO_HOLD
        """Earliest `hold_until` of the events in the queue."""
        self.due: float | None = None
        """When a timer will flush it."""
        self.extra_s = 0.0
        """How much longer what is in it waits for company than its lane says, where the line is poor."""
        self.ratio = 1.0
        """Bytes that travel for a byte of an event, lately."""
        self.held_back = False
        """Whether what comes for its session waits behind this queue, because the link takes nothing."""
        self.dirty = False
        """Whether it waits for the end of this turn."""
        self.last_flush = -NO_HOLD
        self.next_number = 1
        self.unacked: deque[Sent] = deque()
        self.unacked_bytes = 0
        self.announced: set[int] = set()
        """Origins whose name this link has been told."""

    def relink(self) -> None:
        """Start again on a fresh link: what was not acknowledged goes back to the head of the queue, in order."""
        before = len(self.queue)
        for sent in reversed(self.unacked):
            for entry in reversed(sent.entries):
                self.queue.appendleft(entry)
                self.queued_bytes += entry[0].size
                self.resent += 1
        self.places.moved(before - len(self.queue))
        self.unacked.clear()
        self.unacked_bytes = 0
        self.announced.clear()
        self.next_number = 1
        self.hold_until = -NO_HOLD


class Parked(NamedTuple):
    """A batch that was received and is not accepted yet."""

    arrived: float
    batch: UpBatch
    replayed: bool
    frame_bytes: int
    """What it took on its way."""


class Link:
    """One connection of an attachment on one lane."""

    __slots__ = (
        "acked",
        "attachment",
        "heard",
        "heard_at",
        "incarnation",
        "lane",
        "parked",
        "received",
        "route",
        "said",
        "since",
        "state",
    )

    def __init__(self, lane: Lane, route: bytes, since: float) -> None:
        self.lane = lane
        self.route = route
        self.since = since
        self.state = LinkState.NEW
        self.incarnation = 0
        self.attachment: Attachment | None = None
        self.heard_at = since
        """When the latest frame of it was read."""
        self.received = 0
        """Highest batch number received."""
        self.acked = 0
        """Highest batch number that the peer has been told was received."""
        self.parked: deque[Parked] = deque()
        """Batches that wait for a request they depend on, or for room in the broker."""
        self.heard: History | None = None
        """Of the batches from the peer; None where they are not linked."""
        self.said: History | None = None
        """Of the batches to the peer; None where they are not linked."""


class Attachment:
    """One process' three links; speaks for one session, or as a gateway for many."""

    __slots__ = (
        "alive_at",
        "away_since",
        "control_due",
        "ends_owed",
        "farewells",
        "generation",
        "key",
        "last_index",
        "last_seen",
        "line",
        "linked",
        "links",
        "lz4",
        "name",
        "outbound",
        "process",
        "recalled",
        "refused",
        "reporting",
        "request",
        "role",
        "sessions",
        "since",
        "stalled",
        "token",
        "topics",
    )

    def __init__(self, name: str, role: Role, process: bytes, token: bytes, now: float) -> None:
        self.name = name
        self.key = name
        """What the registry files it under: its name, until a newer process takes that."""
        self.role = role
        self.process = process
        self.token = token
        self.topics: dict[tuple[str, Lane], Told] = {}
        """Handler times, as its process says."""
        self.generation = 0
        """Counts the processes that have taken the name; 0 without a process."""
        self.since = now
        self.lz4 = False
        """Whether the batches to it are compressed."""
        self.linked = False
        """Whether batches of its links are linked, in both directions."""
        self.links: list[Link | None] = [None for _ in LANES]
        self.outbound = [Outbound(self, lane) for lane in LANES]
        self.sessions: dict[int, Session] = {}
        self.last_index = 0
        """Highest index that a gateway has opened, or tried to: up to it, one that is not open was once."""
        self.last_seen = now
        self.line = Line(now)
        self.away_since: float | None = None
        """Since when it has no critical link; its sessions end a grace period later."""
        self.stalled: Link | None = None
        """The link that it was silent on, while it is away and that link's connection lives."""
        self.alive_at = now
        """When such a connection was found to be gone: the grace period begins with that."""
        self.request = 0
        """The last request carried out."""
        self.recalled = 0
        """The last of those requests that an earlier broker has carried out before."""
        self.refused: dict[int, Done] = {}
        """Answers to the latest requests that were not, by number."""
        self.control_due: float | None = None
        self.ends_owed = 0
        """Delivered events that its sessions have not been told of."""
        self.farewells: dict[str, float] = {}
        """Peers that it was told are gone, and when; it is told again with fresh links."""
        self.reporting: dict[tuple[int, Lane], Sending] = {}
        """Sessions' sending sides with ends to report."""

    def add(self, link: Link) -> None:
        """A link of it is ready; its histories begin empty."""
        self.links[link.lane] = link
        link.attachment = self
        link.state = LinkState.READY
        if self.linked:
            link.heard, link.said = History(), History()

    def live_links(self) -> Iterator[Link]:
        """The links that exist now."""
        return (link for link in self.links if link is not None)

    @property
    def expected(self) -> bool:
        """Whether it stands for a peer that was named before it came back to a new broker."""
        return not self.process

    @property
    def restored(self) -> bool:
        """Whether all that it had asked of an earlier broker is carried out here."""
        return not self.expected and self.request >= self.recalled

    @property
    def targeted(self) -> bool:
        """Whether its batches name the sessions that each event is for."""
        return self.role is Role.GATEWAY

    def release(self) -> None:
        """Refer to nothing that refers to this; see `Session.release`."""
        self.stalled = None
        self.reporting.clear()
        self.outbound.clear()

    def __repr__(self) -> str:
        links = sum(link is not None for link in self.links)
        return f"<Attachment {self.name} links={links} sessions={len(self.sessions)}>"
