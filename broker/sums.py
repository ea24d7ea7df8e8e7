"""Sums over all sessions, for metrics: counters that never fall, and how many there are of what, with bounded names."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lanebus.broker.alerts import AlertKind
from lanebus.broker.core import BrokerCore
from lanebus.broker.survey import LaneSurvey, Survey
from lanebus.broker.totals import Totals
from lanebus.broker.traffic import Traffic
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import WITHHELD, Outcome
from lanebus.wire.quality import Degree


def sums(core: BrokerCore, found: Survey, now: float) -> dict[str, Any]:
    """Plain values that MessagePack holds, all of the broker as a whole; no name in them is a peer's."""
    counters, registry, summed = core.counters, core.registry, found.totals
    lasting = Counter(alert.kind for alert in core.alerts if alert.ended is None)
    instances = [
        instance for service in core.directory.services.values() for instance in service.instances.values()
    ]
    return {
        "sessions_begun": registry.begun,
        "sessions": {
            role.value: {degree.value: found.degrees[role, degree] for degree in Degree}
            for role in registry.totals.traffic
        },
        "traffic": {
            role.value: {lane.label: _traffic(lanes[lane]) for lane in LANES}
            for role, lanes in summed.traffic.items()
        },
        "ended": {lane.label: _ended(summed, lane) for lane in LANES},
        "withheld": {
            lane.label: {
                outcome.label: number for outcome, number in zip(WITHHELD, summed.withheld[lane], strict=True)
            }
            for lane in LANES
        },
        "queues": {lane.label: _queues(found.lanes[lane], now) for lane in LANES},
        "limits": {
            "queue_bytes": core.config.egress.queue_bytes,
            "credit_bytes": core.config.egress.credit_bytes,
            "attachments": registry.room,
        },
        "turns": {"busy": counters.busy.as_list(), "late": counters.late.as_list()},
        "held": {lane.label: counters.held[lane].as_list() for lane in LANES},
        "shaped": {lane.label: core.egress.shaping.waited[lane].as_list() for lane in LANES},
        "alerts": {kind.value: lasting[kind] for kind in AlertKind},
        "alerts_begun": {kind.value: number for kind, number in core.alerts.begun.items()},
        "instances": [
            [service, state, number]
            for (service, state), number in sorted(
                Counter((instance.service, instance.state.value) for instance in instances).items()
            )
        ],
    }


def _traffic(traffic: Traffic) -> dict[str, int]:
    return {name: getattr(traffic, name) for name in Traffic.COUNTERS}


def _ended(summed: Totals, lane: Lane) -> list[list[Any]]:
    """Outcome, reason and number, of events that came here."""
    delivered = summed.events[lane].ended[Outcome.DELIVERED]
    return [
        [Outcome.DELIVERED.label, "", delivered],
        *(
            [outcome.label, reason.value, number]
            for (outcome, reason), number in sorted(summed.reasons[lane].items())
        ),
    ]


def _queues(lane: LaneSurvey, now: float) -> dict[str, float]:
    """For how many sessions parts wait, the fullest of their queues, the oldest part; and what waits at senders."""
    return {
        "waiting_sessions": lane.waiting_sessions,
        "shaped_sessions": lane.shaped_sessions,
        "fullest_bytes": lane.fullest_bytes,
        "at_sender_events": lane.at_sender_events,
        "at_sender_bytes": lane.at_sender_bytes,
        "oldest_age_s": now - lane.oldest,
    }
