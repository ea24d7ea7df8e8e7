"""A bench for the broker's core: small limits, a number for the clock, and connections that can be cut."""

from collections.abc import Iterator
from itertools import count
from typing import Protocol

from lanebus.broker.attachment import Attachment
from lanebus.broker.audit import audit
from lanebus.broker.backlog import Backlog
from lanebus.broker.core import BrokerCore
from lanebus.broker.events import Event
from lanebus.broker.places import Places
from lanebus.broker.sessions import Receiving, Session
from lanebus.conf.model import (
    AlertsConfig,
    CompressionConfig,
    Config,
    EgressConfig,
    GroupsConfig,
    LimitsConfig,
    SessionsConfig,
    WindowConfig,
)
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.lanes import LANES, Lane

EPOCH = b"epoch of the test"
UNLIMITED = PolicyConfig(client=Policy())
"""What tests of other things want: their peers do not know what to do about a throttle."""


def small_config(
    *,
    limits: LimitsConfig | None = None,
    sessions: SessionsConfig | None = None,
    window: WindowConfig | None = None,
    egress: EgressConfig | None = None,
    compression: CompressionConfig | None = None,
    groups: GroupsConfig | None = None,
    policy: PolicyConfig | None = None,
    alerts: AlertsConfig | None = None,
) -> Config:
    """The default configuration with limits that a test reaches within a few events."""
    return Config(
        limits=limits
        or LimitsConfig(
            frame_bytes=8_192,
            raw_bytes=16_384,
            event_bytes=1_024,
            destinations=4,
            groups_per_session=3,
            sessions_per_gateway=4,
            attachments=8,
            topics_per_service=3,
        ),
        sessions=sessions or SessionsConfig(grace_s=10.0, recovery_s=0.0, ping_interval_s=1.0, lease_s=4.0),
        window=window or WindowConfig(batches=8, bytes=8_192, control_interval_ms=200.0),
        egress=egress or EgressConfig(batch_bytes=1_024, credit_bytes=2_048, queue_bytes=4_096, age_s=5.0),
        compression=compression or CompressionConfig(threshold_bytes=256),
        groups=groups or GroupsConfig(),
        policy=policy or UNLIMITED,
        alerts=alerts or AlertsConfig(),
    )


class Endpoint(Protocol):
    """The far end of a connection."""

    def take_frame(self, lane: Lane, frame: bytes) -> None:
        """The broker sent `frame`."""


class Network(Protocol):
    """What a peer speaks over: the bench below, or real sockets."""

    @property
    def now(self) -> float:
        """The time."""

    def connect(self, lane: Lane, endpoint: Endpoint) -> bytes:
        """A new connection; its routing id."""

    def cut(self, lane: Lane, route: bytes) -> None:
        """The connection is gone."""

    def receive(self, lane: Lane, route: bytes, frame: bytes, *, more: bool = False) -> None:
        """A frame for the broker."""

    def turn(self) -> None:
        """The broker does what is due, and what it sends arrives."""


class Bench:
    """A core, its clock, and the connections to it."""

    def __init__(self, config: Config | None = None, *, now: float = 0.0) -> None:
        tokens = count(1)
        self.now = now
        self.address = ""
        """Where hellos come from."""
        self.core = BrokerCore(
            config or small_config(),
            epoch=EPOCH,
            random=lambda size: next(tokens).to_bytes(size, "big"),
            started=now,
        )
        self._routes = count(1)
        self._connections: dict[tuple[Lane, bytes], Endpoint] = {}

    def connect(self, lane: Lane, endpoint: Endpoint) -> bytes:
        """A new connection; its routing id."""
        route = next(self._routes).to_bytes(5, "big")
        self._connections[lane, route] = endpoint
        return route

    def cut(self, lane: Lane, route: bytes) -> None:
        """The connection is gone. The core learns of it when it next sends on it."""
        self._connections.pop((lane, route), None)

    def receive(self, lane: Lane, route: bytes, frame: bytes, *, more: bool = False) -> None:
        """A frame arrives at the broker."""
        self.core.receive(lane, route, frame, self.now, more=more, address=self.address)

    def turn(self) -> None:
        """One turn of the driver: what is due is done, and what is to be sent arrives at once."""
        self.core.end_turn(self.now)
        for lane, route, frame in self.core.take():
            endpoint = self._connections.get((lane, route))
            if endpoint is None:
                self.core.lost(lane, route, self.now)
            else:
                endpoint.take_frame(lane, frame)

    def advance(self, seconds: float) -> None:
        """Let time pass, with a turn whenever the core wants one."""
        end = self.now + seconds
        self.turn()
        while (timer := self.core.next_timer()) is not None and timer <= end:
            self.now = max(self.now, timer)
            self.turn()
        self.now = end
        self.turn()

    def attachment(self, name: str) -> Attachment:
        """An attachment by the name it said hello with."""
        return self.core.registry.attachments[name]

    def session(self, name: str) -> Session:
        """A session by name."""
        return self.core.directory.peers[name]

    def receiving(self, name: str, lane: Lane = Lane.CRITICAL) -> Receiving:
        """A session as a receiver on one lane."""
        return self.session(name).receiving[lane]

    def problems(self) -> list[str]:
        """What is wrong in the core's state: the audit's findings, and sums that do not agree with what they sum."""
        core = self.core
        problems = list(audit(core).problems)
        for attachment in core.registry.attachments.values():
            problems.extend(self._sums(attachment))
            problems.extend(
                f"{attachment.name} has ends to report of session {index}, which is not open"
                for index, lane in attachment.reporting
                if index not in attachment.sessions and not attachment.targeted
            )
        for origin, session in core.registry.ended.items():
            if session.origin != origin or not session.ended:
                problems.append(f"{session!r} is filed as ended")
        return problems

    def _sums(self, attachment: Attachment) -> Iterator[str]:
        for lane in LANES:
            out = attachment.outbound[lane]
            queued = sum(event.size for event, _ in out.queue)
            if out.queued_bytes != queued:
                yield f"{attachment.name} {lane.label}: {out.queued_bytes} bytes queued, really {queued}"
            if not places_are_right(out.places, [event for event, _ in out.queue]):
                yield f"{attachment.name} {lane.label}: a latest value is not where it should be"
            unacked = sum(sent.size for sent in out.unacked)
            if out.unacked_bytes != unacked:
                yield f"{attachment.name} {lane.label}: {out.unacked_bytes} bytes unacknowledged, really {unacked}"
            if not 0 <= out.resent <= len(out.queue):
                yield f"{attachment.name} {lane.label}: {out.resent} of {len(out.queue)} to send again"
            for session in attachment.sessions.values():
                receiving = session.receiving[lane]
                waiting = sum(event.size for event in receiving.waiting)
                if receiving.waiting_bytes != waiting:
                    yield f"{session.name} {lane.label}: {receiving.waiting_bytes} bytes wait, really {waiting}"
                committed = sum(
                    event.size for numbers in receiving.unsettled.values() for event in numbers.values()
                ) + sum(
                    event.size
                    for position, (event, sessions) in enumerate(out.queue)
                    if session in sessions and position >= out.resent
                )
                if receiving.committed_bytes != committed:
                    held = receiving.committed_bytes
                    yield f"{session.name} {lane.label}: {held} bytes on credit, really {committed}"
                if not values_are_right(receiving.waiting):
                    yield f"{session.name} {lane.label}: a latest value is not where it should be"
                if not all(receiving.unsettled.values()):
                    yield f"{session.name} {lane.label}: empty entries of senders"


def places_are_right(places: Places, queue: list[Event]) -> bool:
    """Whether each place that is remembered is that of an event in the queue."""
    return all(
        0 <= position - places._head < len(queue) and queue[position - places._head] is event
        for position, event in places._at.values()
    )


def values_are_right(backlog: Backlog) -> bool:
    """Whether each place of a latest value that waits is that of an event which waits."""
    return all(
        places_are_right(parts.places, [event for event in backlog if event.shared is shared])
        for parts, shared in ((backlog._own, False), (backlog._shared, True))
        if parts is not None
    )
