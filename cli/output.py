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
from rich.table import Column, Table
from rich.text import Text

from lanebus.cli.text import escape, human_size, human_time

Format = Literal["table", "json"]

_F = TypeVar("_F", bound=Callable[..., Any])

_WIDE = 10_000
"""Columns of a table that no terminal shows: lines of a pipe or file are never folded or shortened."""

_LEAST_TEXT = 24
"""Characters of a name that are shown before figures are left out for it."""
_LEAST_NAME = 8
"""Characters that are left of the longest names where nothing else can be left out."""
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


class Figure(str):
    """A figure as it is written, and the unit that the heading of its column has for programs."""

    unit: str

    def __new__(cls, text: str, unit: str) -> "Figure":
        """A figure whose unit stands elsewhere."""
        figure = super().__new__(cls, text)
        figure.unit = unit
        return figure


class Grid(Table):
    """A table with what is known of its columns besides."""

    def __init__(self, columns: Sequence[str], spare: Sequence[str], **more: Any) -> None:
        """A table whose columns are added later.

        Args:
            columns: their names for people; after a bar, where it is another one, that for programs.
            spare: those that are left out first where there is no room.
        """
        super().__init__(**more)
        self.plain_names = [name.rpartition("|")[2] for name in columns]
        self.spare = list(spare)
        self.units: dict[int, str] = {}


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

    def line(self, text: str | Text = "", *, label: str | Text = "") -> None:
        """Write one line of a table's surroundings, after a label; control characters in it are escaped.

        On a terminal it goes on below itself where it is longer than that, and never ends within a word. What a program
        reads is one line, however long.
        """
        text, label = (Text(escape(each)) if isinstance(each, str) else each for each in (text, label))
        if not self.human:
            self._console.print(label + text, soft_wrap=True)
            return
        if not label:
            blanks = len(text.plain) - len(text.plain.lstrip())
            label, text = text[:blanks], text[blanks:]
        if label.cell_len > self.width // 3:
            label, text = Text(), label + text
        width = max(self.width - label.cell_len, _LEAST_TEXT)
        # What is one word and wider than the terminal is left to it: who copies it wants it whole.
        fits = all(cell_len(word) <= width for word in text.plain.split())
        for piece in (text.wrap(self._console, width, no_wrap=False) if fits else []) or [text]:
            piece.rstrip()
            self._console.print(label + piece, soft_wrap=True)
            label = Text(" " * label.cell_len)

    def fact(self, name: str, value: str, *, width: int = 12) -> None:
        """Write one of several facts below one another: its name in `width` columns, and what it is."""
        self.line(styled(value, ""), label=styled(f"  {name:<{width}}", "cyan"))

    def table(self, table: Table) -> None:
        """Write a table; on a terminal without the columns of figures that do not fit.

        For programs each column has a name of its own, with the unit of its figures, each cell holds something, and at
        least two blanks part two of them.
        """
        left_out = 0
        if self.human:
            self._console.print()
            left_out = _leave_out(table, self.width)
            _shorten(table, self.width)
        else:
            _spell_out(table)
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
            return Figure("-", "BYTES")
        return human_size(value) if self.human else Figure(f"{value:.0f}{' bytes' if unit else ''}", "BYTES")

    def time(self, seconds: float | None, *, unit: bool = False) -> str:
        """A span of time: `3h 12m` for people, `11520.000` otherwise (with `unit`: `11520.000 s`), `-` for None."""
        if seconds is None:
            return Figure("-", "S")
        return human_time(seconds) if self.human else Figure(f"{seconds:.3f}{' s' if unit else ''}", "S")

    def ms(self, value: float | None) -> str:
        """Milliseconds with two places, `-` for None."""
        return Figure("-" if value is None else f"{value:.2f}", "MS")

    def share(self, value: float | None) -> str:
        """A share of one: as percent for people, with four places otherwise, `-` for None."""
        if value is None:
            return Figure("-", "SHARE")
        return f"{value:.1%}" if self.human else Figure(f"{value:.4f}", "SHARE")


def _spell_out(table: Table) -> None:
    """Name the columns, and fill the cells, for programs."""
    for position, column in enumerate(table.columns):
        if isinstance(table, Grid):
            name = table.plain_names[position] if position < len(table.plain_names) else str(column.header)
            unit = table.units.get(position, "")
            column.header = name if not unit or unit in name.split() else f"{name} {unit}"
        column._cells[:] = [cell if str(cell).strip() else "-" for cell in column._cells]
        if table.show_footer and not str(column.footer).strip():
            column.footer = "-"


def _leave_out(table: Table, width: int) -> int:
    """Take columns of figures out until a table fits; how many those were.

    Those that say nothing go first, then the table's spare ones, then the last. Texts may be shortened to `_LEAST_TEXT`
    characters, since a figure of an unknown row is worth nothing.
    """
    before = len(table.columns)
    spare = list(table.spare) if isinstance(table, Grid) else []
    while sum(_widths(table, _LEAST_TEXT)) + _GAP * (len(table.columns) - 1) > width:
        figures = [column for column in table.columns if column.justify == "right"]
        if len(figures) <= _LEAST_FIGURES:
            break
        silent = [column for column in figures if all(text in _NOTHING for text in _cells(column))]
        spared = [column for name in reversed(spare) for column in figures if column.header == name]
        gone = (silent or spared or figures)[-1]
        table.columns[:] = [column for column in table.columns if column is not gone]
    for position, column in enumerate(table.columns):
        # By this the last column is told, which has no gap behind it.
        column._index = position
    return before - len(table.columns)


def _shorten(table: Table, width: int) -> None:
    """Leave out the middle of the longest texts until a table fits: both ends of a name tell it apart."""
    texts = [column for column in table.columns if column.justify != "right" and not column.ratio]
    widths = {id(column): wide for column, wide in zip(table.columns, _widths(table, width), strict=True)}
    for column in table.columns:
        if column.ratio:
            widths[id(column)] = min(widths[id(column)], _LEAST_TEXT)
    excess = sum(widths.values()) + _GAP * (len(widths) - 1) - width
    while excess > 0 and texts:
        widest = max(texts, key=lambda column: widths[id(column)])
        if widths[id(widest)] <= _LEAST_NAME:
            break
        widths[id(widest)] -= 1
        excess -= 1
    for column in texts:
        column._cells[:] = [_elided(cell, widths[id(column)]) for cell in column._cells]


def _elided(cell: Any, width: int) -> Any:
    text = str(cell)
    if cell_len(text) <= width or not isinstance(cell, Text):
        return cell
    return Text(elide(text, width), style=cell.style, no_wrap=True, overflow="ellipsis")


def elide(text: str, width: int) -> str:
    """`text` in at most `width` characters: its beginning and its end, which tell names apart that begin alike."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}\u2026{text[len(text) - end :]}"


def _cells(column: Column) -> list[str]:
    """What stands in a column below its name."""
    return [str(cell) for cell in column._cells]


def _widths(table: Table, longest: int) -> list[int]:
    """How wide columns have to be, where a text needs to be no longer than `longest`."""
    widths = []
    for column in table.columns:
        footer = [str(column.footer)] if table.show_footer else []
        widest = max(cell_len(text) for text in (str(column.header), *footer, *_cells(column)))
        widths.append(widest if column.justify == "right" else min(widest, longest))
    return widths


def new_table(
    columns: Sequence[str],
    *,
    text_columns: int = 1,
    title: str | None = None,
    footer: bool = False,
    spare: Sequence[str] = (),
) -> Grid:
    """A table with `columns`: the first `text_columns` hold text, the others figures, which stand to the right.

    A column whose name for people is understood beside the one before it has another for programs, after a bar:
    `BYTES|BYTES OUT`. Where a table is too wide for the terminal, columns of figures are left out, `spare` ones first,
    and texts are shortened, the longest first.
    """
    table = Grid(
        columns,
        spare,
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
        name = column.partition("|")[0]
        if position < text_columns:
            table.add_column(name)
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table


def add_rows(table: Table, rows: Iterable[Sequence[str | Text]]) -> None:
    """Add `rows`, with the control characters of plain cells escaped and markup in them left as it is."""
    for row in rows:
        if isinstance(table, Grid):
            for position, cell in enumerate(row):
                if isinstance(cell, Figure | _Styled) and cell.unit:
                    table.units[position] = cell.unit
        table.add_row(*(styled(cell, "") if isinstance(cell, str) else cell for cell in row))


class _Styled(Text):
    """A text that may be a figure."""

    unit = ""


def styled(text: str, style: str) -> Text:
    """`text`, escaped, in a style of rich: `bold red`; never on two lines."""
    result = _Styled(escape(text), style=style, no_wrap=True, overflow="ellipsis")
    result.unit = text.unit if isinstance(text, Figure) else ""
    return result
