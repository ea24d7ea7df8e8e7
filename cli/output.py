"""How commands print: JSON with raw figures for programs, tables for people."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TextIO, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lanebus.cli.text import escape, human_size, human_time

Format = Literal["table", "json"]

_F = TypeVar("_F", bound=Callable[..., Any])

_WIDE = 10_000
"""Columns of a table that no terminal shows: lines of a pipe or file are never folded or shortened."""

_LEAST_TEXT = 14
_LEAST_FIGURES = 2
_GAP = 2
"""Blanks between two columns."""
_NOTHING = ("", "-", "0", "0 B", "0 ms", "0.0%")
"""Figures that say that there is nothing."""

output_option: Callable[[_F], _F] = click.option(
    "-o",
    "--output",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Print a table for people, or JSON with raw figures (bytes, seconds).",
)
"""Adds `-o table|json` to a command, as the argument `output_format`."""


class Out:
    """Where a command writes, and in which of the two formats."""

    def __init__(self, output_format: Format, stream: TextIO | None = None) -> None:
        """Write to `stream`, standard output by default, in `output_format`."""
        stream = sys.stdout if stream is None else stream
        self.is_json = output_format == "json"
        self.human = stream.isatty() and not self.is_json
        """Whether figures are humanised: only where a terminal shows them."""
        self._stream = stream
        self._console = Console(
            file=stream, highlight=False, soft_wrap=False, width=None if self.human else _WIDE
        )

    @property
    def height(self) -> int:
        """Lines of the terminal."""
        return self._console.height

    @property
    def width(self) -> int:
        """Columns that a line may take: those of the terminal, or as many as it wants."""
        return self._console.width

    def json(self, value: object) -> None:
        """Write `value` as one indented JSON document."""
        self._stream.write(json.dumps(value, indent=2, default=str) + "\n")

    def json_line(self, value: object) -> None:
        """Write `value` as JSON on one line, and let it go at once: somebody may read along."""
        self._stream.write(json.dumps(value, default=str) + "\n")
        self._stream.flush()

    def row(self, text: Text) -> None:
        """Write one line of a list without columns of its own: on a terminal it is cut where that ends."""
        if self.human:
            self._console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            self._console.print(text, soft_wrap=True)

    def live(self) -> Live:
        """A picture on the terminal's second screen that is redrawn; what stood there before comes back."""
        return Live(console=self._console, screen=True, auto_refresh=False, transient=True)

    def line(self, text: str | Text = "") -> None:
        """Write one line of a table's surroundings; control characters in it are escaped."""
        self._console.print(Text(escape(text)) if isinstance(text, str) else text, soft_wrap=True)

    def table(self, table: Table) -> None:
        """Write a table; on a terminal without the columns of figures that do not fit."""
        left_out = 0
        if self.human:
            self._console.print()
            left_out = _leave_out(table, self.width)
        else:
            # Without a terminal the cells are as wide as their text, and the rule below the heading is left out.
            table.box = None
            table.padding = (0, 2, 0, 0)
        self._console.print(table)
        if left_out:
            self.line(f"{self.things(left_out, 'column')} left out: widen the terminal, or use -o json")

    def things(self, number: int, one: str, many: str | None = None) -> str:
        """A number with its noun: `1 match`, `2 matches`."""
        return f"{self.count(number)} {one if number == 1 else many or one + 's'}"

    def count(self, value: float | None) -> str:
        """A number of things: with thousands separated for people, plain otherwise, `-` for None."""
        if value is None:
            return "-"
        return f"{value:,.0f}" if self.human else f"{value:.0f}"

    def rate(self, value: float) -> str:
        """A number of things in a second: with one place below ten."""
        return f"{value:.1f}" if value < 9.95 else self.count(value)

    def size(self, value: float | None, *, unit: bool = False) -> str:
        """Bytes: `1.4 MiB` for people, `1468006` otherwise (with `unit`: `1468006 bytes`), `-` for None."""
        if value is None:
            return "-"
        return human_size(value) if self.human else f"{value:.0f}{' bytes' if unit else ''}"

    def time(self, seconds: float | None, *, unit: bool = False) -> str:
        """A span of time: `3h 12m` for people, `11520.000` otherwise (with `unit`: `11520.000 s`), `-` for None."""
        if seconds is None:
            return "-"
        return human_time(seconds) if self.human else f"{seconds:.3f}{' s' if unit else ''}"

    def ms(self, value: float | None) -> str:
        """Milliseconds with two places, `-` for None."""
        return "-" if value is None else f"{value:.2f}"

    def share(self, value: float | None) -> str:
        """A share of one: as percent for people, with four places otherwise, `-` for None."""
        if value is None:
            return "-"
        return f"{value:.1%}" if self.human else f"{value:.4f}"


def _leave_out(table: Table, width: int) -> int:
    """Take columns of figures out until a table fits, those that say nothing first; how many those were.

    Texts may be shortened to `_LEAST_TEXT` characters, since a figure of an unknown row is worth nothing.
    """
    before = len(table.columns)
    while _least_width(table) > width:
        figures = [column for column in table.columns if column.justify == "right"]
        if len(figures) <= _LEAST_FIGURES:
            break
        silent = [column for column in figures if all(str(cell) in _NOTHING for cell in column._cells)]
        table.columns.remove((silent or figures)[-1])
    return before - len(table.columns)


def _least_width(table: Table) -> int:
    widths = []
    for column in table.columns:
        widest = max(cell_len(str(cell)) for cell in (column.header, *column._cells))
        widths.append(widest if column.justify == "right" else min(widest, _LEAST_TEXT))
    return sum(widths) + _GAP * (len(widths) - 1)


def new_table(
    columns: Sequence[str], *, text_columns: int = 1, title: str | None = None, footer: bool = False
) -> Table:
    """A table with `columns`: the first `text_columns` hold text, the others figures, which stand to the right.

    Where it is too wide for the terminal, columns of figures are left out, and texts are shortened, the longest first.
    """
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        header_style="bold cyan",
        footer_style="bold",
        show_footer=footer,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for position, column in enumerate(columns):
        if position < text_columns:
            table.add_column(column)
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table


def add_rows(table: Table, rows: Iterable[Sequence[str | Text]]) -> None:
    """Add `rows`, with the control characters of plain cells escaped and markup in them left as it is."""
    for row in rows:
        table.add_row(*(styled(cell, "") if isinstance(cell, str) else cell for cell in row))


def styled(text: str, style: str) -> Text:
    """`text`, escaped, in a style of rich: `bold red`; never on two lines."""
    return Text(escape(text), style=style, no_wrap=True, overflow="ellipsis")
