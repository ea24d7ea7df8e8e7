"""Leases: how an attachment's links are, when they count as lost though nothing says so, and when its time is over."""

from __future__ import annotations

from lanebus.broker.sessions import Attachment
from lanebus.conf.model import SessionsConfig
from lanebus.wire.lanes import Lane


def state_of(attachment: Attachment) -> str:
    """``up`` with all its links, ``joining`` with some, ``away`` without any."""
    links = sum(link is not None for link in attachment.links)
    return "up" if links == len(attachment.links) else "joining" if links else "away"


def why_lost(attachment: Attachment, sessions: SessionsConfig, now: float) -> str | None:
    """Why the links of an attachment are to be given up; None if they are not, or there are none."""
    critical = attachment.links[Lane.CRITICAL]
    if critical is None:
        return None
    if now - attachment.last_seen > sessions.lease_s:
        return f"has been silent for {now - attachment.last_seen:.1f} s"
    if any(out.unacked and now - out.unacked[0].at > sessions.lease_s for out in attachment.outbound):
        # Other lanes may be well: one that takes nothing any more is lost all the same.
        return "acknowledges nothing on one of its lanes"
    if None in attachment.links and now - critical.since > sessions.hello_timeout_s:
        return "did not complete its links"
    return None


def is_over(attachment: Attachment, sessions: SessionsConfig, now: float) -> bool:
    """Whether an attachment has been away for longer than the grace period; who is only expected has another end."""
    away_since = attachment.away_since
    return away_since is not None and not attachment.expected and now - away_since > sessions.grace_s
