"""Verdicts: why a player's events are late or missing, in one ranked list with the figures that say so.

Each cause is judged on its own by a share: how much of what is tolerable it takes. From 1 on it is a cause; the
greatest is the verdict. Without I/O and without the broker's objects, so that every judgement is one line of a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from lanebus.broker.handling import OFTEN

TOLERABLE_SETTLE_MS: Final = 1_000.0
"""A receiver that takes longer to settle what it was sent, at the 99th percentile, is slow; 200 ms are control."""
TOLERABLE_WAIT_S: Final = 1.0
"""What waits longer than this in a policy's queue is felt."""
TOLERABLE_LATE_MS: Final = 16.0
"""A broker whose loop is later than this, at the 99th percentile, misses the critical lane's interval."""
TOLERABLE_AGE_S: Final = 2.0
"""A receiver whose oldest unsettled part is older than this does not keep up."""
_STANDS_STILL: Final = ", though its machine answers: its process stands still"
_NO_ANSWER: Final = ", and its machine does not answer either"
_AWAY: Final = 100.0
"""The share of one that has no links."""
_LOST: Final = 8.0
"""The share of a line that is lost."""

_MEANINGS: Final = {
    "no_service": "no service handles this topic",
    "no_handler": "its receiver has no handler for this topic",
    "not_allowed": "its rules do not let it send this, or there",
    "unknown_destination": "nobody of that name is here",
    "nobody": "nobody is in there but the sender",
    "bad_payload": "it does not fit the handler's schema",
    "handler_error": "the handler failed",
}
"""What the commonest reasons mean."""


class Cause(StrEnum):
    """Where the trouble is."""

    AWAY = "away"
    NETWORK = "network"
    THROTTLED = "throttled"
    BACKLOG = "backlog"
    """What waits at itself, as a sender."""
    SHAPED = "shaped"
    HANDLER = "handler"
    """Its own program."""
    RECEIVER = "receiver"
    """Somebody whom it sends to."""
    BROKER = "broker"
    REFUSED = "refused"
    """Its events are refused, or it has no handler for what it is sent."""
    VIOLATIONS = "violations"
    FINE = "fine"


class Waits(NamedTuple):
    """Events of a session that a receiver of theirs has not settled."""

    receiver: str
    events: int
    oldest_age_s: float
    is_paused: bool
    """Whether the session was told to hold its further events for it."""


class Refused(NamedTuple):
    """Events of one topic that were refused lately."""

    topic: str
    reason: str
    other: str
    """Who was to get them, or who sent them; empty where nobody was named."""
    events: int
    """Since the broker's start."""
    last_ago_s: float


class Unhandled(NamedTuple):
    """Events that wait at their receiver because it has no handler for their topic."""

    receiver: str
    sender: str
    topic: str
    events: int


class SlowTopic(NamedTuple):
    """Handlers that took longer than they may, within the last minute."""

    topic: str
    lane: str
    max_ms: float
    """The longest that they ever took."""
    budget_ms: float
    over: int
    """Events whose handlers took longer, of the last ones that it told of."""
    events: int
    """Those last ones."""


class Evidence(Struct, kw_only=True, frozen=True):
    """What is known of one session. Times say for how long, or how late; None is what nobody has measured."""

    away_s: float | None = None
    """Since its links were lost."""
    lost_reason: str = ""
    """Why they were."""
    silent_s: float | None = None
    """For how long nothing has come from it, where that is longer than it should be."""
    tolerable_silence_s: float = 3.0
    machine_answers: bool | None = None
    """Whether its machine, or its gateway's, acknowledges what is sent there; asked when it is silent, or was so before
    its links were given up."""
    quality: str = "estimating"
    quality_reason: str = ""
    throttled: list[tuple[str, str, float]] = []
    """Lanes on which it is held to a limit now: lane, name of the limit, seconds that its next event waits."""
    at_sender_events: int = 0
    """Of its own, that a limit, a pause or a full window holds where they are."""
    at_sender_bytes: int = 0
    shaped_bytes: int = 0
    """What waits because its allowance is used up."""
    shaped_age_s: float = 0.0
    settled_p99_ms: float | None = None
    """From when it was sent an event until it settled it, of the worst lane, lately."""
    oldest_age_s: float = 0.0
    """Of what it was sent and has not settled."""
    held_bytes: int = 0
    dropped: int = 0
    """Parts that it lost because it was slow, since its session began."""
    violations: int = 0
    """Rules that it broke lately."""
    waits_for: list[Waits] = []
    """Receivers of its own events that have not settled them, the worst first."""
    handled_p99_ms: list[tuple[str, float]] = []
    """From their senders' programs to its handlers, by lane, lately, as it says."""
    slow_topics: list[SlowTopic] = []
    """Its handlers that take longer than they may, the slowest first."""
    refused: list[Refused] = []
    """Events of its own that were refused in the last minute, the latest first."""
    refuses: list[Refused] = []
    """What it was sent and refused in the last minute."""
    unhandled: list[Unhandled] = []
    """Events of its own, or for it, that wait for a handler and find none."""
    broker_late_p99_ms: float | None = None
    """How late the broker's loop was lately."""
    broker_late_max_ms: float | None = None
    tolerable_still_ms: float = 500.0
    """A broker whose loop does nothing for longer is felt by all, be it once in a minute."""
    broker_fails: list[str] = []
    """What else keeps the broker from its work."""


class Verdict(NamedTuple):
    """One cause, with the figures that speak for it."""

    cause: Cause
    share: float
    """How much of what is tolerable it takes; from 1 on it is a cause."""
    text: str


def verdicts(evidence: Evidence) -> list[Verdict]:
    """All that is found, the gravest first; `fine` leads where nothing reaches a share of 1."""
    found = sorted(_found(evidence), key=lambda verdict: -verdict.share)
    if found and found[0].share >= 1.0:
        return found
    return [Verdict(Cause.FINE, 0.0, _fine(evidence)), *found]


def _found(evidence: Evidence) -> Iterator[Verdict]:
    if evidence.away_s is not None:
        text = f"no connection for {evidence.away_s:.1f} s"
        if evidence.lost_reason:
            text += f": {evidence.lost_reason}"
        if evidence.machine_answers is not None:
            text += _STANDS_STILL if evidence.machine_answers else _NO_ANSWER
        yield Verdict(Cause.HANDLER if evidence.machine_answers else Cause.AWAY, _AWAY, text)
    degrees = {"lost": _LOST, "poor": 4.0, "fair": 1.0, "good": 0.3}
    if evidence.away_s is None and evidence.silent_s is not None:
        yield _silent(evidence, evidence.silent_s)
    elif evidence.away_s is None and evidence.quality in degrees:
        yield Verdict(
            Cause.NETWORK, degrees[evidence.quality], f"{evidence.quality}: {evidence.quality_reason}"
        )
    for lane, limit, retry_s in evidence.throttled:
        # Being held to a limit is a cause however short the next wait: what it sends waits at its sender.
        then = (
            f"its next event waits {retry_s:.1f} s"
            if retry_s >= 0.05
            else "what is over it waits at its sender"
        )
        yield Verdict(Cause.THROTTLED, 2.0 + retry_s / TOLERABLE_WAIT_S, f"held to {limit} on {lane}, {then}")
    if evidence.at_sender_events:
        # What it is for is another cause: this says how much there is of it.
        events = f"{evidence.at_sender_events:,} event{'' if evidence.at_sender_events == 1 else 's'}"
        yield Verdict(
            Cause.BACKLOG, 0.9, f"{events} of it, {evidence.at_sender_bytes:,} bytes, wait at their sender"
        )
    if evidence.shaped_bytes:
        yield Verdict(
            Cause.SHAPED,
            evidence.shaped_age_s / TOLERABLE_WAIT_S,
            f"{evidence.shaped_bytes:,} bytes wait for its allowance, the oldest {evidence.shaped_age_s:.1f} s",
        )
    for topic in evidence.slow_topics:
        often = topic.over >= OFTEN * topic.events
        yield Verdict(
            Cause.HANDLER,
            max(1.0, topic.max_ms / topic.budget_ms) if often and topic.budget_ms else 0.5,
            f"its handlers of {topic.topic} on {topic.lane} take up to {topic.max_ms:,.0f} ms, their budget is "
            f"{topic.budget_ms:g} ms: {topic.over:,} of the last {topic.events:,} events took longer",
        )
    settled = (evidence.settled_p99_ms or 0.0) / TOLERABLE_SETTLE_MS
    old = evidence.oldest_age_s / TOLERABLE_AGE_S
    # What waits for shaping, for links or for a sign of life is old for another reason.
    is_shaped = evidence.shaped_age_s >= TOLERABLE_WAIT_S / 2
    if is_shaped or evidence.away_s is not None or evidence.silent_s is not None:
        old = settled = 0.0
    if max(settled, old) >= 0.3 or evidence.dropped:
        yield Verdict(Cause.HANDLER, max(settled, old), _handling(evidence))
    for waits in evidence.waits_for:
        share = waits.oldest_age_s / TOLERABLE_AGE_S
        if waits.is_paused:
            yield Verdict(
                Cause.RECEIVER,
                max(share, 1.0),
                f"{waits.receiver} is behind: events for it wait at the sender",
            )
        elif share >= 0.3:
            text = f"{waits.receiver} has not settled {waits.events:,} of its events, the oldest for"
            yield Verdict(Cause.RECEIVER, share, f"{text} {waits.oldest_age_s:.1f} s")
    for refused in evidence.refused:
        to = f" for {refused.other}" if refused.other else ""
        yield Verdict(
            Cause.REFUSED,
            2.0,
            f"{refused.events:,} of its events of {refused.topic}{to} were refused: {refused.reason}"
            f"{_meaning(refused.reason)}, the last {refused.last_ago_s:.0f} s ago",
        )
    # Somebody else may have sent what nobody can handle: it is said, and is no verdict.
    for refused in evidence.refuses:
        whose = f" of {refused.other}" if refused.other else ""
        yield Verdict(
            Cause.REFUSED,
            0.5,
            f"it refused {refused.events:,} events of {refused.topic}{whose}: {refused.reason}"
            f"{_meaning(refused.reason)}, the last {refused.last_ago_s:.0f} s ago",
        )
    for left in evidence.unhandled:
        events = f"{left.events:,} event{'' if left.events == 1 else 's'}"
        yield Verdict(
            Cause.REFUSED,
            0.9,
            f"{left.receiver} has no handler for {left.topic}: {events} of {left.sender} will be refused",
        )
    if evidence.violations:
        yield Verdict(Cause.VIOLATIONS, 1.0, f"{evidence.violations:,} rules broken lately")
    if evidence.broker_late_p99_ms is not None:
        share = evidence.broker_late_p99_ms / TOLERABLE_LATE_MS
        if share >= 0.3:
            yield Verdict(
                Cause.BROKER, share, f"the broker's loop is {evidence.broker_late_p99_ms:.1f} ms late (p99)"
            )
    if evidence.broker_late_max_ms is not None and evidence.broker_late_max_ms > evidence.tolerable_still_ms:
        yield Verdict(
            Cause.BROKER,
            evidence.broker_late_max_ms / evidence.tolerable_still_ms,
            f"the broker's loop stood still for {evidence.broker_late_max_ms / 1e3:.1f} s in the last minute",
        )
    for text in evidence.broker_fails:
        yield Verdict(Cause.BROKER, 50.0, text)


def _meaning(reason: str) -> str:
    """What a reason says, in words, where it does not by itself."""
    meaning = _MEANINGS.get(reason)
    return f" ({meaning})" if meaning else ""


def _handling(evidence: Evidence) -> str:
    parts = []
    if evidence.settled_p99_ms is not None:
        parts.append(f"settles within {evidence.settled_p99_ms:,.0f} ms (p99)")
    if evidence.held_bytes:
        parts.append(f"oldest unsettled {evidence.oldest_age_s:.1f} s, {evidence.held_bytes:,} bytes held")
    if evidence.dropped:
        parts.append(f"{evidence.dropped:,} dropped since it came")
    return ", ".join(parts)


def _silent(evidence: Evidence, silent_s: float) -> Verdict:
    share = _LOST if evidence.quality == "lost" else silent_s / evidence.tolerable_silence_s
    silence = f"silent for {silent_s:.1f} s"
    if evidence.machine_answers is None:
        return Verdict(
            Cause.NETWORK, share, f"{silence}: the network does not carry, or its process stands still"
        )
    if evidence.machine_answers:
        waits = f"; {evidence.held_bytes:,} bytes wait for it" if evidence.held_bytes else ""
        return Verdict(Cause.HANDLER, share, f"{silence}{_STANDS_STILL}{waits}")
    return Verdict(Cause.NETWORK, share, f"{silence}{_NO_ANSWER}")


def _fine(evidence: Evidence) -> str:
    line = f"connection {evidence.quality}"
    if evidence.handled_p99_ms:
        shown = ", ".join(f"{lane} {ms:,.0f} ms" for lane, ms in evidence.handled_p99_ms)
        line += f", from send to handler {shown} (p99)"
    return f"{line}, nothing held back"
