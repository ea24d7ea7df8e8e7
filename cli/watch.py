"""Tables that are drawn again and again: on a terminal in place, elsewhere one after the other."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, Protocol, TypeVar

import click
from rich.table import Table

from lanebus.cli.output import Out
from lanebus.cli.seconds import between

LEAST_S: Final = 0.1
MOST_S: Final = 3600.0

_F = TypeVar("_F", bound=Callable[..., Any])

watch_option: Callable[[_F], _F] = click.option(
    "--watch",
    "every_s",
    callback=between(LEAST_S, MOST_S),
    metavar="SECONDS",
    help="Show rates per second instead of totals, every SECONDS until Ctrl-C; with -o json one object a line.",
)
"""Adds `--watch SECONDS` to a command, as the argument `every_s`; None without it."""


class Picture(Protocol):
    """What one look makes of the one before it."""

    def table(self, lines: int | None) -> Table:
        """A table of at most so many lines; None for all."""

    def values(self) -> Mapping[str, Any]:
        """The same for programs."""


def watch(
    out: Out,
    every_s: float,
    look: Callable[[], Picture | None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> NoReturn:
    """Look and show, every `every_s` seconds, until somebody ends the process.

    Args:
        look: a look at the broker; None where there was none before it to compare it with.
    """
    due = clock()

    def wait() -> None:
        nonlocal due
        # A look that has taken too long is not made up for.
        now = clock()
        due = max(due + every_s, now)
        if due > now:
            sleep(due - now)

    if out.human:
        with out.live() as live:
            while True:
                picture = look()
                shown = picture.table(out.height) if picture else f"the first rates come in {every_s:g} s"
                live.update(shown, refresh=True)
                wait()
    while True:
        picture = look()
        if picture is not None:
            if out.is_json:
                out.json_line(picture.values())
            else:
                out.table(picture.table(None))
                out.line()
        wait()
