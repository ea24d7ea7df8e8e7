"""The commands that show who does what, and who belongs together: `services`, `groups`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.styles import HEALTH_STYLES

STATE_STYLES: Final = {
    "starting": "yellow",
    "ready": "green",
    "degraded": "bold yellow",
    "gone": "bold red",
    "up": "green",
    "away": "red",
}
"""How the state of an instance or a member is shown."""
_COLUMNS: Final = [
    "SERVICE",
    "INSTANCE",
    "STATE",
    "VERSION",
    "TAGS",
    "PRIORITY",
    "WEIGHT",
    "CLIENTS",
    "SINCE",
]
_NARROW: Final = ("SERVICE", "INSTANCE", "STATE", "WEIGHT", "CLIENTS", "SINCE")
"""What is left of the table on a terminal of fewer columns than `_WIDE`; reasons stand below it."""
_WIDE: Final = 120
_MOST_KEEPERS: Final = 4
"""Who keeps a group: so many names are shown."""


@click.command(
    epilog="The instances stand in the order in which they are to be started: by priority, the highest first; they are "
    "to be ended in the opposite order. The broker starts and ends nobody."
)
@control_options
@output_option
def services(server: str, timeout_s: float, output_format: Format) -> None:
    """Show the instances of all services: their state and why, and whom they serve.

    An instance is ready while it says that it is well and every service that it depends on has an instance that is
    ready or degraded. Else it is starting, or degraded once it has been ready. New players go to those that are ready,
    then to those that are degraded, and WEIGHT is the share of them. One that has lost its links for longer than the
    failover time is gone. A service is degraded with an instance that is degraded or gone, and failing when nobody
    serves. CLIENTS are players and servers whose events for the service went to this instance last.
    """
    with ControlClient(server, timeout_s=timeout_s) as client:
        result = client.request("services")
    out = Out(output_format)
    if out.is_json:
        out.json(result)
        return
    is_wide = out.width >= _WIDE
    kept = [position for position, name in enumerate(_COLUMNS) if is_wide or name in _NARROW]
    table = new_table([_COLUMNS[position] for position in kept], text_columns=5 if is_wide else 3)
    rows = [_service_row(out, instance, with_reason=is_wide) for instance in result]
    add_rows(table, [[row[position] for position in kept] for row in rows])
    out.table(table)
    if not is_wide:
        for instance in result:
            if instance["reason"]:
                out.line(f"{instance['instance']} ({instance['service']}): {instance['reason']}")
    for service, health in {each["service"]: each["service_health"] for each in result}.items():
        if health["reasons"]:
            style = HEALTH_STYLES.get(health["health"], "")
            out.line(
                Text.assemble(
                    styled(f"{service} is {health['health']}", style),
                    styled(f": {'; '.join(health['reasons'])}", ""),
                )
            )


@click.command()
@click.argument("name", required=False, metavar="[NAME]")
@control_options
@output_option
def groups(name: str | None, server: str, timeout_s: float, output_format: Format) -> None:
    """Show all groups, or the members of the group NAME.

    KEEPERS are those who put the members in: servers, or players themselves (behind a gateway: the gateway) where
    groups.client_may_join lets them. A group that has no member any more is gone.
    """
    with ControlClient(server, timeout_s=timeout_s) as client:
        if name is None:
            result = client.request("groups")
        else:
            result = client.request("members", group=name.removeprefix("group:"))
    out = Out(output_format)
    if out.is_json:
        out.json(result)
        return
    if name is not None:
        table = new_table(["MEMBER", "ROLE", "VIA", "STATE", "KEEPER"], text_columns=5)
        add_rows(table, [_member_row(member) for member in result])
        out.table(table)
        out.line(out.things(len(result), "member"))
        return
    if not result:
        out.line("no group has a member")
        return
    table = new_table(["GROUP", "KEEPERS", "MEMBERS"], text_columns=2)
    add_rows(
        table, [[str(each["group"]), _names(each["keepers"]), out.count(each["members"])] for each in result]
    )
    out.table(table)
    out.line(out.things(len(result), "group"))


def _service_row(out: Out, instance: Mapping[str, Any], *, with_reason: bool) -> list[str | Text]:
    state = str(instance["state"])
    reason = f": {instance['reason']}" if with_reason and instance["reason"] else ""
    return [
        str(instance["service"]),
        str(instance["instance"]),
        styled(state + reason, STATE_STYLES.get(state, "")),
        str(instance["version"] or "-"),
        ", ".join(instance["tags"]) or "-",
        out.count(instance["priority"]),
        out.count(instance["weight"]),
        out.count(instance["clients"]),
        out.time(instance["since_s"]),
    ]


def _member_row(member: Mapping[str, Any]) -> list[str | Text]:
    state = str(member["state"])
    return [
        str(member["member"]),
        str(member["role"]),
        str(member["via"] or "-"),
        styled(state, STATE_STYLES.get(state, "")),
        str(member["keeper"]),
    ]


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_KEEPERS} more" if len(names) > _MOST_KEEPERS else ""
    return ", ".join(names[:_MOST_KEEPERS]) + more
