"""The configuration as types: every setting with its unit, its bounds and its default.

Each class is one section of the file. `lanebus.conf.load` builds a `Config` from TOML and adds the checks that need
more than one setting. Sizes are in bytes, times in the unit that a name ends in.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from lanebus.conf.policy import PolicyConfig

Port = Annotated[int, Meta(ge=0, le=65_535)]
"""A TCP port; 0 lets the system choose a free one."""

Host = Annotated[str, Meta(min_length=1, max_length=255)]
"""What a socket is bound to: an IP address, the name of a network interface, or `*` for every interface."""

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
"""A number of things of which there must be at least one."""

Size = Annotated[int, Meta(ge=1, le=1 << 40)]
"""Bytes, at least one."""

FrameSize = Annotated[int, Meta(ge=1_024, le=1 << 30)]
"""Bytes of one message; large enough for a batch of one small event with its header."""

Milliseconds = Annotated[float, Meta(ge=0.1, le=60_000.0)]
"""A tenth of a millisecond to a minute: less is no time in which anything could be gathered."""

Seconds = Annotated[float, Meta(ge=0.01, le=86_400.0)]
"""A hundredth of a second to a day: a process does not do anything more often."""

GroupPattern = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:*-]+\Z")]
"""Names of groups: as one is written, with `*` for any characters or none."""
Percent = Annotated[float, Meta(ge=0.0, le=100.0)]
"""Hundredths of a whole."""


MAX_DRAIN_S: Final = 25.0
"""The longest that a broker may be set to drain: systemd kills it after TimeoutStopSec, which has to be more."""


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[broker]`: who this broker is and where peers find it."""

    name: Annotated[str, Meta(min_length=1, max_length=64)] = "lanebus"
    """The broker's name in logs, statistics and alerts."""

    host: Host = "127.0.0.1"
    """The address that the lanes are bound to."""

    advertise: Annotated[str, Meta(max_length=255)] = ""
    """The host that peers are told to dial for the other lanes; empty means the host they dialled first."""

    drain_s: Annotated[float, Meta(ge=0.0, le=MAX_DRAIN_S)] = 2.0
    """The longest that the broker drains when it is told to stop, in seconds; less than systemd's TimeoutStopSec."""


class ControlConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[control]`: the socket that the command line talks to."""

    host: Host = "127.0.0.1"
    """The loopback address that the control socket is bound to."""

    port: Port = 5573
    """The control socket's port."""


class LaneConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[lanes.NAME]`: one lane."""

    port: Port
    """The port that the lane's socket is bound to."""

    interval_ms: Milliseconds
    """While traffic is dense: the time between two batches to the same receiver, in milliseconds."""

    hold_ms: Annotated[float, Meta(ge=0.0, le=60_000.0)]
    """The longest that an event waits for company, sender and broker together, in milliseconds."""


class LanesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[lanes]`: the three lanes, most urgent first."""

    critical: LaneConfig = LaneConfig(port=5570, interval_ms=16.0, hold_ms=12.0)
    """Events a player feels at once; peers dial this lane first."""

    normal: LaneConfig = LaneConfig(port=5571, interval_ms=50.0, hold_ms=45.0)
    """The game's ordinary traffic."""

    low: LaneConfig = LaneConfig(port=5572, interval_ms=200.0, hold_ms=190.0)
    """What may be late: chat, statistics, telemetry."""


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[limits]`: the sizes and counts past which a message or a request is refused."""

    frame_bytes: FrameSize = 1_048_576
    """The largest message a peer may send, as it travels; a larger one ends its connection."""

    raw_bytes: FrameSize = 4_194_304
    """The largest body of a message once decompressed."""

    event_bytes: FrameSize = 262_144
    """The largest payload of one event."""

    batch_events: Annotated[int, Meta(ge=1, le=4_096)] = 4096
    """Events in one batch; the protocol knows no larger ones."""

    destinations: Count = 256
    """Destinations in one event's list."""

    groups_per_session: Count = 256
    """Groups that one session may be a member of."""

    sessions_per_gateway: Count = 10_000
    """Players behind one gateway."""

    attachments: Count = 10_000
    """Processes attached to the broker at once; each has three connections."""

    attachments_per_address: Annotated[int, Meta(ge=0, le=10_000_000)] = 5_000
    """Of these, from one address; 0 for any number. Players behind a gateway are not counted."""

    hellos_per_s: Annotated[float, Meta(ge=0.0, le=1e6)] = 200.0
    """Hellos a second from one address; 0 for any number."""

    hellos_burst: Count = 2_000
    """Hellos at once from one address after a quiet time."""

    services_per_session: Count = 16
    """Services that one server may register."""

    topics_per_service: Count = 256
    """Topic patterns that one service may handle."""


class SessionsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[sessions]`: how long the broker waits for a peer."""

    grace_s: Seconds = 30.0
    """How long a session outlives its links, in seconds; also the recovery time after the broker's start."""

    stalled_s: Seconds = 300.0
    """How long a session outlives its links while the process' connection lives, in seconds; at least `grace_s`."""

    recovery_s: Annotated[float, Meta(ge=0.0, le=3_600.0)] = 30.0
    """After the broker's start: how long unknown destinations wait for their peers to come back, in seconds."""

    ping_interval_s: Seconds = 2.0
    """Silence on a link before it is pinged, in seconds."""

    lease_s: Seconds = 10.0
    """Silence on a link before it counts as lost, in seconds."""

    failover_s: Seconds = 2.0
    """How long an instance of a service may be without links before its events go to another one, in seconds."""

    hello_timeout_s: Seconds = 10.0
    """How long a new peer may take to complete its hello on all its links, in seconds."""


class WindowConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[window]`: what may be under way on one link in one direction, not yet acknowledged as received."""

    batches: Annotated[int, Meta(ge=2, le=4_096)] = 64
    """Batches that may be unacknowledged."""

    bytes: Size = 4_194_304
    """Bytes that may be unacknowledged."""

    control_interval_ms: Milliseconds = 200.0
    """The time for which acknowledgements and settlements are gathered into one message, in milliseconds."""


class EgressConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[egress]`: what the broker holds for its receivers."""

    batch_bytes: FrameSize = 32_768
    """Size at which a batch leaves without waiting for its interval."""

    credit_bytes: Size = 262_144
    """Bytes per session and lane that may be sent and not yet settled."""

    queue_bytes: Size = 4_194_304
    """Bytes per session and lane that may wait to be sent."""

    age_s: Seconds = 30.0
    """How long a part of a group event may wait before it is dropped, in seconds."""

    budget_bytes: Annotated[int, Meta(ge=65_536, le=1 << 40)] = 536_870_912
    """Bytes of all events under way in the broker, each counted once; past it the broker accepts no more."""


class CompressionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[compression]`: lz4 of batch bodies."""

    threshold_bytes: Annotated[int, Meta(ge=0, le=1 << 30)] = 64
    """The smallest body, in bytes, that is compressed; 0 switches compression off."""

    linked: bool = True
    """Whether a batch may refer to the batches before it on the same link, where the peer can do that too."""


class QualityConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[quality]`: up to which values a connection counts as excellent, good or fair; past them it is poor."""

    excellent_rtt_ms: Milliseconds = 100.0
    """Network round trip of an excellent connection, in milliseconds."""

    good_rtt_ms: Milliseconds = 200.0
    """Network round trip of a good connection, in milliseconds."""

    fair_rtt_ms: Milliseconds = 400.0
    """Network round trip of a fair connection, in milliseconds."""

    excellent_jitter_ms: Milliseconds = 20.0
    """Standard deviation of the round trip of an excellent connection, in milliseconds."""

    good_jitter_ms: Milliseconds = 50.0
    """Standard deviation of the round trip of a good connection, in milliseconds."""

    fair_jitter_ms: Milliseconds = 100.0
    """Standard deviation of the round trip of a fair connection, in milliseconds."""

    excellent_loss_percent: Percent = 1.0
    """What an excellent connection loses: sent again or not answered, in percent of what was sent."""

    good_loss_percent: Percent = 2.5
    """What a good connection loses, in percent."""

    fair_loss_percent: Percent = 6.0
    """What a fair connection loses, in percent."""

    excellent_queue_ms: Milliseconds = 500.0
    """Wait in the broker of the oldest event for an excellent connection, in milliseconds."""

    good_queue_ms: Milliseconds = 1000.0
    """Wait in the broker of the oldest event for a good connection, in milliseconds."""

    fair_queue_ms: Milliseconds = 2000.0
    """Wait in the broker of the oldest event for a fair connection, in milliseconds."""

    min_samples: Annotated[int, Meta(ge=1, le=100)] = 5
    """Samples in a window before a judgement; until then the quality is `estimating`."""

    window_s: Annotated[float, Meta(ge=1.0, le=200.0)] = 20.0
    """How far back figures are taken together, and how long a better quality has to hold, in seconds."""

    poor_stretch: Annotated[float, Meta(ge=1.0, le=10.0)] = 2.0
    """By what the intervals of the normal and low lanes are stretched for a player whose connection is poor."""


class AlertsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[alerts]`: when the broker raises an alert, and whom it tells; each ends below what it begins at."""

    slow_receiver_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    """Share of `egress.credit_bytes` and `egress.queue_bytes` together that is held for a slow receiver."""

    slow_receiver_age_s: Seconds = 5.0
    """Age of the oldest part that a slow receiver has not settled, in seconds."""

    limit_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.8
    """Share of a limit that is nearly used up: of an outbox, a session's bytes a second, `egress.budget_bytes`."""

    flapping_returns: Annotated[int, Meta(ge=2, le=1_000)] = 3
    """How often a peer comes back on fresh links, or as another process, within `flapping_window_s`."""

    flapping_window_s: Annotated[float, Meta(ge=1.0, le=3_600.0)] = 60.0
    """The time in which the returns of a peer are counted, in seconds."""

    loop_late_s: Annotated[float, Meta(ge=0.01, le=60.0)] = 0.5
    """How much later than planned the broker's loop does something, in seconds."""

    memory_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] = 0
    """Memory of the broker's process; 0 for `limit_share` of what it may take."""

    min_interval_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 60.0
    """Least time between two alerts of the same kind about the same peer and lane, in seconds."""

    webhook_url: Annotated[str, Meta(max_length=2_048)] = ""
    """An http or https address to which every alert is posted as JSON; empty for none."""

    webhook_timeout_s: Annotated[float, Meta(ge=0.1, le=60.0)] = 5.0
    """The longest wait for the webhook's connection, and for its answer, in seconds."""


class GroupsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[groups]`: what players may do with groups."""

    client_may_join: Annotated[list[GroupPattern], Meta(max_length=256)] = []
    """Groups that players may join and leave by themselves; `*` in a name stands for any characters."""


LogLevel = Literal["debug", "info", "warning", "error"]


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[log]`: what the broker writes to standard error."""

    level: LogLevel = "info"
    """The least severe level that is written."""

    format: Literal["text", "json"] = "text"
    """`text` for people and the journal, `json` for log shippers: one object per line."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration, one field per section."""

    broker: BrokerConfig = BrokerConfig()
    """Who this broker is and where peers find it."""

    control: ControlConfig = ControlConfig()
    """The socket that the command line talks to."""

    lanes: LanesConfig = LanesConfig()
    """The three lanes."""

    limits: LimitsConfig = LimitsConfig()
    """Sizes and counts past which something is refused."""

    sessions: SessionsConfig = SessionsConfig()
    """How long the broker waits for a peer."""

    window: WindowConfig = WindowConfig()
    """What may be under way on one link in one direction."""

    egress: EgressConfig = EgressConfig()
    """What the broker holds for its receivers."""

    compression: CompressionConfig = CompressionConfig()
    """Compression of batch bodies."""

    quality: QualityConfig = QualityConfig()
    """Bounds of the degrees of connection quality."""

    alerts: AlertsConfig = AlertsConfig()
    """When the broker raises an alert."""

    policy: PolicyConfig = PolicyConfig()
    """What sessions may send and receive."""

    groups: GroupsConfig = GroupsConfig()
    """What players may do with groups."""

    log: LogConfig = LogConfig()
    """What the broker writes to standard error."""

    def on_free_ports(self) -> "Config":
        """Return the same configuration with every port 0, so that the system chooses free ones."""
        replace = msgspec.structs.replace
        return replace(
            self,
            control=replace(self.control, port=0),
            lanes=LanesConfig(
                critical=replace(self.lanes.critical, port=0),
                normal=replace(self.lanes.normal, port=0),
                low=replace(self.lanes.low, port=0),
            ),
        )
