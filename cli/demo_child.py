"""The demo's children: the arena's server in one process, the bots in others, each reporting to the demo.

Started as `python -m lanebus.cli.demo_child server|bots|bot|flooder BROKER SEED FIRST COUNT PARENT`. `bots`, `bot` and
`flooder` play COUNT bots from number FIRST on: the first two differ in how `ps` shows them, and the first bot of
`flooder` floods when it is told to. A child ends when its standard input does, and is
killed with its parent, so that no way of losing the demo leaves it behind, not even one that is stopped.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

import lanebus
from lanebus.cli.demo_flooder import OUTBOX_BYTES, Flooder
from lanebus.cli.demo_meter import CountingServer, Meter, books_of, resent_by
from lanebus.cli.demo_reports import ARENA, REPORT_S, Report, UnitFigures, Word
from lanebus.cli.exits import CliError
from lanebus.cli.parent import die_with
from lanebus.examples.arena import messages
from lanebus.examples.arena.bot import Swarm
from lanebus.examples.arena.server import ArenaServer
from lanebus.examples.arena.world import UnitBody

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
        """Whether it is time for a report; once it says so, the next one is due `REPORT_S` later."""
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


def serve(link: Link, broker: str, seed: int) -> None:
    """Be the arena's server until told to close."""
    meter = Meter()
    adapter = CountingServer(ARENA, service=messages.SERVICE, broker=broker)
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
            latencies=meter.take_latencies(),
            books=books_of([adapter]),
            resent=resent_by([adapter]),
            meant=adapter.meant,
            first_meant=adapter.first_meant,
            ended_otherwise=adapter.ended_otherwise,
            handled=meter.handled,
            repeated=meter.repeated,
            late_s=meter.late_s,
            silences=meter.take_silences(),
            flood=meter.flood(),
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


def play(link: Link, broker: str, seed: int, first: int, count: int, **options: Any) -> None:
    """Be `count` bots from number `first` on until told to close; `options` are for their adapters."""
    meter = Meter()
    news: deque[str] = deque(maxlen=NEWS_LINES)

    def note_with_news(event: lanebus.Event) -> None:
        meter.note(event)
        line = headline(event)
        if line:
            news.append(line)

    # Everybody in a room hears of everything that happens there; the first bot is the one that tells.
    swarm = Swarm(
        count,
        broker,
        seed,
        first=first,
        observe=lambda index: meter.note if index else note_with_news,
        **options,
    )
    adapters = [bot.adapter for bot in swarm.bots]
    flooder = Flooder(adapters[0])
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
            latencies=meter.take_latencies(),
            books=books_of(adapters),
            resent=resent_by(adapters),
            handled=meter.handled,
            firsts=meter.firsts,
            repeated=meter.repeated,
            late_s=meter.late_s,
            silences=meter.take_silences(),
            flood=flooder.counts(),
            unsettled=dict(unsettled),
            witness=swarm.bots[0].adapter.name,
            news=told,
            closed=bool(final),
            unanswered=final.get("unanswered", 0),
        )

    swarm.start()
    while not closing:
        for word in link.words():
            flooder.is_on = word is Word.FLOOD
            resting |= word in (Word.REST, Word.CLOSE)
            closing |= word is Word.CLOSE
        if link.report_due():
            link.send(report())
        flooder.turn(time.monotonic())
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
    """Run one of them; a failure is one line on standard error."""
    role, broker = arguments[:2]
    seed, first, count, parent_pid = map(int, arguments[2:])
    link = Link()
    roles: dict[str, Callable[[], None]] = {
        "server": lambda: serve(link, broker, seed),
        "bots": lambda: play(link, broker, seed, first, count),
        "bot": lambda: play(link, broker, seed, first, count),
        "flooder": lambda: play(link, broker, seed, first, count, outbox_bytes=OUTBOX_BYTES),
    }
    try:
        die_with(parent_pid, signal.SIGKILL)
        roles[role]()
    except (DemoGone, CliError):
        return 0
    except lanebus.LanebusError as error:
        print(error, file=sys.stderr)
        return 69
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
