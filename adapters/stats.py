"""An adapter's figures as plain values: what an overlay in a game, or a log line, shows of its connection."""

from __future__ import annotations

from typing import Any

from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.handler_times import HandlerTimes
from lanebus.adapters.quality import ConnectionQuality
from lanebus.adapters.retry import Retry
from lanebus.adapters.throttle import ThrottledLane
from lanebus.adapters.turns import Turns
from lanebus.wire.lanes import LANES, Lane


def adapter_stats(
    core: AttachmentCore,
    quality: ConnectionQuality,
    retry: Retry,
    throttled: list[ThrottledLane],
    times: HandlerTimes,
    turns: Turns,
) -> dict[str, Any]:
    """All figures of one adapter, those of the sessions behind it together; see `Adapter.stats`."""
    rtt_s = core.clock.rtt_s
    return {
        "name": core.name,
        "role": core.role.value,
        "state": core.state.value,
        "state_reason": core.state_reason,
        "ping_ms": None if rtt_s is None else rtt_s * 1e3,
        "quality": quality._asdict() | {"label": quality.label.value},
        "reconnects": max(0, core.connects - 1),
        "retry": retry._asdict(),
        "throttled": [each._asdict() | {"lane": each.lane.label} for each in throttled],
        "outbox": _outbox(core),
        "in_flight": sum(session.outbox.in_flight for session in core.sessions.values()),
        "requests_pending": len(core.requests),
        "lanes": {lane.label: _lane(core, lane, times) for lane in LANES},
        "control": {
            "messages_out": core.control_messages_out,
            "bytes_out": core.control_bytes_out,
            "messages_in": core.control_messages_in,
            "bytes_in": core.control_bytes_in,
        },
        "turns": {"longest_gap_s": turns.longest_gap_s, "stalls": turns.stalls},
        "handler_errors": sum(session.handlers.errors for session in core.sessions.values()),
        "unhandled": [row for session in core.sessions.values() for row in session.unhandled.rows()],
        "handlers": times.rows(),
    }


def _outbox(core: AttachmentCore) -> dict[str, Any]:
    outboxes = [session.outbox for session in core.sessions.values()]
    return {
        "bytes": sum(outbox.held_bytes for outbox in outboxes),
        "limit_bytes": sum(outbox.limit_bytes for outbox in outboxes),
        # Of the fullest: each session behind a gateway meets a limit of its own.
        "share": max((outbox.held_bytes / (outbox.limit_bytes or 1) for outbox in outboxes), default=0.0),
    }


def _lane(core: AttachmentCore, lane: Lane, times: HandlerTimes) -> dict[str, Any]:
    out = core.outgoing.lanes[lane]
    return {
        **out.stats.as_dict(),
        "queued_events": len(out.queue),
        "in_flight": sum(len(session.outbox.unsettled[lane]) for session in core.sessions.values()),
        "waiting_events": len(core.incoming.arrivals[lane]),
        "handler_budget_ms": times.budget_ms(lane),
        "over_budget": times.over_budget(lane),
    }
