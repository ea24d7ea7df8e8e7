"""The welcome: what the broker tells a peer of itself, and what holds between the two."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from lanebus.broker.attachment import Attachment
from lanebus.conf.model import Config
from lanebus.wire.header import VERSION
from lanebus.wire.messages import Limits, Revoked, Welcome


def make_welcome(
    config: Config,
    epoch: bytes,
    attachment: Attachment,
    ports: Sequence[int],
    *,
    event_bytes: int,
    resumed: bool,
    clock: int,
    revoked: list[Revoked],
) -> Welcome:
    """The answer to a hello.

    Args:
        attachment: whose hello it was.
        ports: of the lanes, as they are bound.
        event_bytes: the largest payload that it may send.
        resumed: whether the broker still knew the attachment.
        clock: ticks since the broker's start.
        revoked: parts that the peer was sent and that others have got since.
    """
    lanes = (config.lanes.critical, config.lanes.normal, config.lanes.low)
    limits = config.limits
    floods = attachment.line.floods
    per_s, at_once = (0.0, 0.0) if floods is None else floods.control_messages
    return Welcome(
        version=VERSION,
        broker=config.broker.name,
        epoch=epoch,
        token=attachment.token,
        resumed=resumed,
        generation=attachment.generation,
        host=config.broker.advertise,
        ports=list(ports),
        clock=clock,
        intervals_ms=[lane.interval_ms for lane in lanes],
        holds_ms=[lane.hold_ms for lane in lanes],
        window_batches=config.window.batches,
        window_bytes=config.window.bytes,
        batch_bytes=config.egress.batch_bytes,
        credit_bytes=config.egress.credit_bytes,
        control_interval_ms=config.window.control_interval_ms,
        ping_interval_ms=config.sessions.ping_interval_s * 1e3,
        failover_ms=config.sessions.failover_s * 1e3,
        lease_ms=config.sessions.lease_s * 1e3,
        compression_threshold_bytes=config.compression.threshold_bytes,
        revoked=revoked,
        linked=attachment.linked or UNSET,
        limits=Limits(
            frame_bytes=limits.frame_bytes,
            raw_bytes=limits.raw_bytes,
            event_bytes=event_bytes,
            batch_events=limits.batch_events,
            destinations=limits.destinations,
            control_messages_per_s=per_s,
            control_messages=int(at_once),
        ),
    )
