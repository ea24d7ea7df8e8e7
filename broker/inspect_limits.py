"""What the control endpoint says of limits, and how it changes them while the broker runs."""

from __future__ import annotations

from typing import Any

import msgspec

from lanebus.broker.allowance import Allowance
from lanebus.broker.core import BrokerCore
from lanebus.broker.name_rules import matches
from lanebus.broker.portions import Work
from lanebus.broker.sessions import Session
from lanebus.broker.throttling import throttled
from lanebus.broker.unknown import session_of
from lanebus.wire.lanes import LANES


def limits(core: BrokerCore) -> list[dict[str, Any]]:
    """Every policy, those that count first at the top: what was set at run time, then the configuration, then roles.

    Of a policy for names, None stands where the role's setting counts.
    """
    policy = core.config.policy
    changes = [("changed", each) for each in reversed(core.policies.changes.values())]
    rows = [*changes, *(("configured", each) for each in policy.peers)]
    return [
        *({"source": source, **msgspec.to_builtins(each)} for source, each in rows),
        {"source": "role", "match": "player:*", **msgspec.to_builtins(policy.client)},
        {"source": "role", "match": "server:*", **msgspec.to_builtins(policy.server)},
    ]


def limits_of(core: BrokerCore, name: object, now: float) -> dict[str, Any]:
    """One session's policy, and how much of it is used up.

    Raises:
        Unknown: there is no session of that name.
    """
    session = session_of(core, name)
    known = session.limits
    return {
        "name": session.name,
        "policy": msgspec.to_builtins(core.policies.of(session.name, session.role)),
        "used": {
            "events_per_s": _used(known.events if known else None, now),
            "up_bytes_per_s": _used(known.up_bytes if known else None, now),
            "down_bytes_per_s": _used(known.down if known else None, now),
            "error_budget": core.violations.used_share(session.name, now),
        },
        "throttled": {
            lane.label: {"limit": over.limit, "wait_s": over.wait_s}
            for lane in LANES
            if (over := throttled(session, lane, now)) is not None
        },
        "throttled_events": {lane.label: session.traffic[lane].throttled for lane in LANES},
        "shaped": {
            lane.label: session.receiving[lane].waiting_bytes
            for lane in LANES
            if session.receiving[lane].shaped
        },
    }


def _used(allowance: Allowance | None, now: float) -> float | None:
    if allowance is None:
        return None
    allowance.refill(now)
    return allowance.used_share


def change_limits(core: BrokerCore, match: object, settings: object, now: float) -> Work[dict[str, Any]]:
    """Set other limits for the peers whose names match, those that are there included; none: take them back.

    Raises:
        ValueError: the change means nothing, or is one too many.
    """
    if not isinstance(match, str) or not isinstance(settings, dict):
        raise ValueError("a change of limits names the peers, and the settings by name")
    core.policies.change(match, settings)
    # Who comes from now on gets the new ones, and is passed over.
    changed = []
    for session in list(core.registry.sessions()):
        if not session.ended and matches(match, session.name) and apply_policy(core, session, now):
            changed.append(session.name)
        now = yield
    return {"sessions": changed}


def apply_policy(core: BrokerCore, session: Session, now: float) -> bool:
    """Hold a session to the policy that counts now; whether that is another one than before."""
    policy = core.policies.of(session.name, session.role)
    if session.limits is None:
        session.limits = core.policies.limits(session.name, session.role, now)
        if session.limits is None:
            return False
    elif session.limits.policy == policy:
        return False
    else:
        session.limits.change(policy, now)
    core.throttling.changed(session)
    session.limit_egress()
    for lane in LANES:
        core.egress.shaping.forget(session, lane, now)
    if not session.attachment.targeted:
        session.attachment.line.floods = session.limits.floods
    return True
