"""The command `lanebus replay`: its options, and how its outcome ends the process."""

from __future__ import annotations

import gc
import math
import os
import sys
from pathlib import Path

import click

from lanebus.cli.control_client import host_and_port
from lanebus.cli.exits import Exit
from lanebus.cli.logs import set_up_logging
from lanebus.cli.output import Format, Out, output_option
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_report import is_clean, show
from lanebus.cli.replay_run import ReplayOptions, run_replay
from lanebus.cli.text import escape
from lanebus.cli.traces import read_trace

CONTROL_OFFSET = 3
"""The control endpoint's port, counted from the critical lane's, where nothing else is said."""


def _speed(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """A positive number, or infinity for `max`."""
    if value == "max":
        return math.inf
    try:
        speed = float(value)
    except ValueError:
        speed = math.nan
    if not (math.isfinite(speed) and speed > 0):
        raise click.BadParameter(f"{value!r} is neither a positive number nor 'max'.", ctx, param)
    return speed


@click.command(
    epilog="Examples: lanebus replay matches/*.jsonl.gz --speed 20; "
    "lanebus replay duel.jsonl.gz --from 60 --until 120 --relay -o json"
)
@click.argument("traces", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TRACE...")
@click.option(
    "--speed",
    default="1",
    show_default=True,
    callback=_speed,
    metavar="N|max",
    help="Times as fast as recorded, or as fast as it goes.",
)
@click.option(
    "--from",
    "from_s",
    type=click.FloatRange(min=0.0),
    default=0.0,
    metavar="SECONDS",
    help="Match time to begin at.",
)
@click.option(
    "--until", "until_s", type=click.FloatRange(min=0.0), metavar="SECONDS", help="Match time to end before."
)
@click.option(
    "--relay", is_flag=True, help="Have each server send its players' commands on to the other players."
)
@click.option("--gateway", is_flag=True, help="Attach each match's players through one gateway.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Spread servers and players over N processes.",
)
@click.option(
    "--broker", metavar="ADDRESS", help="Critical lane of a running broker; without it one is started."
)
@click.option(
    "--control", metavar="ENDPOINT", help="Its control endpoint, if that is not the critical port + 3."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.0, min_open=True, max=3600.0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the control endpoint may take to answer.",
)
@output_option
def replay(
    traces: tuple[Path, ...],
    speed: float,
    from_s: float,
    until_s: float | None,
    relay: bool,
    gateway: bool,
    processes: int,
    broker: str | None,
    control: str | None,
    timeout_s: float,
    output_format: Format,
) -> int:
    """Play recorded matches through a broker, and check every delivery.

    Each event is sent by its own sender at its own time, all matches at once. Every receiver compares what arrives,
    event by event, with what it should get from each sender on each lane. Exits with 1 if anything was lost,
    duplicated, misordered or corrupted, or if the broker's books do not balance.
    """
    if until_s is not None and until_s <= from_s:
        raise click.UsageError(f"--until {until_s:g} is not after --from {from_s:g}")
    if control is not None and broker is None:
        raise click.UsageError("--control goes with --broker")
    if broker is not None and control is None:
        host, port = host_and_port(broker)
        shown = f"[{host}]" if ":" in host else host
        control = f"tcp://{shown}:{port + CONTROL_OFFSET}"
    loaded = [read_trace(path, from_s=from_s, until_s=until_s) for path in traces]
    longest_s = max(trace.duration_s for trace in loaded)
    plan = Plan(loaded, relay=relay)
    del loaded
    # The plan lives to the end: the collector need not walk its million objects again, nor copy them in forks.
    gc.collect()
    gc.freeze()
    # A hundred adapters that lose their broker have said so in the progress already.
    set_up_logging("error", "text", os.environ)
    report, problems = run_replay(
        plan,
        ReplayOptions(
            speed=speed,
            from_s=from_s,
            until_s=longest_s if until_s is None else min(until_s, longest_s),
            gateway=gateway,
            processes=processes,
            broker=broker,
            control=control,
            timeout_s=timeout_s,
        ),
    )
    for problem in problems:
        print(f"ledger: {escape(problem)}", file=sys.stderr)
    out = Out(output_format)
    if out.is_json:
        out.json(report)
    else:
        show(out, report)
    return Exit.OK if is_clean(report) else Exit.FAILED
