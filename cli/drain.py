"""The command `lanebus drain`: ends a broker in order, and says what it could not settle in time."""

from __future__ import annotations

import click

from lanebus.broker.draining import summary
from lanebus.broker.inspect import MAX_DEADLINE_S
from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.output import Format, Out, output_option
from lanebus.conf.model import MAX_DRAIN_S


@click.command(
    epilog="A drain ends no event: senders keep what is left, and send it to the next broker. "
    "Exits with 0 once the broker has said goodbye, whatever is left."
)
@click.option(
    "--deadline-s",
    type=click.FloatRange(min=0.0, max=MAX_DEADLINE_S),
    metavar="N",
    help="Longest wait for settlements, in seconds.  [default: the broker's drain_s]",
)
@control_options
@output_option
def drain(deadline_s: float | None, server: str, timeout_s: float, output_format: Format) -> None:
    """Let a broker settle what is under way, and end.

    Nobody new is admitted, peers hold what they send, and all lanes are flushed, critical first. The broker ends when
    everything that it handed to peers is settled, or at the deadline. What waits for peers that are away is not waited
    for. The --timeout counts from the deadline.
    """
    longest_s = (MAX_DRAIN_S if deadline_s is None else deadline_s) + timeout_s
    with ControlClient(server, timeout_s=longest_s) as client:
        result = client.request("drain", deadline_s=deadline_s)
    out = Out(output_format)
    if out.is_json:
        out.json(result)
    else:
        out.line(summary(result))
