"""The judge of a torture: compares, by the logs alone, what was sent with what was handled and what the bus has said.

What the promise allows is no breach: an event whose end was reported as something else than delivered may be missing;
a new process of a name may handle again what the one before it had; a sender that is killed takes its outbox along.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from lanebus.cli.torture_log import GOT, SENT, Life, lines, lives
from lanebus.cli.torture_plan import BROKER, EVERYBODY, Destination, Plan
from lanebus.wire.lanes import LANE_NAMES
from lanebus.wire.outcomes import OUTCOME_NAMES, Outcome, Reason

PLAN_FILE: Final = "plan.json"
FACTS_FILE: Final = "facts.json"
MAX_EXAMPLES: Final = 20
"""Breaches of each kind that are told one by one."""


_NEVER: Final = (1 << 62, 1 << 62)


class Event(NamedTuple):
    """One event of one sender's life."""

    sender: str
    life: int
    lane: int
    n: int

    def __str__(self) -> str:
        return f"{self.sender} life {self.life} {LANE_NAMES[self.lane]} #{self.n}"


class Injected(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that was really made."""

    kind: str
    target: str
    began_us: int
    ended_us: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What only the one who ran the torture knows."""

    killed: list[tuple[str, int]]
    """Processes with the number of the life that was killed on purpose."""
    injected: list[Injected]


@dataclass(slots=True)
class _Sent:
    at_us: int
    destination: Destination
    is_withdrawn: bool = False
    end: str | None = None
    reason: str = ""
    ended_us: int = 0
    is_orphan: bool = False
    """Whether its sender was killed."""


class _Handled(NamedTuple):
    at_us: int
    life: int
    event: Event
    flags: str


@dataclass(slots=True)
class Findings:
    """What was found. The first group are breaches, each counted in parts: one event for one receiver."""

    lost: Counter[str] = field(default_factory=lambda: Counter(head=0, middle=0, tail=0))
    """Reported delivered, or never settled, and not handled by any life; by the place in its stream."""
    duplicated: int = 0
    misordered: int = 0
    unexpected: int = 0
    """Handled, and never sent to that receiver."""
    corrupted: int = 0
    unsettled: int = 0
    """Events of living senders that never ended."""
    misbooked: int = 0
    """Books of adapters that differ from the ends that they have told."""
    crashed: list[str] = field(default_factory=list)
    """Lives that neither ended in order nor were killed on purpose."""

    unexpanded: int = 0
    """Parts of delivered events to `all` that a player missed after the broker, or it, was killed: whether it was
    there then, only the broker could say."""
    accepted: int = 0
    handled: int = 0
    redelivered: int = 0
    """Handled again by a later life, or marked so."""
    orphaned: int = 0
    """Parts whose sender was killed before they were settled, and that were not handled."""
    ends: Counter[str] = field(default_factory=Counter)
    """Events by how they ended: `refused: unknown_destination`."""
    longest_outage_s: float = 0.0
    """Longest time in which something waited for a receiver and nothing came."""
    recovery_s: float = 0.0
    """Longest time from the end of all faults that hit a receiver until what waited for it came again."""
    latencies_ms: list[float] = field(default_factory=list)
    """Sorted; of first handlings."""
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def note(self, kind: str, text: str) -> None:
        """Keep one breach as an example, if there are not enough of its kind."""
        if len(self.examples[kind]) < MAX_EXAMPLES:
            self.examples[kind].append(text)


def check(folder: Path) -> Findings:
    """Judge the torture whose plan, facts and logs are in `folder`.

    Raises:
        OSError: plan or facts are not there.
        msgspec.MsgspecError: they are malformed.
    """
    plan = msgspec.json.decode((folder / PLAN_FILE).read_bytes(), type=Plan)
    facts = msgspec.json.decode((folder / FACTS_FILE).read_bytes(), type=Facts)
    return _Judge(folder, plan, facts).judge()


class _Judge:
    def __init__(self, folder: Path, plan: Plan, facts: Facts) -> None:
        self._folder = folder
        self._plan = plan
        self._facts = facts
        self._killed = set(facts.killed)
        self._found = Findings()
        self._sent: dict[Event, _Sent] = {}
        self._handled: dict[str, list[_Handled]] = defaultdict(list)
        self._handlers: dict[Event, set[str]] = defaultdict(set)
        self._process_of = {name: peer.name for peer in plan.peers for name in peer.speakers}

    def judge(self) -> Findings:
        for peer in self._plan.peers:
            for life in lives(self._folder, peer.name):
                self._read_sent(life, peer.speakers)
                self._read_got(life)
        found = self._found
        found.accepted = sum(not each.is_withdrawn for each in self._sent.values())
        for receiver, handled in self._handled.items():
            self._judge_handled(receiver, handled)
        self._judge_sent()
        self._measure()
        return found

    def _read_sent(self, life: Life, speakers: list[str]) -> None:
        found = self._found
        orphaned = (life.process, life.number) in self._killed
        is_complete = False
        mine: list[_Sent] = []
        books: list[tuple[str, int, list[int]]] = []
        ended: Counter[tuple[int, int, str]] = Counter()
        sent: Counter[tuple[int, int]] = Counter()
        for kind, *words in lines(life.path.with_name(f"{life.path.name}.{SENT}")):
            if kind == "z":
                is_complete = True
                continue
            if kind == "b":
                speaker, lane, *figures = map(int, words)
                books.append((speakers[speaker], lane, figures))
                self._compare(life, speaker, lane, figures, sent, ended)
                continue
            at_us, speaker, lane, n = map(int, words[:4])
            event = Event(speakers[speaker], life.number, lane, n)
            if kind == "a":
                each = self._sent[event] = _Sent(at_us, self._plan.destinations[int(words[4])])
                each.is_orphan = orphaned
                mine.append(each)
                sent[speaker, lane] += 1
            elif kind == "w":
                self._sent[event].is_withdrawn = True
                sent[speaker, lane] -= 1
            else:
                each = self._sent[event]
                each.ended_us, each.end, each.reason = at_us, words[4], words[5]
                ended[speaker, lane, words[4]] += 1
                found.ends[words[4] if words[5] == "-" else f"{words[4]}: {words[5]}"] += 1
        if not is_complete and not orphaned:
            found.crashed.append(f"{life.process} life {life.number}")

    def _compare(
        self,
        life: Life,
        speaker: int,
        lane: int,
        figures: list[int],
        sent: Counter[tuple[int, int]],
        ended: Counter[tuple[int, int, str]],
    ) -> None:
        """Compare an adapter's book, and how often `on_unsettled` was called, with the ends of single events."""
        counted = [ended[speaker, lane, name] for name in OUTCOME_NAMES]
        expected = [sent[speaker, lane], *counted, sum(counted) - counted[Outcome.DELIVERED]]
        if figures != expected:
            self._found.misbooked += 1
            self._found.note(
                "misbooked",
                f"{life.process} life {life.number} speaker {speaker} {LANE_NAMES[lane]}: "
                f"book {figures}, by its events {expected}",
            )

    def _read_got(self, life: Life) -> None:
        for at_us, receiver, sender, sender_life, lane, n, flags in lines(
            life.path.with_name(f"{life.path.name}.{GOT}")
        ):
            event = Event(sender, int(sender_life), int(lane), int(n))
            self._handled[receiver].append(_Handled(int(at_us), life.number, event, flags))

    def _judge_handled(self, receiver: str, handled: list[_Handled]) -> None:
        found = self._found
        seen: dict[Event, int] = {}
        last: dict[tuple[str, int, int, int, bool], int] = {}
        for each in handled:
            event = each.event
            if "c" in each.flags:
                found.corrupted += 1
                found.note("corrupted", f"{event} at {receiver} life {each.life}")
                continue
            sent = self._sent.get(event)
            if sent is None or sent.is_withdrawn or receiver not in sent.destination.receivers:
                found.unexpected += 1
                found.note("unexpected", f"{event} at {receiver} life {each.life}")
                continue
            if seen.get(event) == each.life:
                found.duplicated += 1
                found.note("duplicated", f"{event} at {receiver} life {each.life}")
                continue
            if event in seen or "r" in each.flags:
                found.redelivered += 1
            if event not in seen:
                found.handled += 1
                found.latencies_ms.append((each.at_us - sent.at_us) / 1e3)
            seen[event] = each.life
            self._handlers[event].add(receiver)
            # A service's events may come later than others, when they had to move to another instance.
            stream = (event.sender, event.life, event.lane, each.life, sent.destination.any_of)
            if event.n < last.get(stream, 0):
                found.misordered += 1
                found.note(
                    "misordered",
                    f"{event} to {sent.destination.to} at {receiver} life {each.life}, after #{last[stream]}",
                )
            last[stream] = max(event.n, last.get(stream, 0))
        found.latencies_ms.sort()

    def _judge_sent(self) -> None:
        found = self._found
        missing: dict[tuple[str, int, int, str], list[int]] = defaultdict(list)
        reached: dict[tuple[str, int, int, str], list[int]] = defaultdict(list)
        for event, sent in self._sent.items():
            if sent.is_withdrawn:
                continue
            is_settled = sent.end is not None and sent.reason != Reason.CLOSED
            if not is_settled and not sent.is_orphan:
                found.unsettled += 1
                found.note("unsettled", f"{event} to {sent.destination.to}")
            handlers = self._handlers.get(event, set())
            for receiver in _parts(sent.destination, handlers):
                stream = (event.sender, event.life, event.lane, receiver)
                if receiver in handlers:
                    reached[stream].append(event.n)
                elif is_settled and sent.end != Outcome.DELIVERED.label:
                    continue
                elif not is_settled and sent.is_orphan:
                    found.orphaned += 1
                elif self._may_not_have_been_there(receiver, sent):
                    found.unexpanded += 1
                    found.note("unexpanded", f"{event} to {sent.destination.to}: {receiver}")
                else:
                    missing[stream].append(event.n)
                    end = sent.end if is_settled else "never settled"
                    found.note("lost", f"{event} to {sent.destination.to}, {end}: not handled by {receiver}")
        for stream, numbers in missing.items():
            arrived = reached.get(stream, [])
            first, last = (min(arrived), max(arrived)) if arrived else (0, -1)
            for n in numbers:
                found.lost["head" if n < first or not arrived else "tail" if n > last else "middle"] += 1

    def _may_not_have_been_there(self, receiver: str, sent: _Sent) -> bool:
        if not sent.destination.expanded:
            return False
        suspects = {BROKER, self._process_of[receiver]}
        return any(
            fault.kind.startswith("kill_")
            and fault.target in suspects
            and (not sent.ended_us or fault.began_us <= sent.ended_us)
            for fault in self._facts.injected
        )

    def _measure(self) -> None:
        found = self._found
        for receiver, handled in self._handled.items():
            known = sorted(
                (each.at_us, self._sent[each.event].at_us) for each in handled if each.event in self._sent
            )
            times = [at_us for at_us, _ in known]
            waits_since = _waits_since(known)
            for index, at_us in enumerate(times):
                found.longest_outage_s = max(found.longest_outage_s, (at_us - waits_since[index]) / 1e6)
            for (_, ended_us), (next_us, _) in pairwise([*self._troubles(receiver), _NEVER]):
                index = bisect_right(times, ended_us)
                if index < len(times) and times[index] < next_us:
                    since_us = max(waits_since[index], ended_us)
                    found.recovery_s = max(found.recovery_s, (times[index] - since_us) / 1e6)

    def _troubles(self, receiver: str) -> list[tuple[int, int]]:
        """When each trouble for a receiver began and ended; faults that overlap are one trouble."""
        targets = {BROKER, EVERYBODY, self._process_of.get(receiver)}
        spans = sorted(
            (fault.began_us, fault.ended_us) for fault in self._facts.injected if fault.target in targets
        )
        merged: list[tuple[int, int]] = []
        for began_us, ended_us in spans:
            if merged and began_us <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], ended_us))
            else:
                merged.append((began_us, ended_us))
        return merged


def _parts(destination: Destination, handlers: Iterable[str]) -> list[str]:
    """The receivers that should have handled an event; of a service the one that has, or else its name."""
    if not destination.any_of:
        return destination.receivers
    return list(handlers)[:1] or [str(destination.to)]


def _waits_since(known: list[tuple[int, int]]) -> list[int]:
    """For each arrival: since when something had been waiting while nothing came."""
    result = [0] * len(known)
    oldest_us = known[-1][1] if known else 0
    for index in range(len(known) - 1, -1, -1):
        oldest_us = min(oldest_us, known[index][1])
        previous_us = known[index - 1][0] if index else 0
        result[index] = max(oldest_us, previous_us)
    return result
