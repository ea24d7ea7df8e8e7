"""The demo's last word: what the match has come to, whether every event is accounted for, as JSON and for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.text import Text

from lanebus.cli.demo_figures import Gatherer, Saving, in_ms
from lanebus.cli.output import Out, add_rows, new_table, styled
from lanebus.cli.text import human_time
from lanebus.cli.why import show_verdict
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import OUTCOME_NAMES, Book

PODIUM: Final = 3
UNSETTLED_LINES: Final = 8
_BOOKS: Final = {
    "senders": "the senders, events",
    "broker_events": "{broker}, events",
    "broker_deliveries": "{broker}, deliveries",
}
_BROKER: Final = ("the broker", "the last broker")
"""Books are per start of a broker: what was settled before the last one is in no book of it."""
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
    faults: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """What was done to the match: see `Faults.as_list`."""
    outage_s: float | None = None
    """The longest time for which anybody heard nothing because the broker was killed."""
    why: Mapping[str, Any] | None = None
    """The broker's answer to `why` for the player that floods, while it was throttled."""


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
        ledger = gathered.ledger()
        if ledger.lost:
            problems.append(f"{_of(ledger.lost, 'delivery', 'deliveries')} lost")
        if ledger.duplicated:
            problems.append(f"{_of(ledger.duplicated, 'delivery', 'deliveries')} duplicated or out of order")
        if not gathered.restarts and kept.accepted != total.accepted and not problems:
            problems.append(f"the senders have accepted {total.accepted} events, the broker {kept.accepted}")
        return cls(
            {
                "seconds": facts.seconds,
                "interrupted": facts.interrupted,
                "seed": facts.seed,
                "players": facts.players,
                "ticks_per_s": facts.tick_rate,
                "events": total.accepted,
                "deliveries": ledger.handled,
                "ledger": asdict(ledger),
                "faults": list(facts.faults),
                "broker_starts": 1 + gathered.restarts,
                "longest_outage_s": facts.outage_s,
                "resent_events": gathered.resent,
                "latency_ms": _latencies(gathered.latency),
                "calm_latency_ms": _latencies(gathered.calm_latency),
                "others_critical_ms": {
                    "calm": _latency(gathered.others_calm),
                    "flood": _latency(gathered.others_flooded),
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
                    "cpu_share": gathered.cpu_share(),
                    "cpu_s": gathered.status["cpu_s"],
                    "uptime_s": gathered.status["uptime_s"],
                    "rss_bytes": gathered.status["rss_bytes"],
                    "rss_peak_bytes": gathered.status["rss_peak_bytes"],
                    "errors": gathered.status["errors"],
                },
                "balanced": not problems,
                "problems": problems,
                "verdict": verdict(total, problems),
                "why": facts.why,
            }
        )


def verdict(total: Book, problems: Sequence[str]) -> str:
    """The judgement over all books in one line."""
    if problems:
        return f"the books do not balance: {'; '.join(problems)}"
    ends = [
        f"{count:,} {name}"
        for name, count in zip(OUTCOME_NAMES, total.ended, strict=True)
        if count or name == "delivered"
    ]
    return f"the books balance: {total.accepted:,} accepted = {' + '.join(ends)}, {total.in_flight} in flight"


def proof(ledger: Mapping[str, int], outage_s: float | None) -> str:
    """What both ends have counted, without a broker's word, in one line."""
    counted = f"{ledger['lost']:,} lost, {ledger['duplicated']:,} duplicated"
    outage = "" if outage_s is None else f", longest outage {outage_s:.1f} s"
    return f"{_of(ledger['meant'], 'delivery', 'deliveries')} counted at both ends: {counted}{outage}"


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
        f"{broker['cpu_share']:.0%} of a core, "
        f"{out.size(broker['rss_peak_bytes'], unit=True)} of memory at most",
    )
    texts = [
        text for fault in figures["faults"] for text in fault_texts(fault, figures["others_critical_ms"])
    ]
    for number, text in enumerate(texts):
        _fact(out, "" if number else "faults", text)
    _gap(out)
    # What came while there was no broker is late by as long as that took, and says nothing about the lanes.
    is_hurt = bool(figures["faults"])
    columns = ["events", "mean ms", "p50 ms", "p99 ms", "max ms", *(["max ms, faults"] if is_hurt else [])]
    latency = new_table(["send to handler", *columns])
    for name, each in figures["calm_latency_ms"].items():
        row = [name, out.count(each["events"]), *(out.ms(each[key]) for key in ("mean", "p50", "p99", "max"))]
        add_rows(latency, [[*row, *([out.ms(figures["latency_ms"][name]["max"])] if is_hurt else [])]])
    out.table(latency)
    _gap(out)
    _show_books(out, figures["books"], _BROKER[figures["broker_starts"] > 1])
    _gap(out)
    _show_ledger(out, figures["ledger"])
    for text, count in sorted(figures["unsettled"].items(), key=lambda item: -item[1])[:UNSETTLED_LINES]:
        out.line(f"not delivered: {count} x {text}")
    out.line()
    out.line(styled(proof(figures["ledger"], figures["longest_outage_s"]), "bold"))
    out.line(styled(figures["verdict"], "bold green" if result.balanced else "bold red"))
    if figures["why"] is not None:
        out.line()
        out.line(styled(f"lanebus why {_short(figures['why']['name'])}, while it flooded:", "bold"))
        show_verdict(out, figures["why"])


def fault_texts(fault: Mapping[str, Any], others_critical_ms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One fault, and how it was got over, in a line or some."""
    return _flood_texts(fault, others_critical_ms) if fault["kind"] == "flood" else [_fault_text(fault)]


def _flood_texts(flood: Mapping[str, Any], others_critical_ms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    name, sent, handled = _short(flood["target"]), flood["sent_events"], flood["handled_events"]
    lasted = "" if flood["lasted_s"] is None else f" {flood['lasted_s']:.1f} s"
    end = "all handled" if handled == sent else f"{handled:,} handled"
    if flood["recovery_s"] is not None:
        end += f" {human_time(flood['recovery_s'])} later"
    texts = [f"{name} flooded{lasted}: {flood['tried_events']:,} tried, {sent:,} sent, {end}"]
    if flood["accepted_events"] is not None:
        allowed = "it has no limit"
        if flood["allowed_events"] is not None:
            rate = f"{flood['events_burst']:,} and {flood['events_per_s']:,.0f}/s"
            allowed = f"its limit for all lanes: {flood['allowed_events']:,} ({rate})"
        texts.append(f"{flood['accepted_events']:,} accepted meanwhile; {allowed}")
    waited = human_time(flood["longest_wait_ms"] / 1e3)
    texts.append(f"up to {flood['most_held_events']:,} held back at once, none for longer than {waited}")
    without, during = (others_critical_ms[when]["p99"] for when in ("calm", "flood"))
    if without is not None and during is not None:
        texts.append(f"others' critical p99: {without:.1f} ms without the flood, {during:.1f} ms with it")
    return texts


def _short(name: str) -> str:
    return name.partition(":")[2] or name


def _fault_text(fault: Mapping[str, Any]) -> str:
    name = _short(fault["target"])
    lasted = "" if fault["lasted_s"] is None else f" {fault['lasted_s']:.1f} s"
    if fault["kind"] == "stop":
        recovered = "" if fault["recovery_s"] is None else f", caught up in {human_time(fault['recovery_s'])}"
        return f"{name} stopped (SIGSTOP){lasted}: {_of(fault['waiting_events'], 'event')} waited{recovered}"
    outage = "" if fault["outage_s"] is None else f", outage {fault['outage_s']:.1f} s"
    return f"{name} killed (SIGKILL), back in{lasted}: {_of(fault['resent_events'], 'event')} resent{outage}"


def _show_ledger(out: Out, ledger: Mapping[str, int]) -> None:
    """The deliveries as senders meant them and receivers handled them: no broker's word is in it."""
    table = new_table(["counted at both ends", "meant", "handled", "ended otherwise", "lost", "duplicated"])
    names = ("meant", "handled", "ended_otherwise", "lost", "duplicated")
    add_rows(table, [["deliveries", *(out.count(ledger[name]) for name in names)]])
    out.table(table)


def _show_books(out: Out, books: Mapping[str, Mapping[str, Mapping[str, int]]], broker: str) -> None:
    """The books of all lanes together; JSON has them lane by lane."""
    sums = {key: _total([_book(book) for book in books[key].values()]).as_dict() for key in _BOOKS}
    used = [
        name for name in OUTCOME_NAMES if name == "delivered" or any(book[name] for book in sums.values())
    ]
    columns = ["accepted", *used, "in_flight"]
    table = new_table(["book of", *(name.replace("_", " ") for name in columns)])
    add_rows(
        table,
        [
            [title.format(broker=broker), *(out.count(sums[key][name]) for name in columns)]
            for key, title in _BOOKS.items()
        ],
    )
    out.table(table)


def _podium(ranking: Sequence[Mapping[str, Any]]) -> str:
    first, *others = ranking[:PODIUM]
    counts = ", ".join(_of(first[what], noun) for what, noun in _COUNTED)
    text = f"{first['name']} with {counts}"
    if others:
        text += "; then " + " and ".join(f"{each['name']} with {each['score']:,}" for each in others)
    return text


def _of(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _latencies(histograms: Sequence[Histogram]) -> dict[str, dict[str, float | None]]:
    return {lane.label: _latency(histogram) for lane, histogram in zip(LANES, histograms, strict=True)}


def _latency(histogram: Histogram) -> dict[str, float | None]:
    return {
        "events": histogram.count,
        "mean": in_ms(histogram.mean_us()),
        "p50": in_ms(histogram.quantile_us(0.50)),
        "p99": in_ms(histogram.quantile_us(0.99)),
        "max": in_ms(histogram.max_us if histogram.count else None),
    }


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
