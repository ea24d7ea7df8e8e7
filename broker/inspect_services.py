"""What the control endpoint says of services and groups."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lanebus.broker.core import BrokerCore
from lanebus.broker.health import InstanceFigures, service_symptoms, shown
from lanebus.broker.portions import Rows, Work, rows
from lanebus.broker.sessions import Session
from lanebus.broker.unknown import Unknown
from lanebus.wire.services import BUS


def services(core: BrokerCore, now: float) -> Work[list[dict[str, Any]]]:
    """Every instance of every service, the broker's own first, in the order in which they are to be started."""
    clients: Counter[tuple[str, str]] = Counter()
    for session in list(core.registry.sessions()):
        if not session.ended:
            clients.update(session.served_by.items())
        now = yield
    health = service_health(core)
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


def groups(core: BrokerCore, now: float) -> Work[Rows]:
    """Every group, with how many members it has and who put them in."""
    directory = core.directory

    def row(group: str, now: float) -> dict[str, Any] | None:
        members = directory.groups.get(group)
        if members is None:
            return None
        keepers = sorted({directory.keeper(group, member) for member in members})
        return {"group": group, "members": len(members), "keepers": keepers}

    return rows(sorted(directory.groups), row, now)


def members(core: BrokerCore, group: object, now: float) -> Work[Rows]:
    """The members of one group.

    Raises:
        Unknown: there is no such group.
    """
    found = core.directory.groups.get(group) if isinstance(group, str) else None
    if found is None:
        raise Unknown(f"no group {group!r}: it has no member, or never had one")
    directory = core.directory

    def row(member: str, now: float) -> dict[str, Any] | None:
        session = found.get(member)
        return None if session is None else _member(session, directory.keeper(str(group), member))

    return rows(sorted(found), row, now)


def _member(session: Session, keeper: str) -> dict[str, Any]:
    attachment = session.attachment
    return {
        "member": session.name,
        "role": session.role.value,
        "via": attachment.name if attachment.targeted else None,
        "state": "up" if any(attachment.live_links()) else "away",
        "keeper": keeper,
    }
