"""The command `lanebus torture`: its options, where its files go, and how its outcome ends the process."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.output import Format, Out, output_option
from lanebus.cli.text import escape
from lanebus.cli.torture_check import check
from lanebus.cli.torture_plan import make_plan, parse_faults
from lanebus.cli.torture_report import build, show
from lanebus.cli.torture_run import Torture
from lanebus.cli.torture_series import (
    parse_seeds,
    show_failed,
    show_heading,
    show_run,
    show_summary,
    summary_of,
)
from lanebus.cli.torture_traffic import recorded, synthetic
from lanebus.cli.traces import Trace, read_trace

MAX_PEERS = 60


def _kinds(ctx: click.Context, param: click.Parameter, value: str) -> list[str]:
    try:
        return parse_faults(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def _seeds(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    try:
        return None if value is None else parse_seeds(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.command(
    epilog="Examples: lanebus torture --seed 7 --faults links; lanebus torture --faults kill_broker,freeze "
    "--duration 30 --trace duel.jsonl.gz -o json; lanebus torture --seeds 1-20. Exit codes: 0 nothing was broken, "
    "1 something was."
)
@click.option("--seed", type=int, help="For faults and traffic. [default: a new one each time]")
@click.option(
    "--seeds",
    callback=_seeds,
    metavar="LIST",
    help="Several tortures, one after another: 1-20, or numbers with commas between them. A line for each.",
)
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(3.0, 86_400.0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long there is traffic and trouble.",
)
@click.option(
    "--faults",
    "kinds",
    default="all",
    show_default=True,
    callback=_kinds,
    metavar="LIST",
    help="all, links, processes, none, or single kinds, with commas between them.",
)
@click.option(
    "--peers",
    type=click.IntRange(2, MAX_PEERS),
    default=6,
    show_default=True,
    help="Processes besides the broker.",
)
@click.option(
    "--trace",
    "traces",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Recorded match whose events are sent; may be repeated. [default: made-up events]",
)
@click.option(
    "--matches",
    type=click.IntRange(1),
    metavar="NUMBER",
    help="How many of the recorded matches are played at a time; each torture takes the next ones. [default: all]",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Count events to `all` that a player missed after a process was killed as breaches.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Put plan and logs here, a new or empty folder, and keep them; with --seeds, in a folder for each.",
)
@output_option
def torture(
    seed: int | None,
    seeds: list[int] | None,
    duration_s: float,
    kinds: list[str],
    peers: int,
    traces: tuple[Path, ...],
    matches: int | None,
    strict: bool,
    keep: Path | None,
    output_format: Format,
) -> int:
    """Run peers through a broker, hurt links and processes, and prove that the bus keeps its promise.

    A broker, a proxy that spoils connections, and several peers run in processes of their own. Every sender numbers
    its events and writes down what it sent and how the bus said that it ended; every receiver writes down what it
    handled. At the end everything is healed and drained, and the two are compared: nothing may be lost, doubled or out
    of order. The same seed makes the same faults and the same traffic.
    """
    if seed is not None and seeds is not None:
        raise click.UsageError("--seed and --seeds exclude each other: one torture, or several")
    recordings = [read_trace(path, until_s=duration_s) for path in traces]

    def run(seed: int, number: int, folder: Path) -> dict[str, Any]:
        plan = make_plan(seed, duration_s, kinds, peers)
        if recordings:
            traffic = recorded(plan, _turn(recordings, number, matches or len(recordings)))
        else:
            traffic = {peer.name: synthetic(plan, peer) for peer in plan.peers}
        outcome = Torture(plan, traffic, folder, _say).run()
        return build(plan, outcome, check(folder), strict=strict)

    out = Out(output_format)
    if seeds is not None:
        return _several(out, seeds, run, keep)
    with _folder(keep) as folder:
        report = run(random.randrange(100_000) if seed is None else seed, 0, folder)
    if out.is_json:
        out.json(report)
    else:
        show(out, report)
    return Exit.FAILED if report["breaches"] else Exit.OK


def _several(
    out: Out, seeds: list[int], run: Callable[[int, int, Path], dict[str, Any]], keep: Path | None
) -> int:
    reports: list[dict[str, Any]] = []
    failed: dict[int, str] = {}
    if not out.is_json:
        show_heading(out)
    for number, seed in enumerate(seeds):
        with _folder(keep / f"seed-{seed}" if keep is not None else None) as folder:
            try:
                reports.append(run(seed, number, folder))
            except CliError as error:
                failed[seed] = error.message
        if not out.is_json:
            if seed in failed:
                show_failed(out, seed, failed[seed])
            else:
                show_run(out, reports[-1])
            sys.stdout.flush()
    summary = summary_of(reports, failed)
    if out.is_json:
        out.json({"summary": summary, "runs": reports, "failed": failed})
    else:
        show_summary(out, summary)
    return Exit.FAILED if summary["broken"] else Exit.OK


def _turn(recordings: list[Trace], number: int, count: int) -> list[Trace]:
    """The recordings that the torture with this number plays: the next ones, and the first again after the last."""
    first = number * count
    return [recordings[(first + index) % len(recordings)] for index in range(min(count, len(recordings)))]


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(escape(text), file=sys.stderr)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="lanebus-torture-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        is_used = any(keep.iterdir())
    except OSError as error:
        raise CliError(f"{keep}: {(error.strerror or str(error)).lower()}", Exit.CANNOT_WRITE) from None
    if is_used:
        raise CliError(f"{keep}: is not empty; name a new folder", Exit.CANNOT_WRITE)
    yield keep.resolve()
