"""The demo's last word: what the match has come to, whether every event is accounted for, as JSON and for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from lanebus.cli.demo_figures import Gatherer, Saving, in_ms
from lanebus.cli.output import Out, add_rows, new_table, styled
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import OUTCOME_NAMES, Book

PODIUM: Final = 3
UNSETTLED_LINES: Final = 8
_BOOKS: Final = {
    "senders": "the senders, events",
    "broker_events": "the broker, events",
    "broker_deliveries": "the broker, deliveries",
}
_COUNTED: Final = (("score", "point"), ("kills", "kill"), ("deaths", "death"))


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What only the demo itself knows of the match, besides what it has gathered."""

    seconds: float
    """How long the match was."""
    seed: int
    tick_rate: float
    """The server's ticks per second over the whole match."""
    players: int
    interrupted: bool
    """Whether it was ended before its time."""
    audit: Mapping[str, Any]
    """The broker's answer to `audit`, at rest if it came to rest."""
    unanswered: int
    """Events that closing the adapters had to give up."""


@dataclass(frozen=True)
class Result:
    """The match as plain figures, and the verdict over them."""

    figures: Mapping[str, Any]
    """As printed in JSON: bytes, seconds, milliseconds, shares of one."""

    @property
    def balanced(self) -> bool:
        """Whether every event is accounted for."""
        return bool(self.figures["balanced"])

    @classmethod
    def of(cls, facts: Facts, gathered: Gatherer) -> Result:
        """Sum up."""
        sent = gathered.sent()
        total = _total(sent)
        audit = facts.audit
        problems = list(audit["problems"])
        kept = _total([_book(audit["books"]["events"][lane.label]) for lane in LANES])
        if not audit["at_rest"] and not problems:
            problems.append(f"the broker did not come to rest, with {kept.in_flight:,} events in flight")
        if total.in_flight:
            problems.append(f"{total.in_flight} events are still in flight")
        if facts.unanswered:
            problems.append(f"closing gave up {facts.unanswered} events")
        if kept.accepted != total.accepted and not problems:
            problems.append(f"the senders have accepted {total.accepted} events, the broker {kept.accepted}")
        return cls(
            {
                "seconds": facts.seconds,
                "interrupted": facts.interrupted,
                "seed": facts.seed,
                "players": facts.players,
                "ticks_per_s": facts.tick_rate,
                "events": total.accepted,
                "deliveries": sum(audit["books"]["parts"][lane.label]["delivered"] for lane in LANES),
                "latency_ms": {
                    lane.label: {
                        "events": histogram.count,
                        "mean": in_ms(histogram.mean_us()),
                        "p50": in_ms(histogram.quantile_us(0.50)),
                        "p99": in_ms(histogram.quantile_us(0.99)),
                        "max": in_ms(histogram.max_us if histogram.count else None),
                    }
                    for lane, histogram in zip(LANES, gathered.latency, strict=True)
                },
                "messages": _saving(gathered.messages()),
                "bytes": _saving(gathered.bytes()),
                "ranking": [
                    {"name": each.name, "score": each.score, "kills": each.kills, "deaths": each.deaths}
                    for each in gathered.players()
                ],
                "books": {
                    "senders": {lane.label: sent[lane].as_dict() for lane in LANES},
                    "broker_events": audit["books"]["events"],
                    "broker_deliveries": audit["books"]["parts"],
                },
                "unsettled": gathered.unsettled(),
                "broker": {
                    "cpu_s": gathered.status["cpu_s"],
                    "uptime_s": gathered.status["uptime_s"],
                    "rss_bytes": gathered.status["rss_bytes"],
                    "rss_peak_bytes": gathered.status["rss_peak_bytes"],
                    "errors": gathered.status["errors"],
                },
                "balanced": not problems,
                "problems": problems,
                "verdict": verdict(total, problems),
            }
        )


def verdict(total: Book, problems: Sequence[str]) -> str:
    """The audit's judgement in one line."""
    if problems:
        return f"the books do not balance: {'; '.join(problems)}"
    ends = [
        f"{count:,} {name}"
        for name, count in zip(OUTCOME_NAMES, total.ended, strict=True)
        if count or name == "delivered"
    ]
    return f"the books balance: {total.accepted:,} accepted = {' + '.join(ends)}, {total.in_flight} in flight"


def show(result: Result, out: Out) -> None:
    """Print the result in the format that `out` stands for."""
    figures = result.figures
    if out.is_json:
        out.json(figures)
        return
    early = " (ended early)" if figures["interrupted"] else ""
    _fact(
        out,
        "match",
        f"{figures['seconds']:.1f} s{early}, {_of(figures['players'], 'player')}, "
        f"{figures['ticks_per_s']:.1f} ticks/s, seed {figures['seed']}",
    )
    if figures["ranking"]:
        _fact(out, "winner", _podium(figures["ranking"]))
    _fact(out, "events", f"{figures['events']:,} sent, {figures['deliveries']:,} deliveries")
    _fact(out, "messages", _saved(figures["messages"], out.count))
    _fact(out, "bytes", _saved(figures["bytes"], lambda size: out.size(size, unit=True)))
    broker = figures["broker"]
    _fact(
        out,
        "broker",
        f"{broker['cpu_s'] / max(broker['uptime_s'], 0.001):.0%} of a core, "
        f"{out.size(broker['rss_peak_bytes'], unit=True)} of memory at most",
    )
    _gap(out)
    latency = new_table(["send to handler", "events", "mean ms", "p50 ms", "p99 ms", "max ms"])
    add_rows(
        latency,
        [
            [name, out.count(each["events"]), *(out.ms(each[key]) for key in ("mean", "p50", "p99", "max"))]
            for name, each in figures["latency_ms"].items()
        ],
    )
    out.table(latency)
    _gap(out)
    _show_books(out, figures["books"])
    for text, count in sorted(figures["unsettled"].items(), key=lambda item: -item[1])[:UNSETTLED_LINES]:
        out.line(f"not delivered: {count} x {text}")
    out.line()
    out.line(styled(figures["verdict"], "bold green" if result.balanced else "bold red"))


def _show_books(out: Out, books: Mapping[str, Mapping[str, Mapping[str, int]]]) -> None:
    """The books of all lanes together; JSON has them lane by lane."""
    sums = {key: _total([_book(book) for book in books[key].values()]).as_dict() for key in _BOOKS}
    used = [
        name for name in OUTCOME_NAMES if name == "delivered" or any(book[name] for book in sums.values())
    ]
    columns = ["accepted", *used, "in_flight"]
    table = new_table(["book of", *(name.replace("_", " ") for name in columns)])
    add_rows(
        table, [[title, *(out.count(sums[key][name]) for name in columns)] for key, title in _BOOKS.items()]
    )
    out.table(table)


def _podium(ranking: Sequence[Mapping[str, Any]]) -> str:
    first, *others = ranking[:PODIUM]
    counts = ", ".join(_of(first[what], noun) for what, noun in _COUNTED)
    text = f"{first['name']} with {counts}"
    if others:
        text += "; then " + " and ".join(f"{each['name']} with {each['score']:,}" for each in others)
    return text


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _gap(out: Out) -> None:
    """An empty line, where the frame of a table does not leave one."""
    if not out.human:
        out.line()


def _fact(out: Out, name: str, text: str) -> None:
    out.line(Text(f"{name:<10}", "bold cyan" if out.human else "") + Text(text))


def _saved(saving: Mapping[str, Any], unit: Callable[[float], str]) -> str:
    share = saving["saved"]
    fewer = f"{share:.1%} fewer" if share is not None else "nothing travelled"
    return f"{unit(saving['actual'])} instead of {unit(saving['without'])}: {fewer}"


def _saving(saving: Saving) -> dict[str, Any]:
    return {"actual": saving.actual, "without": saving.without, "saved": saving.share}


def _total(books: Sequence[Book]) -> Book:
    total = Book()
    for book in books:
        total.add(book)
    return total


def _book(figures: Mapping[str, int]) -> Book:
    return Book(figures["accepted"], [figures[name] for name in OUTCOME_NAMES])
