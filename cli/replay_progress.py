"""What a replay shows while it runs, on standard error: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from typing import Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lanebus.cli.output import styled
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_result import Progress

LINE_INTERVAL_S: Final = 5.0
SCREEN_INTERVAL_S: Final = 0.5
"""Drawing takes milliseconds, which the replay itself lacks: not more often than is readable."""


class ProgressView:
    """Shows how far a replay is. A context manager: entering takes the terminal, leaving gives it back."""

    def __init__(self, plan: Plan, until_s: float, stream: TextIO) -> None:
        """Show a replay of `plan`, which ends at match time `until_s`, on `stream`."""
        self._sends = len(plan.topics)
        self._deliveries = plan.deliveries
        self._matches = len(plan.matches)
        self._until_s = until_s
        self._stream = stream
        self._live = (
            Live(console=Console(file=stream), auto_refresh=False, transient=True)
            if stream.isatty()
            else None
        )
        self._interval_s = SCREEN_INTERVAL_S if self._live else LINE_INTERVAL_S
        self._started = self._shown = time.monotonic()
        self._last = (0, 0)

    def __enter__(self) -> ProgressView:
        if self._live is not None:
            self._live.start()
        self._started = self._shown = time.monotonic()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress, queued_events: int | None) -> None:
        """Show `progress`, if it is time to; `queued_events` wait in the broker, None while it is away."""
        now = time.monotonic()
        elapsed_s = now - self._shown
        if elapsed_s < self._interval_s:
            return
        self._shown = now
        sent_per_s = (progress.sent - self._last[0]) / elapsed_s
        delivered_per_s = (progress.delivered - self._last[1]) / elapsed_s
        self._last = (progress.sent, progress.delivered)
        if self._live is not None:
            self._live.update(self._table(progress, queued_events, sent_per_s, delivered_per_s), refresh=True)
        else:
            self._stream.write(self._line(progress, queued_events, sent_per_s, delivered_per_s) + "\n")
            self._stream.flush()

    def _line(self, progress: Progress, queued: int | None, sent_per_s: float, delivered_per_s: float) -> str:
        where = (
            f"match {_time(min(progress.match_s, self._until_s))}, "
            if math.isfinite(progress.match_s)
            else ""
        )
        trouble = f", {progress.wrong} WRONG" if progress.wrong else ""
        trouble += f", no broker for {progress.away_s:.0f} s" if progress.away_s else ""
        return (
            f"{self._shown - self._started:.0f} s: {where}sent {progress.sent}/{self._sends} ({sent_per_s:.0f}/s), "
            f"delivered {progress.delivered}/{self._deliveries} ({delivered_per_s:.0f}/s), "
            f"in flight {progress.in_flight}, queued {'-' if queued is None else queued}{trouble}"
        )

    def _table(
        self, progress: Progress, queued: int | None, sent_per_s: float, delivered_per_s: float
    ) -> Table:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="cyan")
        grid.add_column(justify="right")
        grid.add_column(justify="right", style="dim")
        grid.add_column()
        matches = f"{self._matches} match{'es' if self._matches > 1 else ''}"
        clock = (
            _time(min(progress.match_s, self._until_s))
            if math.isfinite(progress.match_s)
            else "at full speed"
        )
        grid.add_row("playing", matches, clock, styled(f"{self._shown - self._started:.0f} s", "dim"))
        grid.add_row("sent", f"{progress.sent:,}", f"{sent_per_s:,.0f}/s", _bar(progress.sent, self._sends))
        grid.add_row(
            "delivered",
            f"{progress.delivered:,}",
            f"{delivered_per_s:,.0f}/s",
            _bar(progress.delivered, self._deliveries),
        )
        waiting = "-" if queued is None else f"{queued:,}"
        grid.add_row("in flight", f"{progress.in_flight:,}", "", Text(f"{waiting} queued in the broker"))
        if progress.wrong:
            grid.add_row(styled("wrong", "bold red"), styled(f"{progress.wrong:,}", "bold red"))
        if progress.away_s:
            grid.add_row(styled("no broker", "bold red"), styled(f"for {progress.away_s:.0f} s", "bold red"))
        return grid


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(total=max(total, 1), completed=done, width=30)


def _time(match_s: float) -> str:
    minutes, seconds = divmod(int(match_s), 60)
    return f"{minutes}:{seconds:02d}"
