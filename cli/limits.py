"""The command `lanebus limits`: what peers may send and receive, what is used up, and how to change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
import msgspec
from rich.text import Text

from lanebus.cli.command_line import suggestion
from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.styles import LANE_STYLES
from lanebus.conf.policy import PeerPolicy, Policy

_SETTINGS: Final = tuple(field.name for field in msgspec.structs.fields(Policy))
_COLUMNS: Final = (
    *("PEERS", "FROM", "EVENTS/S", "AT ONCE|EVENTS AT ONCE", "BYTES/S UP", "DOWN|BYTES/S DOWN"),
    "AT ONCE S|BYTES AT ONCE S",
)
_FROM: Final = {"changed": "changed now", "configured": "configuration", "role": "role"}


@click.command(
    epilog="Settings: "
    + ", ".join(_SETTINGS)
    + ". A rate of 0 is no limit. What is set here lasts until the broker "
    "ends; the configuration has what is to stay. For peers of a name the first line that matches counts."
)
@click.argument("peers", metavar="[NAME]", required=False)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="SETTING=NUMBER",
    help="Set a limit for NAME, also for who is there now.",
)
@click.option("--reset", is_flag=True, help="Take back what was set for NAME.")
@control_options
@output_option
def limits(
    peers: str | None,
    changes: Sequence[str],
    reset: bool,
    server: str,
    timeout_s: float,
    output_format: Format,
) -> None:
    """Show what peers may send and receive; with NAME how much of it that peer has used up, or change it.

    NAME is a full name such as player:42, a name without a role a player's; with --set and --reset it may have `*` for
    any characters: 'player:bot-*'.
    """
    out = Out(output_format)
    name = None if peers is None or ":" in peers else f"player:{peers}"
    name = name or peers
    if (changes or reset) and name is None:
        raise CliError(
            "name the peers whose limits are to change, such as player:42 or 'player:bot-*'", Exit.USAGE
        )
    if changes and reset:
        raise CliError(
            "--set and --reset are one too many: what is set replaces what was set before", Exit.USAGE
        )
    with ControlClient(server, timeout_s=timeout_s) as client:
        if changes or reset:
            result = client.request("limits", match=name, settings=dict(map(_setting, changes)))
        else:
            result = client.request("limits", **({} if name is None else {"peer": name}))
    if out.is_json:
        out.json(result)
    elif changes or reset:
        out.line(f"changed for {out.things(len(result['sessions']), 'session')} and for who comes")
    elif name is None:
        _show_policies(out, result)
    else:
        _show_peer(out, result)


def _setting(text: str) -> tuple[str, float | int]:
    """One setting as it is written.

    Raises:
        CliError: `USAGE` when there is no such setting, or the value is no number that it may be.
    """
    name, _, value = text.partition("=")
    if name not in _SETTINGS:
        hint = suggestion(name, _SETTINGS) or f"; there are {', '.join(_SETTINGS)}"
        raise CliError(f"there is no limit {name!r}{hint}", Exit.USAGE)
    try:
        number = float(value)
    except ValueError:
        raise CliError(f"{text!r}: {value!r} is no number; write {name}=NUMBER", Exit.USAGE) from None
    number = int(number) if number.is_integer() else number
    try:
        msgspec.convert({"match": "player:*", name: number}, PeerPolicy)
    except msgspec.ValidationError as error:
        problem = str(error).partition(" - at ")[0].replace("`", "")
        raise CliError(f"{text!r}: {problem[0].lower()}{problem[1:]}", Exit.USAGE) from None
    return name, number


def _show_policies(out: Out, policies: Sequence[Mapping[str, Any]]) -> None:
    table = new_table(list(_COLUMNS), text_columns=2)
    add_rows(table, [_row(out, policy) for policy in policies])
    out.table(table)


def _row(out: Out, policy: Mapping[str, Any]) -> list[str | Text]:
    return [
        str(policy["match"]),
        styled(_FROM[policy["source"]], "bold yellow" if policy["source"] == "changed" else ""),
        _rate(out, policy["events_per_s"]),
        _or_role(policy["events_burst"], out.count),
        _rate(out, policy["up_bytes_per_s"]),
        _rate(out, policy["down_bytes_per_s"]),
        _or_role(policy["bytes_burst_s"], lambda value: f"{value:g}"),
    ]


def _or_role(value: Any, write: Any) -> str | Text:
    return styled("as role", "dim") if value is None else str(write(value))


def _rate(out: Out, value: float | None) -> str | Text:
    if value == 0:
        return styled("no limit", "dim")
    return _or_role(value, lambda rate: out.count(round(rate)))


def _show_peer(out: Out, peer: Mapping[str, Any]) -> None:
    policy = peer["policy"]
    out.line(styled(str(peer["name"]), "bold"))
    table = new_table(["LIMIT", "A SECOND", "USED"], text_columns=1)
    rows = [
        [label, _rate(out, policy[name]), _used(out, peer["used"][name])]
        for label, name in (
            ("events from it", "events_per_s"),
            ("bytes from it", "up_bytes_per_s"),
            ("bytes to it", "down_bytes_per_s"),
        )
    ]
    rows.append(["rules broken by it", "-", _used(out, peer["used"]["error_budget"])])
    add_rows(table, rows)
    out.table(table)
    for lane, over in peer["throttled"].items():
        out.line(
            Text.assemble(
                styled(lane, LANE_STYLES[lane]),
                styled(": THROTTLED", "bold yellow"),
                f" by {over['limit']}, what is over it waits at its sender",
            )
        )
    for lane, waiting_bytes in peer["shaped"].items():
        out.line(
            Text.assemble(
                styled(lane, LANE_STYLES[lane]),
                styled(": shaped", "yellow"),
                f", {out.size(waiting_bytes, unit=True)} wait for its allowance",
            )
        )
    throttled = sum(peer["throttled_events"].values())
    out.line(
        f"{out.count(throttled)} times an event of it was turned away since it came, to come again later"
    )


def _used(out: Out, share: float | None) -> str | Text:
    if share is None:
        return "-"
    return styled(out.share(share), "bold red" if share >= 0.8 else "green")
