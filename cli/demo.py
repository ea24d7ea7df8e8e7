"""The command `lanebus demo`: a match of the arena on this machine, shown live, and its books checked at the end."""

from __future__ import annotations

import io
import random
import re
import sys
import time
from pathlib import Path
from typing import Final, Protocol

import click
from rich.console import Console
from rich.live import Live

from lanebus.cli.demo_figures import Figures
from lanebus.cli.demo_match import Match, interrupting
from lanebus.cli.demo_report import show
from lanebus.cli.demo_screen import line, news_of_faults, screen
from lanebus.cli.exits import Exit
from lanebus.cli.output import Format, Out, output_option

PLAIN_S: Final = 1.0
"""Time between two lines where there is no screen."""
PICTURE_SIZE: Final = (100, 39)
_WEB_FONT: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
PICTURE_AT: Final = 0.8
"""How far into the match the picture is taken: when it is over what was done to it."""


class View(Protocol):
    """Something that shows figures while the match runs. A context manager."""

    def __enter__(self) -> object: ...

    def __exit__(self, *exc_info: object) -> object: ...

    def show(self, figures: Figures) -> None:
        """Show these figures instead of those before."""


class ScreenView:
    """A live picture that fills the terminal, on its second screen: what stood there before comes back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False, transient=True)

    def __enter__(self) -> None:
        self._live.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, figures: Figures) -> None:
        """Redraw the picture."""
        width, height = self._console.size
        self._live.update(screen(figures, width, height), refresh=True)


class PlainView:
    """One line a second, and one for every fault that begins, ends or is got over."""

    def __init__(self) -> None:
        self._due_s = 0.0
        self._before: Figures | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        pass

    def show(self, figures: Figures) -> None:
        """Write a line, if it is time for one, and what there is to say of faults."""
        for text in news_of_faults(self._before, figures):
            click.echo(text, err=True)
        self._before = figures
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + PLAIN_S * 0.9
            click.echo(line(figures), err=True)


class Photographer:
    """Keeps the figures of one moment of the match and draws them into an SVG file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken: Figures | None = None

    def look(self, figures: Figures) -> None:
        """Take the picture when its moment has come."""
        if self._taken is None and (figures.elapsed_s or 0.0) >= figures.length_s * PICTURE_AT:
            self._taken = figures

    def develop(self) -> None:
        """Write the file, if a picture was taken."""
        if self._taken is None:
            return
        width, height = PICTURE_SIZE
        console = Console(record=True, file=io.StringIO(), width=width, height=height, force_terminal=True)
        console.print(screen(self._taken, width, height))
        drawing = console.export_svg(title="lanebus demo")
        # The picture must not depend on a font that is fetched from elsewhere.
        self._path.write_text(_WEB_FONT.sub("", drawing), encoding="utf-8")


@click.command(
    epilog="Shows the live picture on standard error and the report on standard output. Exit codes: 0 every event is "
    "accounted for, 1 not so, 69 the broker went away unasked, 130 Ctrl-C (with the report so far)."
)
@click.option(
    "--bots",
    type=click.IntRange(1, 200),
    default=24,
    show_default=True,
    help="How many players there are, 24 to a room.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1.0, 3600.0),
    default=30.0,
    show_default=True,
    help="How long they play.",
)
@click.option(
    "--seed", type=int, help="For how they play and where they appear. [default: a new one each time]"
)
@click.option(
    "--faults/--no-faults",
    default=True,
    show_default=True,
    help="Let one player flood, stop another one's process for a while, kill the broker and start it again.",
)
@click.option("--plain", is_flag=True, help="One line a second instead of the live picture.")
@click.option(
    "--svg", "svg_path", type=click.Path(path_type=Path, dir_okay=False, writable=True), hidden=True
)
@output_option
def demo(
    bots: int,
    seconds: float,
    seed: int | None,
    faults: bool,
    plain: bool,
    svg_path: Path | None,
    output_format: Format,
) -> int:
    """Run a broker, an arena and some players on this machine.

    Starts a broker on free ports, the arena game's server and its bots, each in a process of its own, and shows what
    travels between them: lanes, latency from send to handler, queues, and what batching saves. Early on one player
    sends far more than it may, is held to its limit, and the others notice nothing. Later another player's process is
    stopped for some seconds, and the broker gets SIGKILL and is started again. At the end everything is drained, the
    books of both sides must balance, and every delivery must have been handled once.
    """
    seed = random.randrange(10_000) if seed is None else seed
    console = Console(stderr=True, highlight=False)
    view: View = PlainView() if plain or not console.is_terminal else ScreenView(console)
    photographer = Photographer(svg_path) if svg_path else None

    def show_figures(figures: Figures) -> None:
        view.show(figures)
        if photographer is not None:
            photographer.look(figures)

    match = Match(bots=bots, seconds=seconds, seed=seed, show=show_figures, faults=faults)
    with interrupting(match), view:
        result = match.run()
    if photographer is not None:
        photographer.develop()
    if result is not None:
        show(result, Out(output_format, sys.stdout))
    if match.interrupted:
        return Exit.INTERRUPTED
    return Exit.OK if result is not None and result.balanced else Exit.FAILED
