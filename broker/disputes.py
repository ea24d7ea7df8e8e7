"""Disputes: a living peer's own book says something else than the broker's, though nothing of it is under way."""

from __future__ import annotations

from typing import Final, NamedTuple

from lanebus.broker.attachment import Attachment
from lanebus.broker.peer_reports import at_sender
from lanebus.broker.sessions import Session
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import OUTCOME_NAMES

INTERVALS: Final = 1.8
"""How long both books have to stay as they are, in intervals between two reports: the last settlement, or event, may
have crossed the first report, and the third may come a little early."""

LEASES: Final = 2.0
"""The same, in leases, of events that the peer has in flight and the broker has never had."""

_BOOK_NAMES: Final = ("accepted", *OUTCOME_NAMES)


class Dispute(NamedTuple):
    """Two books of a session on one lane that differ at rest."""

    told: list[int]
    """What the peer says."""
    booked: list[int]
    """What the broker has."""
    since: float
    """When a report said so first."""
    last: float
    """When one said so last."""


def look(attachment: Attachment, now: float) -> None:
    """A process has reported: note which of its sessions' books differ while nothing is under way."""
    for session in attachment.sessions.values():
        reported = session.reported
        # One that has never said anything of its books is no witness.
        if reported is None or all(
            told == sending.book for told, sending in zip(reported, session.sending, strict=True)
        ):
            if session.disputes:
                session.disputes = {}
            continue
        disputes: dict[Lane, Dispute] = {}
        for lane in LANES:
            told, booked = reported[lane].as_list(), session.sending[lane].book.as_list()
            if told == booked or not _at_rest(session, lane):
                continue
            before = session.disputes.get(lane)
            since = now
            if before is not None and (before.told, before.booked) == (told, booked):
                since = before.since
            disputes[lane] = Dispute(told, booked, since, now)
        session.disputes = disputes


def _at_rest(session: Session, lane: Lane) -> bool:
    """Whether nothing that a session sends on a lane is under way, as far as the broker knows."""
    sending = session.sending[lane]
    link = session.attachment.links[lane]
    return (
        sending.book.in_flight == 0
        and not sending.held_from
        and link is not None
        and not link.parked
        and not at_sender(session, lane)[0]
    )


def lasting(session: Session, interval_s: float, lease_s: float) -> list[str]:
    """The disputes that time does not end, in words; none where the session's peer is away.

    Args:
        interval_s: between two reports.
        lease_s: how long a link may swallow what its peer has sent until it is given up.
    """
    if session.ended or session.attachment.away_since is not None:
        return []
    return [
        f"{session.name} says on {lane.label}: {_written(dispute.told)}; the broker has: {_written(dispute.booked)}"
        for lane, dispute in session.disputes.items()
        if dispute.last - dispute.since >= _patience_s(dispute, interval_s, lease_s)
        and dispute.booked == session.sending[lane].book.as_list()
        and _at_rest(session, lane)
    ]


def _patience_s(dispute: Dispute, interval_s: float, lease_s: float) -> float:
    """How long a dispute has to last: what a peer still has in flight may be on a link that swallows it."""
    accepted, *ended = dispute.told
    if accepted > sum(ended) and accepted > dispute.booked[0]:
        return max(INTERVALS * interval_s, LEASES * lease_s)
    return INTERVALS * interval_s


def _written(figures: list[int]) -> str:
    return (
        ", ".join(f"{count:,} {name}" for name, count in zip(_BOOK_NAMES, figures, strict=True) if count)
        or "nothing"
    )
