"""The sections `[policy...]`: what one session may send and receive, and what it costs to break a rule."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

Rate = Annotated[float, Meta(ge=0.0, le=1e12)]
"""Events or bytes a second; 0 for no limit."""

PeerPattern = Annotated[str, Meta(min_length=1, max_length=160, pattern=r"^[A-Za-z0-9_.:*-]+\Z")]
"""Names of peers: as one is written, with `*` for any characters or none."""

Topic = Annotated[
    str,
    Meta(pattern=r"^(?:(?:[A-Za-z0-9_-]+|\*)(?:\.(?:[A-Za-z0-9_-]+|\*))*(?:\.\*\*)?|\*\*)\Z", max_length=128),
]
"""A topic, in which `*` stands for one word and a last `**` for one or more."""


Topics = Annotated[list[Topic], Meta(max_length=256)]

ALL_TOPICS: Final = ("**",)

Destination = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=160,
        pattern=r"^(?:all|\*|(?:player|server|service|group|member):[A-Za-z0-9_.:*-]+)\Z",
    ),
]
"""Destinations: as one is written, with `*` for any characters or none; `member:` begins the name of a group that only
its members may name."""

OwnBytes = Annotated[int, Meta(ge=0, le=1 << 40)]
"""A limit in bytes of one session's own; 0 for the general one."""

BurstSeconds = Annotated[float, Meta(ge=0.1, le=60.0)]
"""A burst, as seconds of its rate."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one session may do. Over a rate its events wait where they are: at their sender, or in the broker."""

    events_per_s: Rate = 0.0
    """Events that it may send in a second, on all lanes together; 0 for no limit."""

    events_burst: Annotated[int, Meta(ge=1, le=10_000_000)] = 200
    """Events that it may send at once after a quiet time."""

    up_bytes_per_s: Rate = 0.0
    """Bytes that it may send in a second, as they travel; 0 for no limit."""

    down_bytes_per_s: Rate = 0.0
    """Bytes that it is sent in a second, as they travel; 0 for no limit."""

    bytes_burst_s: Annotated[float, Meta(ge=0.1, le=60.0)] = 2.0
    """How many seconds' worth of bytes may go at once after a quiet time, in either direction."""

    replay_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] = 8_388_608
    """Bytes of replayed events that are not counted against its limits, in the life of a session: one outbox."""

    event_bytes: OwnBytes = 0
    """The largest payload of one event of it; 0 for `limits.event_bytes` alone."""

    queue_bytes: OwnBytes = 0
    """Bytes per lane that may wait to be sent to it; 0 for `egress.queue_bytes`."""

    control_messages_per_s: Rate = 0.0
    """Messages other than batches that its process may send in a second; each one more is a violation."""

    control_bytes_per_s: Rate = 0.0
    """Bytes of such messages in a second."""

    control_burst_s: BurstSeconds = 10.0
    """How many seconds' worth of such messages and bytes may come at once."""

    raw_bytes_per_s: Rate = 0.0
    """Bytes of any kind that its process may send in a second, before anything is read; past it the links end.
    Counted only where `up_bytes_per_s` is not 0."""

    raw_burst_s: BurstSeconds = 8.0
    """How many seconds' worth of them may come at once."""


class PeerPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `[[policy.peers]]`: other limits for peers of some names. What is not set is as for their role."""

    match: PeerPattern
    """Full names, such as `player:bot-*`."""

    events_per_s: Rate | None = None
    events_burst: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    up_bytes_per_s: Rate | None = None
    down_bytes_per_s: Rate | None = None
    bytes_burst_s: Annotated[float, Meta(ge=0.1, le=60.0)] | None = None
    replay_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] | None = None
    event_bytes: OwnBytes | None = None
    queue_bytes: OwnBytes | None = None
    control_messages_per_s: Rate | None = None
    control_bytes_per_s: Rate | None = None
    control_burst_s: BurstSeconds | None = None
    raw_bytes_per_s: Rate | None = None
    raw_burst_s: BurstSeconds | None = None


class TopicPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `[[policy.topics]]`: how often one session of a role may send on some topics.

    What is over it ends: a limit of one topic that made events wait would hold up the rest of their lane.
    """

    match: Topic
    """Topics, such as `telemetry.**`."""

    events_per_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    """Events a second that one session may send on all these topics together."""

    burst: Annotated[int, Meta(ge=1, le=10_000_000)] = 10
    """Events that it may send on them at once after a quiet time."""

    role: Literal["client", "server"] = "client"
    """Whose events are counted."""

    over: Literal["drop", "refuse"] = "drop"
    """How an event over it ends; its sender is told in either case."""


PLAYERS: Final = Policy(
    events_per_s=100.0,
    up_bytes_per_s=51_200.0,
    down_bytes_per_s=51_200.0,
    control_messages_per_s=50.0,
    control_bytes_per_s=65_536.0,
    raw_bytes_per_s=4_194_304.0,
)
"""What players may, unless the configuration says otherwise."""


class PolicyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[policy]`: what sessions may send and receive."""

    client_may_send: Topics = msgspec.field(default_factory=lambda: list(ALL_TOPICS))
    """Topics that players may send on."""

    client_may_address: Annotated[list[Destination], Meta(max_length=256)] = []
    """Destinations that players may name besides servers and services: `member:room:*` for the groups `room:...` that a
    player is in, `group:party:*` for such groups whoever is in them; `*` stands for any characters."""

    error_budget: Annotated[int, Meta(ge=0, le=1_000_000)] = 200
    """What breaking rules may cost at once; 0: it costs nothing."""

    error_budget_per_s: Annotated[float, Meta(gt=0.0, le=1e6)] = 50.0
    """How fast the error budget fills again."""

    cool_down_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 30.0
    """How long a name is refused that has used up its error budget three times over, or changes hands too often."""

    client: Policy = PLAYERS
    """Players, those behind gateways too."""

    server: Policy = Policy()
    """Game servers and services."""

    peers: Annotated[list[PeerPolicy], Meta(max_length=1024)] = []
    """For peers of some names, instead of their role's; the first that matches counts."""

    topics: Annotated[list[TopicPolicy], Meta(max_length=256)] = []
    """For topics; all that match count."""
