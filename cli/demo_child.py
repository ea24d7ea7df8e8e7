"""The demo's children: the arena's server in one process, all bots in another, each reporting to the demo.

Started as `python -m lanebus.cli.demo_child server|bots BROKER BOTS SEED`. A child ends when its standard input does,
so that no way of losing the demo leaves it behind.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

import msgspec

import lanebus
from lanebus.cli.demo_reports import REPORT_S, Report, UnitFigures, Word
from lanebus.examples.arena import messages
from lanebus.examples.arena.bot import Swarm
from lanebus.examples.arena.server import ArenaServer
from lanebus.examples.arena.world import UnitBody
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import Book

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
NEWS_LINES = 20
"""At most this many lines of news per report; nobody could read more."""


class DemoGone(Exception):
    """The process that started this one has ended."""


class Link:
    """This child's pipes to the demo."""

    def __init__(self) -> None:
        os.set_blocking(0, False)
        self._received = b""
        self._due_s = time.monotonic()

    def words(self) -> Iterable[Word]:
        """What the demo has said since the last look.

        Raises:
            DemoGone: it has ended.
        """
        try:
            data = os.read(0, 4096)
        except BlockingIOError:
            return
        if not data:
            raise DemoGone
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            yield Word(line.decode())

    def report_due(self) -> bool:
        """Whether it is time for a report; once it says so, the next one is due half a second later."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        self._due_s = now_s + REPORT_S
        return True

    def send(self, report: Report) -> None:
        """Send a report.

        Raises:
            DemoGone: nobody reads any more.
        """
        try:
            os.write(1, msgspec.json.encode(report) + b"\n")
        except BrokenPipeError:
            raise DemoGone from None


class Meter:
    """Latencies of arriving events per lane, from one report to the next."""

    def __init__(self) -> None:
        self._lanes = [Histogram() for _ in LANES]

    def note(self, event: lanebus.Event) -> None:
        """Count one event; `age_ms` is the time from `send` in the sender to here."""
        self._lanes[event.lane].record(int(event.age_ms * 1000))

    def take(self) -> tuple[list[int], list[int], list[int]]:
        """The latencies since the last call."""
        critical, normal, low = (histogram.as_list() for histogram in self._lanes)
        self._lanes = [Histogram() for _ in LANES]
        return critical, normal, low


def books_of(
    adapters: Iterable[lanebus.ServerAdapter | lanebus.ClientAdapter],
) -> tuple[list[int], list[int], list[int]]:
    """The books of all `adapters` together, lane by lane."""
    sums = [Book() for _ in LANES]
    for adapter in adapters:
        for lane in LANES:
            sums[lane].add(adapter.book(lane))
    critical, normal, low = (book.as_list() for book in sums)
    return critical, normal, low


def serve(link: Link, broker: str, seed: int) -> None:
    """Be the arena's server until told to close."""
    meter = Meter()
    adapter = lanebus.ServerAdapter("arena-1", service=messages.SERVICE, broker=broker)
    arena = ArenaServer(adapter, seed, meter.note)
    state = {"resting": False, "closing": False}
    rate_from: list[float] = [0.0, time.monotonic()]

    def report(**final: int) -> Report:
        now_s = time.monotonic()
        tick_rate = (arena.tick - rate_from[0]) / max(now_s - rate_from[1], 1e-3)
        rate_from[:] = [arena.tick, now_s]
        return Report(
            connected=int(adapter.state == "up"),
            playing=arena.players,
            resting=state["resting"],
            in_flight=adapter.in_flight,
            latencies=meter.take(),
            books=books_of([adapter]),
            unsettled=dict(arena.unsettled),
            ticks=arena.tick,
            tick_rate=tick_rate,
            units=[_figures(unit, room.number) for room in arena.rooms for unit in room.world.units.values()],
            shots=[
                (room.number, round(shot.x_m, 1), round(shot.y_m, 1))
                for room in arena.rooms
                for shot in room.world.shots
            ],
            closed=bool(final),
            unanswered=final.get("unanswered", 0),
        )

    def listen() -> None:
        for word in link.words():
            state["resting"] = True
            state["closing"] |= word is Word.CLOSE
        if link.report_due():
            link.send(report())

    def playing() -> bool:
        listen()
        return not state["resting"]

    adapter.connect(CONNECT_TIMEOUT_S)
    arena.run(playing)
    while not state["closing"]:
        listen()
        adapter.wait(timeout_s=0.02)
    link.send(report(unanswered=adapter.close(CLOSE_TIMEOUT_S)))


def play(link: Link, broker: str, count: int, seed: int) -> None:
    """Be all the bots until told to close."""
    meter = Meter()
    news: deque[str] = deque(maxlen=NEWS_LINES)

    def note_with_news(event: lanebus.Event) -> None:
        meter.note(event)
        line = headline(event)
        if line:
            news.append(line)

    # Everybody in a room hears of everything that happens there; the first bot is the one that tells.
    swarm = Swarm(count, broker, seed, observe=lambda index: meter.note if index else note_with_news)
    adapters = [bot.adapter for bot in swarm.bots]
    resting = closing = False

    def report(**final: int) -> Report:
        unsettled: Counter[str] = Counter()
        for bot in swarm.bots:
            unsettled.update(bot.unsettled)
        told = list(news)
        news.clear()
        return Report(
            connected=swarm.up,
            playing=sum(bot.welcome for bot in swarm.bots),
            resting=resting,
            in_flight=swarm.in_flight,
            latencies=meter.take(),
            books=books_of(adapters),
            unsettled=dict(unsettled),
            witness=swarm.bots[0].adapter.name,
            news=told,
            closed=bool(final),
            unanswered=final.get("unanswered", 0),
        )

    swarm.start()
    while not closing:
        for word in link.words():
            resting = True
            closing |= word is Word.CLOSE
        if link.report_due():
            link.send(report())
        swarm.turn(playing=not resting)
    link.send(report(unanswered=swarm.close()))


def _figures(unit: UnitBody, room: int) -> UnitFigures:
    return UnitFigures(
        unit.name,
        round(unit.x_m, 1),
        round(unit.y_m, 1),
        unit.health,
        unit.score,
        unit.kills,
        unit.deaths,
        room,
    )


def headline(event: lanebus.Event) -> str:
    """What an event is worth in the demo's news: one line, or nothing."""
    said = event.payload
    if isinstance(said, messages.Died):
        return f"{_short(said.by)} shot {_short(said.unit)}"
    if isinstance(said, messages.Said):
        return f"{_short(said.by)}: {said.text}"
    return ""


def _short(player: str) -> str:
    return player.partition(":")[2]


def main(arguments: list[str]) -> int:
    """Run one of the two; a failure is one line on standard error."""
    role, broker, count, seed = arguments[0], arguments[1], int(arguments[2]), int(arguments[3])
    link = Link()
    roles: dict[str, Callable[[], None]] = {
        "server": lambda: serve(link, broker, seed),
        "bots": lambda: play(link, broker, count, seed),
    }
    try:
        roles[role]()
    except DemoGone:
        return 0
    except lanebus.LanebusError as error:
        print(error, file=sys.stderr)
        return 69
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
