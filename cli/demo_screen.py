"""The demo's picture: the figures as one screen of a terminal, and as one line for where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lanebus.cli.demo_fault import FaultFigures, State
from lanebus.cli.demo_figures import Figures, LaneFigures, PlayerFigures, Saving
from lanebus.cli.text import escape, human_size
from lanebus.examples.arena.world import HEIGHT_M, TICKS_PER_S, WIDTH_M
from lanebus.wire.lanes import LANES

LANE_STYLES: Final = ("bold red", "bold cyan", "bold blue")
_QUALITY_STYLES: Final = {
    "excellent": "green",
    "good": "green",
    "fair": "yellow",
    "poor": "red",
    "lost": "bold red",
}
_DIM: Final = "bright_black"
_FAULT_STYLES: Final = {
    State.COMING: ("·", _DIM),
    State.ACTIVE: ("✗", "bold red"),
    State.RECOVERING: ("↻", "bold yellow"),
    State.OVER: ("✓", "green"),
}
"""How a fault is marked and shown."""

_WIDE_COLUMNS: Final = 100
"""From this width on there is room for the arena's map beside the players."""
_PLAYER_COLUMNS: Final = 60
_MAP_COLUMNS: Final = 36
_MAP_ROWS: Final = 9
"""A character is about twice as high as wide, so this is about the arena's shape."""
_ROWS_ABOVE: Final = 8
"""Rows above the players: the header, the lanes, the savings and the counts."""
_SPACED_ROWS: Final = 30
"""From this height on there is room for empty rows between the parts."""
_QUALITY_COLUMNS: Final = 10
_LIMIT_COLUMNS: Final = 22
"""As wide the column of qualities may be where nothing stands beside it: enough for the name of a limit too."""
_WAITING_SHOWN: Final = 400
"""A player for whom more events than this wait is shown with their number instead of its quality."""

_LANE_WIDTHS: Final = {True: (8, 8, 8, 8, 8, 8, 8, 8, 9, 8), False: (8, 6, 7, 6, 7, 7, 7, 6, 8, 6)}
"""The columns of the lanes' table, on a wide and on a narrow screen."""


def screen(figures: Figures, width: int, height: int) -> RenderableType:
    """The picture for a terminal of this size; it fills that at most, but has at least 13 rows."""
    wide = width >= _WIDE_COLUMNS
    inner = (_WIDE_COLUMNS if wide else width) - 2
    above: list[RenderableType] = [
        _header(figures, inner, wide),
        _lanes(figures.lanes, wide),
        Group(_savings(figures, inner), _counts(figures)),
    ]
    if figures.faults:
        above.append(Group(*(_fault(fault, inner) for fault in figures.faults)))
    gaps = [Text()] if height >= _SPACED_ROWS else []
    rows = max(height - _ROWS_ABOVE - len(figures.faults) - len(gaps) * (len(above) - 1), 3)
    has_map = wide and rows >= _MAP_ROWS + 2
    room = _QUALITY_COLUMNS if has_map else inner - _PLAYER_COLUMNS + _QUALITY_COLUMNS
    quality_columns = min(max(room, _QUALITY_COLUMNS), _LIMIT_COLUMNS)
    below: RenderableType = _players(figures.players, rows, quality_columns)
    if has_map:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=_PLAYER_COLUMNS)
        grid.add_column(width=_MAP_COLUMNS, no_wrap=True)
        grid.add_row(below, _arena(figures, rows))
        below = grid
    parts = [row for part in above[1:] for row in (part, *gaps)]
    return Padding(Group(above[0], *parts, below), (0, 1))


def line(figures: Figures) -> str:
    """The figures in one line."""
    lanes = "  ".join(
        f"{lane.label} {_ms(figure.p50_ms)}/{_ms(figure.p99_ms)} ms"
        for lane, figure in zip(LANES, figures.lanes, strict=True)
    )
    events_in = sum(lane.events_in_per_s or 0 for lane in figures.lanes)
    events_out = sum(lane.events_out_per_s or 0 for lane in figures.lanes)
    return (
        f"{_when(figures)}  {figures.connected} players  {figures.tick_rate:.1f} ticks/s  "
        f"events/s {events_in:,.0f} in {events_out:,.0f} out  p50/p99 {lanes}  "
        f"saved {_share(figures.messages.share)} messages {_share(figures.bytes.share)} bytes  "
        f"queued {sum(lane.queued_events for lane in figures.lanes)}  "
        f"in flight {sum(lane.in_flight for lane in figures.lanes)}"
    )


def news_of_faults(before: Figures | None, figures: Figures) -> list[str]:
    """What has been done to the match since `before` and what came of it, a line each."""
    old = [fault.state for fault in before.faults] if before else []
    states = old or [State.COMING for _ in figures.faults]
    news = []
    for state, fault in zip(states, figures.faults, strict=True):
        if fault.state is not state:
            news.append(f"{_when(figures)}  ! {fault.text if fault.state is State.OVER else fault.deed}")
    return news


def _when(figures: Figures) -> str:
    return "start" if figures.elapsed_s is None else f"{figures.elapsed_s:3.0f} s"


def _header(figures: Figures, width: int, wide: bool) -> Table:
    # Each piece is appended with a style of its own: what a Text is made with goes for all that is appended to it.
    left = Text()
    left.append("lanebus demo", "bold")
    if figures.broker_down_s is not None:
        left.append("   broker ", _DIM)
        left.append(f"DEAD {figures.broker_down_s:.1f} s", "bold white on red")
    else:
        left.append("   broker up ", _DIM)
        left.append(f"{figures.uptime_s:.0f} s")
    if wide and figures.broker_down_s is None:
        cpu = "-" if figures.broker_cpu is None else f"{figures.broker_cpu:.0%}"
        left.append(f" · {cpu} CPU · {human_size(figures.broker_bytes)}", _DIM)
    left.append(f"   {figures.connected}")
    left.append(f" player{'' if figures.connected == 1 else 's'}   ", _DIM)
    held = figures.tick_rate >= TICKS_PER_S - 1
    left.append(f"{figures.tick_rate:.1f}", "green" if held else "yellow")
    left.append(f" of {TICKS_PER_S} ticks/s", _DIM)
    if figures.elapsed_s is None:
        phase = "starting"
    elif figures.elapsed_s < figures.length_s:
        phase = f"{math.ceil(figures.length_s - figures.elapsed_s)} s left"
    elif any(fault.state is not State.OVER for fault in figures.faults):
        phase = "over time"
    else:
        phase = "settling"
    grid = Table.grid()
    grid.add_column(width=width - 10, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=10, justify="right", no_wrap=True)
    grid.add_row(left, Text(phase, "bold"))
    return grid


def _lanes(lanes: Sequence[LaneFigures], wide: bool) -> Text:
    widths = _LANE_WIDTHS[wide]
    pairs = ("events/s", "batches/s", "latency, ms", "queued")
    heads = [
        _ruled(title, widths[first] + widths[first + 1] - 1)
        for title, first in zip(pairs, (1, 3, 5, 7), strict=True)
    ]
    text = Text(no_wrap=True)
    text.append(
        " " * widths[0] + "".join(f"  {head}" for head in heads) + " " + "in".rjust(widths[-1]) + "\n", _DIM
    )
    names = ("", "in", "out", "in", "out", "p50", "p99", "events", "bytes", "flight")
    text.append(_cells(names, widths) + "\n", _DIM)
    for lane, style, figures in zip(LANES, LANE_STYLES, lanes, strict=True):
        text.append(lane.label.ljust(widths[0]), style)
        rates = (
            figures.events_in_per_s,
            figures.events_out_per_s,
            figures.batches_in_per_s,
            figures.batches_out_per_s,
        )
        text.append(" " + _cells([_rate(rate) for rate in rates], widths[1:5]))
        text.append(" " + _cells([_ms(figures.p50_ms), _ms(figures.p99_ms)], widths[5:7]), "bold")
        queued = (f"{figures.queued_events:,}", human_size(figures.queued_bytes))
        text.append(" " + _cells(queued, widths[7:9]), "" if figures.queued_events else _DIM)
        text.append(" " + _cells([f"{figures.in_flight:,}"], widths[9:]) + "\n")
    text.rstrip()
    return text


def _ruled(title: str, width: int) -> str:
    """`title` in the middle of a rule, or without one where there is no room for it."""
    return f" {title} ".center(width, "─") if width >= len(title) + 4 else title.center(width)


def _cells(texts: Sequence[str], widths: Sequence[int]) -> str:
    return " ".join(text.rjust(width) for text, width in zip(texts, widths, strict=True))


def _savings(figures: Figures, width: int) -> Text:
    bar = max((width - 45) // 2, 6)
    text = Text()
    for name, saving in (("messages saved", figures.messages), ("bytes saved", figures.bytes)):
        text.append(f"{name} ", _DIM)
        text.append(f"{_share(saving.share):>5} ", "bold green")
        text.append_text(_bar(saving, bar))
        text.append("   ")
    text.rstrip()
    text.no_wrap = True
    return text


def _counts(figures: Figures) -> Text:
    """What must come out even in the end; it stands still while there is no broker."""
    text = Text(no_wrap=True)
    counts = (
        (figures.sent, " events sent   "),
        (figures.handled, " deliveries handled   "),
        (figures.in_flight, " in flight   "),
        (figures.resent, " resent"),
    )
    for count, name in counts:
        text.append(f"{count:,}", "bold")
        text.append(name, _DIM)
    return text


def _fault(fault: FaultFigures, width: int) -> Text:
    mark, style = _FAULT_STYLES[fault.state]
    text = Text(no_wrap=True)
    text.append(f"{mark} ", style)
    text.append(escape(fault.text), style)
    text.truncate(width, overflow="ellipsis")
    return text


def _bar(saving: Saving, width: int) -> Text:
    filled = round(max(saving.share or 0.0, 0.0) * width)
    return Text("━" * filled, "green") + Text("━" * (width - filled), _DIM)


def _players(players: Sequence[PlayerFigures], rows: int, quality_columns: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=2, justify="right")
    table.add_column(width=10, no_wrap=True, overflow="ellipsis")
    table.add_column(width=5, justify="right", no_wrap=True)
    table.add_column(width=10, no_wrap=True)
    table.add_column(width=6, justify="right", no_wrap=True)
    table.add_column(width=quality_columns, no_wrap=True)
    table.add_column(width=5, justify="right", no_wrap=True)
    heads = ("", "player", "score", "health", "rtt ms", "quality", "ev/s")
    table.add_row(*(Text(head, _DIM) for head in heads))
    ranked = list(enumerate(players, start=1))
    fitting = rows - 1 if len(players) <= rows - 1 else rows - 2
    # Who is in trouble is shown, wherever it stands.
    below = [each for each in ranked[fitting:] if _is_in_trouble(each[1])][: fitting // 2]
    for rank, player in [*ranked[: fitting - len(below)], *below]:
        table.add_row(
            Text(f"{rank}", _DIM),
            Text(escape(player.name), "bold" if rank == 1 else ""),
            f"{player.score:,}",
            _health(player.health),
            _ms(player.rtt_ms),
            _quality(player, quality_columns),
            _rate(player.events_per_s),
        )
    if len(players) > fitting:
        table.add_row("", Text(f"+ {len(players) - fitting} more", _DIM))
    return table


def _is_in_trouble(player: PlayerFigures) -> bool:
    return bool(player.limit) or player.waiting_events > _WAITING_SHOWN


def _quality(player: PlayerFigures, columns: int) -> Text:
    if player.limit:
        text = f"THROTTLED {player.limit}"
        return Text(text if len(text) <= columns else "THROTTLED", "bold yellow")
    if player.waiting_events > _WAITING_SHOWN:
        return Text(f"{player.waiting_events:,} wait"[:10], "bold red")
    return Text(player.quality, _QUALITY_STYLES.get(player.quality, _DIM))


def _health(health: int) -> Text:
    if health <= 0:
        return Text("down", "red")
    filled = -(-health // 10)
    return Text("▪" * filled, _health_style(health)) + Text("·" * (10 - filled), _DIM)


def _health_style(health: int) -> str:
    return "green" if health > 60 else "yellow" if health > 25 else "red"


def _arena(figures: Figures, rows: int) -> RenderableType:
    """A room of the arena from above, and below it what has happened lately, the latest first."""
    drawing = _map(figures)
    left = rows - _MAP_ROWS - 2
    news = list(figures.news)[: -max(left, 0) - 1 : -1] if left > 0 else []
    return Group(drawing, *(_news_line(text) for text in news))


def _map(figures: Figures) -> Text:
    columns, rows = _MAP_COLUMNS - 2, _MAP_ROWS
    cells: dict[tuple[int, int], tuple[str, str]] = {}

    def place(x_m: float, y_m: float) -> tuple[int, int]:
        column = min(max(int(x_m / WIDTH_M * columns), 0), columns - 1)
        row = min(max(int(y_m / HEIGHT_M * rows), 0), rows - 1)
        return column, row

    for x_m, y_m in figures.shots:
        cells[place(x_m, y_m)] = ("·", "bright_white")
    # The leader comes last, so that nobody stands before it.
    inside = [player for player in figures.players if player.room == figures.room]
    for rank, player in reversed(list(enumerate(inside))):
        mark = "x" if player.health <= 0 else "★" if rank == 0 else "●"
        cells[place(player.x_m, player.y_m)] = (
            mark,
            _DIM if player.health <= 0 else _health_style(player.health),
        )
    text = Text()
    title = f" room {figures.room} of {figures.rooms} " if figures.rooms > 1 else ""
    text.append("╭" + title.center(columns, "─") + "╮\n", _DIM)
    for row in range(rows):
        text.append("│", _DIM)
        for column in range(columns):
            text.append(*cells.get((column, row), (" ", "")))
        text.append("│\n", _DIM)
    text.append("╰" + "─" * columns + "╯", _DIM)
    return text


def _news_line(news: str) -> Text:
    text = Text()
    speaker, colon, said = news.partition(": ")
    if colon:
        text.append(escape(speaker), "cyan")
        text.append(f": {escape(said)}", "italic")
    else:
        killer, _, killed = news.partition(" shot ")
        text.append(escape(killer), "bold")
        text.append(" shot ", "red")
        text.append(escape(killed))
    text.truncate(_MAP_COLUMNS, overflow="ellipsis")
    return text


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
