"""What the control endpoint says of services and groups."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lanebus.broker.core import BrokerCore
from lanebus.broker.health import InstanceFigures, service_symptoms, shown
from lanebus.broker.sessions import Session
from lanebus.wire.services import BUS


def services(core: BrokerCore, now: float) -> list[dict[str, Any]]:
    """Every instance of every service, the broker's own first, in the order in which they are to be started."""
    health = service_health(core)
    clients: Counter[tuple[str, str]] = Counter()
    for session in core.registry.sessions():
        clients.update(session.served_by.items())
    return [
        {
            "service": instance.service,
            "instance": instance.name,
            "state": instance.state.value,
            "reason": instance.reason,
            "since_s": now - (instance.since if instance.since is not None else now),
            "version": instance.facts.version,
            "priority": instance.facts.priority,
            "weight": instance.facts.weight,
            "tags": list(instance.facts.tags),
            "depends_on": list(instance.facts.depends_on),
            "clients": clients[instance.service, instance.name],
            "service_health": health[instance.service],
        }
        for instance in core.directory.catalog.all()
    ]


def service_health(core: BrokerCore) -> dict[str, dict[str, Any]]:
    """How well every service is, and why it is not, by its name; that of the broker itself is its own."""
    return {BUS: shown(core.bus.symptoms)} | {
        name: shown(
            service_symptoms(
                [
                    InstanceFigures(each.name, each.state, each.reason)
                    for _, each in sorted(service.instances.items())
                ]
            )
        )
        for name, service in sorted(core.directory.catalog.by_name.items())
    }


def groups(core: BrokerCore) -> list[dict[str, Any]]:
    """Every group, with how many members it has and who put them in."""
    directory = core.directory
    return [
        {
            "group": group,
            "members": len(members),
            "keepers": sorted({directory.keeper(group, member) for member in members}),
        }
        for group, members in sorted(directory.groups.items())
    ]


def members(core: BrokerCore, group: object) -> list[dict[str, Any]]:
    """The members of one group.

    Raises:
        ValueError: there is no such group.
    """
    found = core.directory.groups.get(group) if isinstance(group, str) else None
    if found is None:
        raise ValueError(f"no group {group!r}: it has no member, or never had one")
    return [
        _member(session, core.directory.keeper(str(group), name)) for name, session in sorted(found.items())
    ]


def _member(session: Session, keeper: str) -> dict[str, Any]:
    attachment = session.attachment
    return {
        "member": session.name,
        "role": session.role.value,
        "via": attachment.name if attachment.targeted else None,
        "state": "up" if any(attachment.live_links()) else "away",
        "keeper": keeper,
    }
