"""Why a peer's events are late, or its session has ended: the evidence from the broker's state, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from math import inf
from typing import Any, Final

import msgspec

from lanebus.broker.core import BrokerCore
from lanebus.broker.events import Event
from lanebus.broker.handling import slow
from lanebus.broker.health import LOOP_LATE, LOOP_STILL, Condition
from lanebus.broker.line import LATE
from lanebus.broker.peer_reports import at_sender, handled_p99_ms
from lanebus.broker.refusals import LATELY_S, Refusal
from lanebus.broker.sessions import Session
from lanebus.broker.slow_receivers import handlerless, held
from lanebus.broker.tcpinfo import Look, Signs
from lanebus.broker.throttling import throttled
from lanebus.broker.unknown import unknown
from lanebus.broker.verdict import Evidence, Refused, SlowTopic, Unhandled, Waits, verdicts
from lanebus.wire.lanes import LANES

MOST_WAITS: Final = 5
"""Receivers that are named."""
MOST_REFUSED: Final = 5
"""Topics that are named, of those that were refused, and of those without a handler."""
_MOST_LOOKED_AT: Final = 4096
"""Parts in one queue of a receiver among which a sender's are looked for."""
_ACKNOWLEDGED_SINCE_S: Final = 0.5
"""What a kernel acknowledges so long after its process' last word is not that word's own."""

Ask = Callable[[Look], Signs | None]
"""How the kernel is asked of a connection."""


def why(core: BrokerCore, name: object, ask: Ask, now: float) -> dict[str, Any]:
    """What is known of a peer: of its session a ranked verdict with its evidence, and why earlier ones ended.

    Raises:
        Unknown: nothing is known of that name.
    """
    if not isinstance(name, str):
        raise unknown(core, name)
    session = core.directory.peers.get(name)
    closed = core.registry.closed.of(name, now)
    if session is None and not closed:
        raise unknown(core, name)
    answer: dict[str, Any] = {"name": name, "session": None, "verdicts": [], "evidence": None}
    if session is not None:
        found = evidence(core, session, ask, now)
        attachment = session.attachment
        answer |= {
            "session": {
                "role": session.role.value,
                "via": attachment.name if attachment.targeted else None,
                "connected_s": now - session.since,
            },
            "verdicts": [verdict._asdict() for verdict in verdicts(found)],
            "evidence": msgspec.structs.asdict(found)
            | {
                name: [each._asdict() for each in getattr(found, name)]
                for name in ("waits_for", "refused", "refuses", "unhandled", "slow_topics")
            },
        }
    return {**answer, "closed": closed, "closed_remembered": len(core.registry.closed)}


def evidence(core: BrokerCore, session: Session, ask: Ask, now: float) -> Evidence:
    """Everything that a verdict of a session is made from."""
    attachment = session.attachment
    judgement = session.quality.judgement
    away_since = attachment.away_since
    away_s, lost_reason = _away(session, now)
    silence_s = now - attachment.last_seen
    tolerable_s = LATE * core.config.sessions.ping_interval_s
    is_silent = away_since is None and silence_s > tolerable_s
    was_silent = away_since is not None and away_since - attachment.last_seen > tolerable_s
    look = attachment.line.look
    machine_answers = answers(silence_s, ask(look)) if look and (is_silent or was_silent) else None
    settled = [
        settled_us / 1e3
        for traffic in session.traffic
        if (lately := traffic.settled_lately) is not None
        if (settled_us := lately.quantile_us(0.99)) is not None
    ]
    without = handlerless(session)
    holding = [held(receiving, now, without=without) for receiving in session.receiving]
    refusals = core.settling.refusals
    late_p99_ms, late_max_ms = core.bus.lateness_ms()
    return Evidence(
        away_s=away_s,
        lost_reason=lost_reason,
        silent_s=silence_s if is_silent else None,
        tolerable_silence_s=tolerable_s,
        machine_answers=machine_answers,
        quality=judgement.degree.value,
        quality_reason=judgement.reason,
        settled_p99_ms=max(settled, default=None),
        oldest_age_s=max(each["oldest_age_s"] for each in holding),
        held_bytes=int(sum(each["held_bytes"] for each in holding)),
        dropped=int(sum(each["dropped"] for each in holding)),
        waits_for=_waits(core, session, now),
        broker_late_p99_ms=late_p99_ms,
        broker_late_max_ms=late_max_ms,
        tolerable_still_ms=core.config.alerts.loop_late_s * 1e3,
        broker_fails=_broker_fails(core),
        **_limited(session, now),
        violations=core.violations.lately(session.name, now),
        refused=[
            Refused(each.topic, each.reason.value, each.receiver, each.count, now - each.last)
            for each in _lately(refusals.of_sender(session.name), now)
        ],
        refuses=[
            Refused(each.topic, each.reason.value, each.sender, each.count, now - each.last)
            for each in _lately(refusals.by_receiver(session.name), now)
        ],
        unhandled=_unhandled(core, session),
        handled_p99_ms=[(lane, ms) for lane, ms in handled_p99_ms(session).items() if ms is not None],
        slow_topics=[
            SlowTopic(
                each.times.topic,
                each.times.lane.label,
                each.times.max_us / 1e3,
                each.times.budget_us / 1e3,
                each.over,
                each.events,
            )
            for each in slow(attachment.topics, now)[:MOST_REFUSED]
        ],
    )


def _lately(refusals: list[Refusal], now: float) -> list[Refusal]:
    return [each for each in refusals if now - each.last <= LATELY_S][:MOST_REFUSED]


def _unhandled(core: BrokerCore, session: Session) -> list[Unhandled]:
    """What waits for a handler that does not exist, of what it sends or is sent."""
    found = [
        Unhandled(receiver.name, each.sender, each.topic, each.events)
        for receiver in core.registry.sessions()
        for each in receiver.unhandled
        if receiver is session or each.sender == session.name
    ]
    return found[:MOST_REFUSED]


def _away(session: Session, now: float) -> tuple[float | None, str]:
    """For how long a session has had no links, and why; None while it has some."""
    attachment = session.attachment
    if attachment.away_since is None:
        return None, ""
    if not attachment.expected:
        return now - attachment.away_since, attachment.line.lost_reason
    return now - attachment.away_since, "it has not come back since the broker's start"


def _limited(session: Session, now: float) -> dict[str, Any]:
    """What limits hold back, as the fields of `Evidence` for it."""
    shaped = [receiving for receiving in session.receiving if receiving.shaped and receiving.waiting]
    at_sender_events, at_sender_bytes = at_sender(session)
    return {
        "at_sender_events": at_sender_events,
        "at_sender_bytes": at_sender_bytes,
        "throttled": [
            (lane.label, over.limit, over.wait_s)
            for lane in LANES
            if (over := throttled(session, lane, now)) is not None
        ],
        "shaped_bytes": sum(receiving.waiting_bytes for receiving in shaped),
        "shaped_age_s": max((now - receiving.waiting.oldest.arrived for receiving in shaped), default=0.0),
    }


def answers(silent_s: float, signs: Signs | None) -> bool | None:
    """Whether the machine of a silent process answers; None where the kernel cannot know."""
    if signs is None:
        return None
    if signs.is_retrying:
        return False
    # libzmq says something every five seconds, whoever has nothing to say.
    return True if signs.acknowledged_ago_s < silent_s - _ACKNOWLEDGED_SINCE_S else None


def _broker_fails(core: BrokerCore) -> list[str]:
    found = [
        f"the broker: {symptom}"
        for symptom in core.bus.symptoms
        if symptom.condition is Condition.FAILING and symptom.name not in (LOOP_LATE, LOOP_STILL)
    ]
    if core.draining.active:
        found.append("the broker is draining")
    return found


def _waits(core: BrokerCore, sender: Session, now: float) -> list[Waits]:
    """Who has not settled events of `sender`, the worst first."""
    found = [waits for receiver in core.registry.sessions() for waits in _waits_of(receiver, sender, now)]
    unresolved = [event for sending in sender.sending for event, _ in sending.unresolved]
    if unresolved:
        oldest = min(event.arrived for event in unresolved)
        absent = "a service or group that has not come back since the broker's start"
        found.append(Waits(absent, len(unresolved), now - oldest, False))
    found.sort(key=lambda waits: (not waits.is_paused, -waits.oldest_age_s))
    return found[:MOST_WAITS]


def _waits_of(receiver: Session, sender: Session, now: float) -> Iterator[Waits]:
    count, age_s = 0, 0.0
    is_paused = False
    is_away = receiver.attachment.away_since is not None
    without = handlerless(receiver)
    for lane in LANES:
        receiving = receiver.receiving[lane]
        unsettled: Iterable[Event] = receiving.unsettled.get(sender.origin, {}).values()
        if without:
            unsettled = [event for event in unsettled if event.topic() not in without]
        for event in unsettled:
            count += 1
            age_s = max(age_s, now - (event.arrived if is_away else event.sent))
        if receiving.waiting or receiving.suspects:
            queued = chain(receiving.suspects, receiving.waiting)
            mine = [event for event in islice(queued, _MOST_LOOKED_AT) if event.origin is sender]
            count += len(mine)
            # A receiver keeps them waiting for no longer than it has had the oldest of what is in front of them.
            most_s = inf if is_away else held(receiving, now, without=without)["oldest_age_s"]
            age_s = max([age_s, *(min(most_s, now - event.arrived) for event in mine)])
        is_paused = is_paused or any(paused is sender for paused, _ in receiving.paused)
    if count or is_paused:
        yield Waits(receiver.name, count, age_s, is_paused)
