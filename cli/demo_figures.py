"""The demo's figures: what broker and children report, folded into what the screen and the final report show."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from lanebus.cli.demo_fault import FaultFigures, FloodSeen
from lanebus.cli.demo_ledger import Ledger
from lanebus.cli.demo_reports import FloodCounts, Report, Silence, UnitFigures
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Book

RATE_SPAN_S: Final = 2.0
"""Rates are those of this last while."""
LATENCY_SPAN_S: Final = 5.0
"""Latencies on the screen are those of this last while; it needs to be long enough for a 99th percentile."""
NEWS_LINES: Final = 40
"""Lines of news that are kept."""

Numbers = Mapping[str, Any]
"""An answer of the control endpoint."""


@dataclass(frozen=True, kw_only=True)
class LaneFigures:
    """One lane as it is now."""

    events_in_per_s: float | None
    """Sent by peers to the broker. Rates are None until there are two samples."""
    events_out_per_s: float | None
    """Sent by the broker to receivers."""
    batches_in_per_s: float | None
    batches_out_per_s: float | None
    p50_ms: float | None
    p99_ms: float | None
    queued_events: int
    queued_bytes: int
    in_flight: int


@dataclass(frozen=True, kw_only=True)
class PlayerFigures:
    """One player as it is now."""

    name: str
    score: int
    health: int
    kills: int
    deaths: int
    x_m: float
    y_m: float
    room: int
    rtt_ms: float | None = None
    quality: str = ""
    events_per_s: float | None = None
    """Both directions."""
    waiting_events: int = 0
    """What the broker holds for it, or has sent it without an answer."""
    limit: str = ""
    """The limit that holds back its events now; empty for none."""


@dataclass(frozen=True, kw_only=True)
class Saving:
    """What batching has saved: what would have travelled as one message per event, and what did travel."""

    without: int
    """Every event a message of its own on each hop, and not a single acknowledgement."""
    actual: int
    """Batches and control messages."""

    @property
    def share(self) -> float | None:
        """The share that was saved, 0 to 1; None while nothing has travelled."""
        return 1 - self.actual / self.without if self.without else None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Everything that the screen shows."""

    elapsed_s: float | None
    """None before the match has begun."""
    length_s: float
    broker_pid: int
    uptime_s: float
    broker_down_s: float | None
    """How long the broker has been dead; None while it lives."""
    broker_cpu: float | None
    """The broker's share of one core."""
    broker_bytes: int
    connected: int
    """Players whose link is up."""
    tick_rate: float
    lanes: Sequence[LaneFigures]
    messages: Saving
    bytes: Saving
    players: Sequence[PlayerFigures]
    """The best first."""
    room: int
    """The room that is shown: where the news come from."""
    rooms: int
    shots: Sequence[tuple[float, float]]
    """Those in that room."""
    news: Sequence[str]
    """The latest last."""
    sent: int
    """Events, since the processes began."""
    handled: int
    """Deliveries."""
    resent: int
    """Events that were sent more than once."""
    in_flight: int
    faults: Sequence[FaultFigures]
    """What the demo does to itself; empty where it does nothing."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What brokers did: plain sums."""

    events: int = 0
    """On both hops."""
    messages: int = 0
    """Batches and control messages."""
    unbatched_bytes: int = 0
    bytes: int = 0
    cpu_s: float = 0.0
    uptime_s: float = 0.0

    @classmethod
    def of(cls, status: Numbers) -> Traffic:
        """That of one broker."""
        control = status["control"]
        ways = [lane[way] for lane in status["lanes"].values() for way in ("in", "out")]
        return cls(
            events=sum(way["events"] for way in ways),
            messages=sum(way["batches"] for way in ways)
            + control["in"]["messages"]
            + control["out"]["messages"],
            unbatched_bytes=sum(way["unbatched_bytes"] for way in ways),
            bytes=sum(way["bytes"] for way in ways) + control["in"]["bytes"] + control["out"]["bytes"],
            cpu_s=status["cpu_s"],
            uptime_s=status["uptime_s"],
        )

    def plus(self, other: Traffic) -> Traffic:
        """Both together."""
        return Traffic(
            **{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)}
        )


@dataclass
class Gatherer:
    """Collects reports as they come; `figures` is their sum at any time."""

    status: Numbers = field(default_factory=dict)
    peers: Mapping[str, Numbers] = field(default_factory=dict)
    server: Report | None = None
    bots: dict[str, Report] = field(default_factory=dict)
    """The latest report of each process of bots, by its title."""
    latency: list[Histogram] = field(default_factory=lambda: [Histogram() for _ in LANES])
    """Send to handler of the whole match, lane by lane."""
    calm_latency: list[Histogram] = field(default_factory=lambda: [Histogram() for _ in LANES])
    """The same without what came while `is_disturbed`."""
    is_disturbed: bool = False
    """Whether a fault is being done, or is not got over yet."""
    is_flooded: bool = False
    """Whether a player floods."""
    flooder: str = ""
    """The process of that player: the others are those that are not in it."""
    others_calm: Histogram = field(default_factory=Histogram)
    """The critical lane of the others, while the match was not disturbed."""
    others_flooded: Histogram = field(default_factory=Histogram)
    """The same during the flood."""
    restarts: int = 0
    """How often another broker has answered than the one before."""
    silences: list[Silence] = field(default_factory=list)
    """Those that nobody has taken yet."""
    _ticks: list[tuple[float, int]] = field(default_factory=list)
    """When a report of the server came and its tick count then: the first of the match, and the latest."""
    news: deque[str] = field(default_factory=lambda: deque(maxlen=NEWS_LINES))
    _recent: deque[tuple[float, list[Histogram]]] = field(default_factory=deque)
    _statuses: deque[tuple[float, Numbers]] = field(default_factory=deque)
    _traffic: deque[tuple[float, dict[str, int]]] = field(default_factory=deque)
    _earlier: Traffic = field(default_factory=Traffic)
    """What brokers did that have been replaced since."""

    def add_status(self, now_s: float, status: Numbers) -> None:
        """Take in the answer to `status`; that of another broker than before begins its counters anew."""
        if self.status and self.status["epoch"] != status["epoch"]:
            self._earlier = self._earlier.plus(Traffic.of(self.status))
            self.restarts += 1
            self._statuses.clear()
            self._traffic.clear()
        self.status = status
        _append(self._statuses, now_s, status)

    def add_peers(self, now_s: float, peers: Sequence[Numbers]) -> None:
        """Take in the broker's answer to `peers`."""
        self.peers = {peer["name"]: peer for peer in peers}
        _append(
            self._traffic, now_s, {peer["name"]: peer["events_in"] + peer["events_out"] for peer in peers}
        )

    def add_server(self, now_s: float, report: Report) -> None:
        """Take in a report of the arena's server."""
        self.server = report
        self._ticks[1:] = [(now_s, report.ticks)]
        self._add_latencies(now_s, report)
        self._add_others(report)

    def add_bots(self, now_s: float, report: Report, process: str = "bots") -> None:
        """Take in a report of one process of bots."""
        self.bots[process] = report
        self.news.extend(report.news)
        self._add_latencies(now_s, report)
        if process != self.flooder:
            self._add_others(report)

    def begin(self) -> None:
        """Begin latencies and the tick rate anew: those of starting up say nothing about the match."""
        self.latency = [Histogram() for _ in LANES]
        self.calm_latency = [Histogram() for _ in LANES]
        self.others_calm, self.others_flooded = Histogram(), Histogram()
        self.silences.clear()
        self._recent.clear()
        del self._ticks[:-1]

    def tick_rate(self) -> float:
        """The server's ticks per second since the beginning."""
        if len(self._ticks) < 2:
            return 0.0
        (then_s, then), (now_s, now) = self._ticks
        return (now - then) / (now_s - then_s)

    @property
    def in_flight(self) -> int:
        """Events that their senders know to be unsettled."""
        return sum(report.in_flight for report in self._reports())

    @property
    def connected(self) -> int:
        """Players that have a broker."""
        return sum(report.connected for report in self.bots.values())

    @property
    def resent(self) -> int:
        """Events that were sent more than once."""
        return sum(report.resent for report in self._reports())

    @property
    def late_s(self) -> float:
        """When an event that had been held up was handled last."""
        return max((report.late_s for report in self._reports()), default=0.0)

    def take_silences(self) -> list[Silence]:
        """The silences that have been reported since the last call."""
        silences, self.silences = self.silences, []
        return silences

    def flood(self, player: str) -> FloodSeen:
        """The flood of a player as it stands."""
        counts = self.bots[self.flooder].flood if self.flooder in self.bots else FloodCounts()
        return FloodSeen(
            counts=counts.plus(self.server.flood) if self.server else counts,
            limit=limit_of(self.peers.get(player, {})),
            calm_p99_ms=in_ms(self.others_calm.quantile_us(0.99)),
            p99_ms=in_ms(self.others_flooded.quantile_us(0.99)),
        )

    def ledger(self) -> Ledger:
        """What was meant against what was handled."""
        return Ledger.of(self.server, self.bots.values())

    def _reports(self) -> list[Report]:
        return [*([self.server] if self.server else []), *self.bots.values()]

    def sent(self) -> list[Book]:
        """The senders' books, lane by lane."""
        books = [Book() for _ in LANES]
        for report in self._reports():
            for lane in LANES:
                books[lane].add(Book.from_list(report.books[lane]))
        return books

    def unsettled(self) -> dict[str, int]:
        """Events that ended otherwise than delivered, by lane, topic, outcome and reason."""
        sums: dict[str, int] = {}
        for report in self._reports():
            for text, count in report.unsettled.items():
                sums[text] = sums.get(text, 0) + count
        return sums

    def messages(self) -> Saving:
        """What batching has saved in messages so far, over both hops."""
        done = self._done()
        return Saving(without=done.events, actual=done.messages)

    def bytes(self) -> Saving:
        """What batching and compression have saved in bytes so far, over both hops."""
        done = self._done()
        return Saving(without=done.unbatched_bytes, actual=done.bytes)

    def cpu_share(self) -> float:
        """The share of one core that all brokers of the match have used while they lived."""
        done = self._done()
        return done.cpu_s / max(done.uptime_s, 0.001)

    def _done(self) -> Traffic:
        """What all brokers of the match did."""
        return self._earlier.plus(Traffic.of(self.status)) if self.status else self._earlier

    def players(self) -> list[PlayerFigures]:
        """The players, the best first."""
        units = self.server.units if self.server else []
        rates = self._player_rates()
        ranked = sorted(units, key=lambda unit: (-unit.score, unit.name))
        return [self._player(unit, rates) for unit in ranked]

    def figures(
        self,
        elapsed_s: float | None,
        length_s: float,
        faults: Sequence[FaultFigures] = (),
        broker_down_s: float | None = None,
    ) -> Figures:
        """Everything as it is now, `elapsed_s` into a match of `length_s` or before it; needs a status."""
        first_s, first = self._statuses[0]
        last_s, last = self._statuses[-1]
        span_s = last_s - first_s
        room = self._shown_room()
        return Figures(
            elapsed_s=elapsed_s,
            length_s=length_s,
            broker_pid=last["pid"],
            uptime_s=last["uptime_s"],
            broker_cpu=(last["cpu_s"] - first["cpu_s"]) / span_s if span_s else None,
            broker_bytes=last["rss_bytes"],
            broker_down_s=broker_down_s,
            connected=self.connected,
            tick_rate=self.server.tick_rate if self.server else 0.0,
            lanes=self._lanes(has_broker=broker_down_s is None),
            messages=self.messages(),
            bytes=self.bytes(),
            players=self.players(),
            room=room,
            rooms=max((unit.room for unit in self.server.units), default=1) if self.server else 1,
            shots=[(x_m, y_m) for at, x_m, y_m in self.server.shots if at == room] if self.server else (),
            news=list(self.news),
            sent=sum(book.accepted for book in self.sent()),
            handled=sum(sum(map(sum, report.handled.values())) for report in self._reports()),
            resent=self.resent,
            in_flight=self.in_flight,
            faults=faults,
        )

    def _shown_room(self) -> int:
        witness = next((report.witness for report in self.bots.values()), "")
        units = self.server.units if self.server else []
        return next((unit.room for unit in units if unit.name == witness), 1)

    def _lanes(self, *, has_broker: bool) -> list[LaneFigures]:
        now_s, now = self._statuses[-1]
        then_s, then = self._statuses[0]
        span_s = now_s - then_s

        def rate(lane: str, way: str, what: str) -> float | None:
            if not span_s or not has_broker:
                return None
            return float(now["lanes"][lane][way][what] - then["lanes"][lane][way][what]) / span_s

        books = self.sent()
        recent = [Histogram() for _ in LANES]
        for _, histograms in self._recent:
            for lane in LANES:
                recent[lane].merge(histograms[lane])
        return [
            LaneFigures(
                events_in_per_s=rate(lane.label, "in", "events"),
                events_out_per_s=rate(lane.label, "out", "events"),
                batches_in_per_s=rate(lane.label, "in", "batches"),
                batches_out_per_s=rate(lane.label, "out", "batches"),
                p50_ms=in_ms(recent[lane].quantile_us(0.50)),
                p99_ms=in_ms(recent[lane].quantile_us(0.99)),
                queued_events=now["lanes"][lane.label]["queued_events"] if has_broker else 0,
                queued_bytes=now["lanes"][lane.label]["queued_bytes"] if has_broker else 0,
                in_flight=books[lane].in_flight,
            )
            for lane in LANES
        ]

    def _player_rates(self) -> dict[str, float]:
        if len(self._traffic) < 2:
            return {}
        (then_s, then), (now_s, now) = self._traffic[0], self._traffic[-1]
        return {
            name: (count - then.get(name, 0)) / (now_s - then_s)
            for name, count in now.items()
            if name in then
        }

    def _player(self, unit: UnitFigures, rates: Mapping[str, float]) -> PlayerFigures:
        peer = self.peers.get(unit.name, {})
        return PlayerFigures(
            name=unit.name.partition(":")[2],
            score=unit.score,
            health=unit.health,
            kills=unit.kills,
            deaths=unit.deaths,
            x_m=unit.x_m,
            y_m=unit.y_m,
            room=unit.room,
            rtt_ms=peer.get("rtt_ms"),
            quality=peer.get("quality", ""),
            events_per_s=rates.get(unit.name),
            waiting_events=waiting_events(peer) if peer else 0,
            limit=limit_of(peer),
        )

    def _add_latencies(self, now_s: float, report: Report) -> None:
        self.silences += report.silences
        histograms = [Histogram.from_list(figures) for figures in report.latencies]
        for lane in LANES:
            self.latency[lane].merge(histograms[lane])
            if not self.is_disturbed:
                self.calm_latency[lane].merge(histograms[lane])
        self._recent.append((now_s, histograms))
        while now_s - self._recent[0][0] > LATENCY_SPAN_S:
            self._recent.popleft()

    def _add_others(self, report: Report) -> None:
        critical = Histogram.from_list(report.latencies[Lane.CRITICAL])
        if self.is_flooded:
            self.others_flooded.merge(critical)
        elif not self.is_disturbed:
            self.others_calm.merge(critical)


def limit_of(peer: Numbers) -> str:
    """The limit that a peer is held to, on the most important lane that is; empty if it is within all."""
    return str(peer["throttled"][0]["limit"]) if peer.get("throttled") else ""


def waiting_events(peer: Numbers) -> int:
    """What the broker holds for a peer, or has sent it without an answer."""
    return int(peer["queued_events"] + peer["unsettled_events"])


def in_ms(value_us: float | None) -> float | None:
    """Microseconds as milliseconds."""
    return None if value_us is None else value_us / 1000


def _append(samples: deque[tuple[float, Any]], now_s: float, sample: object) -> None:
    """Add a sample and let go of those that are too old, but for the last that spans the time."""
    samples.append((now_s, sample))
    while len(samples) > 2 and now_s - samples[1][0] >= RATE_SPAN_S:
        samples.popleft()
