"""The command `lanebus log`: the level of a running broker's log."""

from __future__ import annotations

import click

from lanebus.broker.loglevel import LEVELS
from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.output import Format, Out, output_option


@click.command(
    epilog="A line begins with what it is about: = a state, ! an error, < a message from a peer, > a message to one. "
    "The last two are written at the level debug, of all but events, acknowledgements, settlements and pings; "
    "lanebus trace shows those of one peer. The broker's next start takes the level of its configuration."
)
@click.argument("level", type=click.Choice(LEVELS), required=False)
@control_options
@output_option
def log(level: str | None, server: str, timeout_s: float, output_format: Format) -> None:
    """Change the level of a running broker's log at once; without LEVEL show it."""
    with ControlClient(server, timeout_s=timeout_s) as client:
        result = client.request("log", level=level)
    out = Out(output_format)
    if out.is_json:
        out.json(result)
    elif level is None:
        out.line(f"the log level is {result['level']}")
    else:
        out.line(f"the log level is {result['level']}, it was {result['before']}")
