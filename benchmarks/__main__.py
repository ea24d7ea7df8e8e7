"""Run the measures, write figures, plots and tables.

    python -m benchmarks [MEASURE...] [--quick] [--trace FILE]...
    python -m benchmarks --report          tables and plots anew, from the figures on disk
    python -m benchmarks --guard [--keep]  two minutes: what got worse since figures were kept

Figures go to benchmarks/results, those of the compiled build to benchmarks/results/compiled, plots to
docs/images/benchmarks, tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.lab import guard, report, results
from benchmarks.lab.events import make_up, small_events
from benchmarks.lab.machine import Others, build, load, machine
from benchmarks.lab.processes import Failed
from benchmarks.lab.setup import MatchTime, Setup, match_time
from benchmarks.measures.all import MEASURES, WHOLE_MATCHES, of_build
from lanebus.cli.exits import CliError

QUICK_SOAK_S: Final = 30.0
BUSY_CORES: Final = 0.1
"""That others may keep busy before figures are theirs too."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "measures", nargs="*", metavar="MEASURE", help=f"{', '.join(MEASURES)}; all by default"
    )
    parser.add_argument(
        "--trace", action="append", default=[], type=Path, help="a recorded match; many times"
    )
    parser.add_argument("--quick", action="store_true", help="two short rounds, half a minute of soak")
    parser.add_argument("--rounds", type=int, help="alternating rounds; 5, or 2 with --quick")
    parser.add_argument("--run-s", type=float, help="seconds of one run; 4, or 1.5 with --quick")
    parser.add_argument("--soak-s", type=float, help="seconds of the soak; 600, or 30 with --quick")
    parser.add_argument(
        "--full-matches",
        nargs="?",
        type=match_time,
        const=MatchTime(),
        metavar="FROM-UNTIL",
        help="also play whole matches, once: an hour; or only what lies between two match times, in seconds",
    )
    parser.add_argument("--report", action="store_true", help="only write plots and tables")
    parser.add_argument("--guard", action="store_true", help="compare ratios with those that were kept")
    parser.add_argument(
        "--keep", action="store_true", help="with --guard: keep these figures, to be committed"
    )
    parser.add_argument(
        "--against", default="", metavar="COMMIT", help="with --guard: run beside this commit's code"
    )
    options = parser.parse_args()
    known = of_build(build())
    unknown = [name for name in options.measures if name not in known]
    if unknown:
        parser.error(f"the {build()} build has no measure {unknown[0]!r}: choose from {', '.join(known)}")
    return options


def main() -> int:
    """Do what the command line says; 1 if something got worse, or could not be measured."""
    options = _arguments()
    if options.report:
        report.write()
        return 0
    quick = options.quick or options.guard
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            traces = options.trace or make_up(Path(folder))
            events = small_events(traces, recorded=bool(options.trace))
        except CliError as error:
            print(error.message, file=sys.stderr)
            return int(error.code)
        setup = Setup(
            events=events,
            traces=traces,
            recorded=bool(options.trace),
            rounds=options.rounds or (2 if quick else 5),
            run_s=options.run_s or (1.5 if quick else 4.0),
            soak_s=options.soak_s or (QUICK_SOAK_S if quick else 600.0),
            full_matches=options.full_matches,
        )
        if options.guard:
            try:
                return guard.run(setup, keep=options.keep, against=options.against)
            except Failed as why:
                print(f"the guard could not measure: {why}", file=sys.stderr)
                return 1
        names = [
            name for name in of_build(build()) if name != WHOLE_MATCHES or setup.full_matches is not None
        ]
        failed = _measure(options.measures or names, setup)
    report.write()
    for line in failed:
        print(line, file=sys.stderr)
    return int(bool(failed))


def _measure(names: list[str], setup: Setup) -> list[str]:
    """Take the measures one after another; what could not be taken, a line for each."""
    failed = []
    for name in names:
        print(name, file=sys.stderr)
        begun_s, load_before, others = time.monotonic(), load(), Others()
        try:
            figures = MEASURES[name](setup)
        except (Failed, CliError) as why:
            failed.append(f"{name} could not be measured: {why}")
            continue
        took_s = time.monotonic() - begun_s
        context = {
            "build": build(),
            "machine": machine(),
            "rounds": setup.rounds,
            "run_s": setup.run_s,
            "took_s": round(took_s, 1),
            "load_before": load_before,
            "others_cores": others.cores(),
        }
        path = results.save(name, figures, context, results.FOLDERS[build()])
        print(f"  {took_s:.0f} s: {path}", file=sys.stderr)
        if context["others_cores"] > BUSY_CORES:
            print(
                f"  others kept {context['others_cores']} cores busy meanwhile: measure again when they do not",
                file=sys.stderr,
            )
    return failed


if __name__ == "__main__":
    sys.exit(main())
