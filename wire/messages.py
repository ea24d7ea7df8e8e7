"""The bodies of every message but batches: one class a kind, decoded and validated in one step.

Greetings and requests are maps, which can grow; what travels all the time (ack, settle, ping, pong) is arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from lanebus.wire.alerts import AlertNews
from lanebus.wire.batches import Positive, Unsigned
from lanebus.wire.bodies import decode_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.fields import BookFigures, Name, SessionBooks, Text
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import LEGAL_REASONS, OUTCOMES, Outcome, Reason
from lanebus.wire.pings import Ping, Pong
from lanebus.wire.presence import After, Presence
from lanebus.wire.reports import check_times
from lanebus.wire.runs import check_runs
from lanebus.wire.services import (
    ENTRIES,
    MAX_INSTANCES,
    Dependencies,
    Health,
    Instance,
    Priority,
    ServiceVersion,
    Tags,
    Weight,
    Why,
)

PROCESS_BYTES: Final = 16
"""Size of the random id that tells one life of a peer's process from the next."""
MAX_SETTLEMENTS: Final = 65_536
"""Settlements in one message."""
MAX_SETTLED_NUMBERS: Final = 1 << 22
"""Numbers that all settlements of one message may name together: a few bytes of runs can stand for very many."""

ProcessId = Annotated[bytes, Meta(min_length=PROCESS_BYTES, max_length=PROCESS_BYTES)]
Token = Annotated[bytes, Meta(max_length=64)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Milliseconds = Annotated[float, Meta(ge=0.0, le=86_400_000.0)]
"""A time of at most a day; never infinite, never not-a-number."""
Rate = Annotated[float, Meta(ge=0.0, le=1e12)]
"""A number a second; never infinite, never not-a-number."""
MAX_THROTTLED: Final = 1024
"""Entries in one message."""
PerLane = Annotated[list[Unsigned], Meta(min_length=3, max_length=3)]
PortPerLane = Annotated[list[Port], Meta(min_length=3, max_length=3)]
TimePerLane = Annotated[list[Milliseconds], Meta(min_length=3, max_length=3)]
MAX_SERVED_BY: Final = 256
History = Annotated[list[tuple[Name, PerLane, bool]], Meta(max_length=16)]
"""Instances that got a session's events for one service, oldest first: by lane the number from which on, and whether
events had moved there from another instance."""
ServedBy = Annotated[list[tuple[Name, History]], Meta(max_length=MAX_SERVED_BY)]
MAX_GONE: Final = 1024
MAX_KEPT_BY: Final = 4096
KeptBy = Annotated[
    list[tuple[Name, Annotated[list[Name], Meta(max_length=64)]]], Meta(max_length=MAX_KEPT_BY)
]
"""Groups, and the servers that put their members in."""


class Revoked(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Parts of one sender on one lane that are not this session's any more."""

    session: Unsigned
    origin: Unsigned
    lane: Lane
    runs: list[Unsigned]
    """First and last number, again and again."""


class Hello(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Opens an attachment, on the critical link."""

    name: Name
    role: Role
    process: ProcessId
    versions: tuple[Unsigned, Unsigned]
    """Lowest and highest protocol version that the peer speaks."""
    compressions: Annotated[list[Name], Meta(max_length=16)] = []
    """Compressions that the peer can undo; none is legal."""
    token: Token = b""
    """From the welcome of the attachment that is to be resumed; empty for a new one."""
    served_by: ServedBy = []
    """Services, and which instances of each the peer's events went to."""
    sent: PerLane = msgspec.field(default_factory=lambda: [0, 0, 0])
    """By lane: the highest number of its unsettled events that has left before; 0 for none."""
    kept_by: KeptBy = []
    """Groups that the peer sends to and others put members into."""
    requests: Unsigned = 0
    """How many requests come first, if the broker does not know the attachment: what the peer asked of another one."""
    generation: Unsigned = 0
    """From the last welcome; 0 before the first. Of two processes of a name the one with the higher has it."""


class LaneHello(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Adds the normal or the low link to an attachment."""

    token: Token


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the broker accepts."""

    frame_bytes: Positive = 1_048_576
    raw_bytes: Positive = 4_194_304
    event_bytes: Positive = 262_144
    batch_events: Positive = 4096
    destinations: Positive = 256
    control_messages_per_s: Rate = 0.0
    """Messages other than batches and answers to batches that the peer may send in a second; 0 for no limit."""
    control_messages: Unsigned = 0
    """So many of them at once, where they are limited."""


class Welcome(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Answers a hello on the critical link: who the broker is, and what holds between the two."""

    version: Unsigned
    broker: Text
    epoch: bytes
    """Random at each start of the broker."""
    token: Token
    resumed: bool
    """Whether the broker still knows the attachment; if not, the peer re-asserts its state and replays."""
    generation: Positive
    """Which of the processes that had the name this is; the peer says so in later hellos, to any broker."""
    host: str
    """Host of the other lanes' ports; empty for the host that was dialled."""
    ports: PortPerLane
    clock: Unsigned
    """Ticks since the broker's start."""
    intervals_ms: TimePerLane
    holds_ms: TimePerLane
    window_batches: Positive
    window_bytes: Positive
    batch_bytes: Positive
    """Body size at which a batch leaves at once."""
    credit_bytes: Positive
    """Bytes that a session may have received on one lane and not settled."""
    control_interval_ms: Milliseconds
    ping_interval_ms: Milliseconds
    failover_ms: Milliseconds
    """How long after its links are lost a server's service events go to another instance."""
    lease_ms: Milliseconds
    """Silence after which a link counts as lost, on either side."""
    compression_threshold_bytes: Unsigned
    limits: Limits
    revoked: Annotated[list[Revoked], Meta(max_length=MAX_SETTLEMENTS)] = []
    """Parts that the peer was sent, and that went to other instances while it was away."""
    linked: bool | UnsetType = UNSET
    """Whether batches may be linked, in both directions. Left out to peers that do not ask: they may not know it."""


class LaneWelcome(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Answers a lane hello."""

    lane: Unsigned


class Open(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A gateway opens a player's session."""

    request: Unsigned
    index: Positive
    name: Name
    process: ProcessId
    served_by: ServedBy = []
    """As in the hello of a client."""
    sent: PerLane = msgspec.field(default_factory=lambda: [0, 0, 0])
    """As in hello."""
    rtt_ms: Milliseconds | None = None
    """Round trip between the gateway and the player, where the gateway knows it."""


class Close(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A gateway closes a player's session."""

    request: Unsigned
    index: Positive
    books: Annotated[list[BookFigures], Meta(max_length=3)] = []
    """The session's last books, by lane."""


class Register(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server registers as an instance of a service, with the topics that it handles, or says it anew."""

    request: Unsigned
    service: Name
    topics: list[Name]
    version: ServiceVersion = ""
    priority: Priority = 0
    weight: Weight = 1
    tags: Tags = []
    depends_on: Dependencies = []
    """Services without which it is not ready."""
    health: Health = Health.OK
    reason: Why = ""
    """Why it is not ok."""


class HealthReport(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server says how an instance of it is now."""

    request: Unsigned
    service: Name
    health: Health
    reason: Why = ""


class Watched(StrEnum):
    """What a server may watch."""

    SERVICES = "services"
    """All instances of all services."""
    PLAYERS = "players"
    """All players, and how their connections are."""
    ALERTS = "alerts"
    """Alerts that last, that begin and that end."""


class Watch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server wants to be told of all that there is of something, and of every change; or no longer."""

    request: Unsigned
    what: Watched
    on: bool = True


class Assign(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server binds a player to an instance of a service; no instance takes the binding away."""

    request: Unsigned
    player: Name
    service: Name
    instance: Name | None


class Join(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server puts a peer into a group; or a player goes into one, where a rule allows."""

    request: Unsigned
    group: Name
    member: Name


class Leave(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server takes a peer out of a group; or a player leaves one, where a rule allows."""

    request: Unsigned
    group: Name
    member: Name


class Done(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Answers a request."""

    request: Unsigned
    error: Unsigned = 0
    """0, or the number of the error that kept the request from being carried out."""
    detail: Text = ""


class Ack(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Batches received, of all lanes."""

    acks: PerLane
    """Highest batch number received in order on each lane's link."""


class Settlement(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """How a range of one sender's events on one lane ended."""

    session: Unsigned
    """Index, in the attachment on the peer's side of the link, of the session that this is about."""
    origin: Unsigned
    """To the broker: the sender, as batches named it. To a sender: 0."""
    lane: Lane
    outcome: Outcome
    reason: Reason
    runs: list[Unsigned]
    """First and last number, again and again."""


class Settle(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Acknowledgements of all lanes, and what became of events."""

    acks: PerLane
    settlements: Annotated[list[Settlement], Meta(max_length=MAX_SETTLEMENTS)]


class Pause(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One destination is full (pause) or has room again (unpause) on one lane, for one sending session."""

    session: Unsigned
    lane: Lane
    destination: Annotated[str, Meta(max_length=160)]
    """As the sender wrote it; empty for events that leave the choice to the broker."""


class Throttled(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One session is over a limit on one lane: from an event on nothing of it was accepted there."""

    session: Unsigned
    lane: Lane
    number: Positive
    """The first event that was not accepted. Until it comes again no later one is."""
    limit: Annotated[str, Meta(min_length=1, max_length=64)]
    """The limit's name, as the configuration has it."""
    retry_after_ms: Milliseconds
    """When to send it again."""
    events_per_s: Rate
    """What is accepted from then on, at the most; 0 for as many as there are."""
    bytes_per_s: Rate
    """The same in bytes as they travel."""


class Throttle(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sessions that are over a limit."""

    entries: Annotated[list[Throttled], Meta(min_length=1, max_length=MAX_THROTTLED)]


class Served(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which instances of services sessions' events go to; the peer says so to the next broker."""

    entries: Annotated[list[tuple[Unsigned, Name, History]], Meta(max_length=1024)]
    """A session's index, a service, and all that is known of its instances."""


class Kept(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which other servers put members into groups that the peer sends to; the peer says so to the next broker."""

    entries: KeptBy
    """Of each group all of them; none if there are no others any more."""


class Gone(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who has ended for good: the peer need not keep what it keeps for them."""

    names: Annotated[list[Name], Meta(max_length=MAX_GONE)] = []
    """Whom the peer has put into groups, or bound to instances: what it had asked before this is over."""
    origins: Annotated[list[Unsigned], Meta(max_length=MAX_GONE)] = []
    """Senders whose process has ended, and all of whose events are settled."""


class Services(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Instances of services, for those who watch: all of them, in as many messages as it takes, or what has changed."""

    entries: Annotated[list[Instance], Meta(max_length=ENTRIES)]
    at: Unsigned = 0
    """Of all instances: how many have come before these."""
    of: Annotated[int, Meta(ge=0, le=MAX_INSTANCES)] = 0
    """How many instances there are; 0 where these are changes."""
    after: After = []
    """What is gone here sent nothing that comes behind these."""


class Drain(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The broker is about to end: settle at once, hold new events, and wait for its bye."""

    deadline_ms: Milliseconds
    """The bye comes within this time."""


class Bye(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ends the attachment and its sessions for good."""

    reason: Text = ""
    books: list[SessionBooks] = []


class ErrorMessage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Says which rule was broken; the link is over, except after `no_session` to a frame that came too late."""

    number: Unsigned
    text: Text


Message = Any
"""One of the classes above."""

_BODIES: Final[dict[Kind, type[Struct]]] = {
    Kind.ACK: Ack,
    Kind.SETTLE: Settle,
    Kind.PING: Ping,
    Kind.PONG: Pong,
    Kind.OPEN: Open,
    Kind.CLOSE: Close,
    Kind.REGISTER: Register,
    Kind.ASSIGN: Assign,
    Kind.JOIN: Join,
    Kind.LEAVE: Leave,
    Kind.DONE: Done,
    Kind.PAUSE: Pause,
    Kind.UNPAUSE: Pause,
    Kind.THROTTLE: Throttle,
    Kind.SERVED: Served,
    Kind.KEPT: Kept,
    Kind.DRAIN: Drain,
    Kind.HEALTH: HealthReport,
    Kind.SERVICES: Services,
    Kind.WATCH: Watch,
    Kind.PRESENCE: Presence,
    Kind.ALERTS: AlertNews,
    Kind.GONE: Gone,
    Kind.BYE: Bye,
    Kind.ERROR: ErrorMessage,
}
_LANE_BODIES: Final[dict[tuple[Kind, bool], type[Struct]]] = {
    (Kind.HELLO, True): Hello,
    (Kind.HELLO, False): LaneHello,
    (Kind.WELCOME, True): Welcome,
    (Kind.WELCOME, False): LaneWelcome,
}


def body_type(kind: Kind, lane: Lane) -> type[Struct]:
    """The class of the body of `kind` on `lane`; only greetings differ between lanes. Batches have their own module."""
    return _BODIES.get(kind) or _LANE_BODIES[kind, lane is Lane.CRITICAL]


_DECODERS: Final[dict[tuple[Kind, Lane], msgspec.msgpack.Decoder[Any]]] = {
    (kind, lane): msgspec.msgpack.Decoder(body_type(kind, lane))
    for kind in Kind
    if kind is not Kind.BATCH
    for lane in Lane
}


def decode_message(kind: Kind, lane: Lane, raw: bytes) -> Message:
    """Decode the body of any message but a batch.

    Raises:
        ProtocolError: it is malformed.
    """
    message = decode_body(_DECODERS[kind, lane], raw)
    if kind is Kind.SETTLE:
        _check_runs(message.settlements)
    elif kind is Kind.PING:
        check_times(message.reports)
    elif kind is Kind.WELCOME and lane is Lane.CRITICAL:
        _check_runs(message.revoked)
    return message


def _check_runs(parts: Sequence[Settlement | Revoked]) -> None:
    total = 0
    for settlement in parts:
        total += check_runs(settlement.runs)
        if total > MAX_SETTLED_NUMBERS:
            raise ProtocolError(
                ErrorNumber.BAD_BODY, f"settlements name more than {MAX_SETTLED_NUMBERS} numbers"
            )


def check_settlement(settlement: Settlement, *, allowed: frozenset[Reason] | None = None) -> None:
    """Check that the reason goes with the outcome, and is its sender's to give.

    Args:
        allowed: the reasons that this sender of settlements may give; all when None.

    Raises:
        ProtocolError: they do not.
    """
    if settlement.reason not in LEGAL_REASONS[settlement.outcome] or (
        allowed is not None and settlement.reason not in allowed
    ):
        raise ProtocolError(
            ErrorNumber.BAD_BODY,
            f"settled as {OUTCOMES[settlement.outcome].label} with reason {settlement.reason.value!r}",
        )
