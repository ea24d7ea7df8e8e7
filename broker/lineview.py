"""What the control endpoint shows of lines: a peer's figures of the moment, and their history."""

from __future__ import annotations

from math import inf
from typing import Any

from lanebus.broker.line import APP, DEVIATION, LOST, NETWORK, SENT
from lanebus.broker.lines import queue_ms
from lanebus.broker.sessions import Session
from lanebus.broker.stalls import away_reason
from lanebus.wire.quality import Degree
from lanebus.wire.ring import PERCENTILE_FLOORS, percentile

_COLUMNS = {
    "app_rtt_ms": APP,
    "network_rtt_ms": NETWORK,
    "deviation_ms": DEVIATION,
    "sent": SENT,
    "lost": LOST,
}


def line_figures(session: Session, now: float) -> dict[str, Any]:
    """How a session's connection is: the figures of the present window, the judgement, and how stable it was."""
    quality, line = session.quality, session.attachment.line
    judgement = quality.judgement
    degree, reason = judgement.degree, judgement.reason
    if session.attachment.away_since is not None:
        degree, reason = Degree.LOST, away_reason(session.attachment)
    figures = quality.figures(line, queue_ms(session, now), now)
    return {
        "rtt_ms": figures.rtt_ms,
        "network_rtt_ms": quality.mean_of(line, NETWORK, now),
        "app_rtt_ms": quality.mean_of(line, APP, now),
        "outside_rtt_ms": quality.outside_ms,
        "jitter_ms": figures.jitter_ms,
        "loss_share": figures.loss_share,
        "queue_ms": figures.queue_ms,
        "quality": degree.value,
        "reason": reason,
        "score": judgement.score,
        "resumes": quality.resumes,
        "outages": quality.outages,
        "longest_outage_s": quality.longest_s(now),
    }


def history(session: Session, now: float) -> dict[str, Any]:
    """A session's figures, its line's samples and its quality's changes, oldest first, with their ages in seconds.

    Percentiles are, like the figures, with what lies beyond a gateway; samples are of the line alone.
    """
    line, quality = session.attachment.line, session.quality
    reported = line.reported
    return {
        "name": session.name,
        "via": session.attachment.name if session.attachment.targeted else None,
        "connected_s": now - session.since,
        **line_figures(session, now),
        "reported": None
        if reported is None
        else {
            "quality": reported.degree.value,
            "reason": reported.reason,
            "age_s": now - reported.at,
        },
        "percentiles": {
            name: {f"p{share * 100:.0f}": percentile(known, share) for share in PERCENTILE_FLOORS}
            for name in ("network_rtt_ms", "app_rtt_ms")
            for known in [
                [(quality.outside_ms or 0.0) + rtt for rtt in line.ring.since(-inf, _COLUMNS[name])]
            ]
        },
        "samples": [
            {
                "age_s": now - at,
                "before_reconnect": at < line.since,
                **{name: row[column] for name, column in _COLUMNS.items()},
            }
            for at, row in line.ring.rows()
        ],
        "changes": [
            {
                "age_s": now - change.at,
                "before": change.before.value,
                "after": change.after.value,
                "reason": change.reason,
            }
            for change in quality.changes
        ],
    }
