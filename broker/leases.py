"""Leases: how an attachment's links are, when they count as lost though nothing says so, and when its time is over."""

from __future__ import annotations

from lanebus.broker.attachment import Attachment
from lanebus.conf.model import SessionsConfig
from lanebus.wire.header import NUMBERS_USED_UP
from lanebus.wire.lanes import Lane


def state_of(attachment: Attachment) -> str:
    """``up`` with all its links, ``joining`` with some; without any ``stalled`` or ``away``."""
    links = sum(link is not None for link in attachment.links)
    if links:
        return "up" if links == len(attachment.links) else "joining"
    return "away" if attachment.stalled is None else "stalled"


def is_silent(attachment: Attachment, sessions: SessionsConfig, now: float) -> bool:
    """Whether nothing has come from it for the lease."""
    return now - attachment.last_seen > sessions.lease_s


def why_lost(attachment: Attachment, sessions: SessionsConfig, now: float) -> str | None:
    """Why the links of an attachment are to be given up; None if they are not, or there are none."""
    critical = attachment.links[Lane.CRITICAL]
    if critical is None:
        return None
    if is_silent(attachment, sessions, now):
        return f"has been silent for {now - attachment.last_seen:.1f} s"
    if any(out.unacked and now - out.unacked[0].at > sessions.lease_s for out in attachment.outbound):
        # Other lanes may be well: one that takes nothing any more is lost all the same.
        return "acknowledges nothing on one of its lanes"
    if any(out.next_number > NUMBERS_USED_UP for out in attachment.outbound):
        return "needs fresh links: the numbers of batches are used up"
    if None in attachment.links and now - critical.since > sessions.hello_timeout_s:
        return "did not complete its links"
    return None


def why_over(attachment: Attachment, sessions: SessionsConfig, now: float) -> str | None:
    """Why an attachment's time is over; None if it is not, or if it has another end, since it is only expected.

    It has the grace period to come back, from its last link's end or from the end of a connection that outlived that.
    """
    away_since = attachment.away_since
    if away_since is None or attachment.expected:
        return None
    if attachment.stalled is not None:
        limit_s = max(sessions.stalled_s, sessions.grace_s)
        return f"was stalled for {limit_s:.0f} s" if now - away_since > limit_s else None
    if now - max(away_since, attachment.alive_at) > sessions.grace_s:
        return f"did not come back within {sessions.grace_s:.0f} s"
    return None
