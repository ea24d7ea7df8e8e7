"""Draining: how a broker comes to its end. Peers are told, what is under way is settled, and then it says goodbye.

It ends no event. Whoever sent what is left by then still has it, and sends it to the next broker.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from lanebus.broker.attachment import Attachment
from lanebus.broker.egress import Egress
from lanebus.broker.outgoing import Frame, Outgoing
from lanebus.broker.registry import Registry
from lanebus.broker.sessions import Session
from lanebus.broker.settling import Settling
from lanebus.broker.timers import Timers
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Bye, Drain

log = logging.getLogger("lanebus.broker")

LOOK_S: Final = 0.02
"""Time between two looks at what is under way."""
QUIET_LOOKS: Final = 3
"""Looks in a row that must find nothing: what peers had sent before they knew has then arrived, if it ever does."""
ACCEPTING_SHARE: Final = 0.5
"""Part of the time in which batches are still taken: a peer that sends on must not keep the others from their end."""
MOST_RECEIVERS: Final = 10
"""Receivers of what is left that the report names."""


class Draining:
    """The broker's last moments.

    Until `begin` nothing here does anything.
    """

    def __init__(
        self, registry: Registry, egress: Egress, settling: Settling, outgoing: Outgoing, timers: Timers
    ) -> None:
        self._registry = registry
        self._egress = egress
        self._settling = settling
        self._outgoing = outgoing
        self._timers = timers
        self._began = 0.0
        self._deadline = 0.0
        self._accepting_until = 0.0
        self._quiet = 0
        self.active = False
        """Whether it has begun: nobody new is admitted, and no request is carried out."""
        self.byes: list[Frame] = []
        """What was said last to each attachment."""
        self.report: dict[str, Any] | None = None
        """What is left, once it is over and everybody was told goodbye."""

    @property
    def over(self) -> bool:
        """Whether the broker may end."""
        return self.report is not None

    def begin(self, now: float, deadline_s: float) -> None:
        """Drain for at most `deadline_s`; when that goes on already, its time can only become shorter."""
        if self.over:
            return
        deadline = now + deadline_s
        if self.active:
            self._deadline = min(self._deadline, deadline)
        else:
            self.active = True
            self._began = now
            self._deadline = deadline
            self._registry.admitting = False
            self._egress.hurried = True
            for attachment in self._registry.attachments.values():
                self.tell(attachment, now)
            self._flush(now)
            log.info("= draining for at most %.1f s", deadline_s)
            self._look(now)
        self._accepting_until = self._began + (self._deadline - self._began) * ACCEPTING_SHARE
        self._timers.at(self._deadline, self._end)

    def tell(self, attachment: Attachment, now: float) -> None:
        """Let an attachment know, unless it is away."""
        critical = attachment.links[Lane.CRITICAL]
        if critical is not None:
            left_ms = max(0.0, self._deadline - now) * 1e3
            self._outgoing.control(critical, Kind.DRAIN, Drain(deadline_ms=left_ms))

    def takes_batches(self, now: float) -> bool:
        """Whether events are still accepted; a batch that is not is sent again, to the next broker."""
        return not self.active or now < self._accepting_until

    def left(self) -> tuple[Counter[Lane], Counter[Session]]:
        """Events that are not settled by lane, and by receiver the parts that it has not settled."""
        events: Counter[Lane] = Counter()
        for session in self._sessions(self._registry.attachments.values()):
            for lane in LANES:
                events[lane] += session.sending[lane].book.in_flight
        for session in self._registry.ended.values():
            for lane in LANES:
                events[lane] += session.sending[lane].book.in_flight
        parts: Counter[Session] = Counter()
        for attachment in self._registry.attachments.values():
            for out in attachment.outbound:
                for event, sessions in out.queue:
                    for session in sessions:
                        # One that is to be sent again is unsettled already.
                        known = session.receiving[out.lane].unsettled.get(event.origin.origin, {})
                        parts[session] += event.number not in known
            for session in attachment.sessions.values():
                for receiving in session.receiving:
                    parts[session] += len(receiving.waiting) + len(receiving.suspects)
                    parts[session] += sum(map(len, receiving.unsettled.values()))
        return events, parts

    def _look(self, now: float) -> None:
        if self.over:
            return
        self._quiet = 0 if self._under_way() else self._quiet + 1
        if self._quiet >= QUIET_LOOKS:
            self._end(now)
        else:
            self._timers.at(now + LOOK_S, self._look)

    def _under_way(self) -> bool:
        """Whether anybody who is here has something to settle. Who is away finds it at the next broker."""
        present = [
            each for each in self._registry.attachments.values() if each.links[Lane.CRITICAL] is not None
        ]
        return any(out.queue for each in present for out in each.outbound) or any(
            receiving.unsettled or receiving.waiting or receiving.suspects
            for session in self._sessions(present)
            for receiving in session.receiving
        )

    def _flush(self, now: float) -> None:
        # One lane of everybody before the next: what is most urgent has the most time to be settled.
        for lane in LANES:
            for attachment in self._registry.attachments.values():
                self._egress.flush(attachment.outbound[lane], now)

    def _end(self, now: float) -> None:
        if self.over:
            return
        self._flush(now)
        for attachment in self._registry.attachments.values():
            critical = attachment.links[Lane.CRITICAL]
            if critical is None:
                continue
            self._settling.send_control(attachment, now)
            while attachment.reporting:
                self._settling.send_control(attachment, now)
            self._outgoing.control(critical, Kind.BYE, Bye(reason="the broker is shutting down"))
            self.byes.append(self._outgoing.frames[-1])
        events, parts = self.left()
        receivers = [
            {"peer": session.name, "parts": count, "away": session.attachment.links[Lane.CRITICAL] is None}
            for session, count in parts.most_common(MOST_RECEIVERS)
            if count
        ]
        self.report = {
            "took_s": now - self._began,
            "events_left": {lane.label: events[lane] for lane in LANES},
            "receivers": receivers,
        }
        total = sum(self.report["events_left"].values())
        log.log(logging.WARNING if total else logging.INFO, "= %s", summary(self.report))

    def _sessions(self, attachments: Any) -> Iterator[Session]:
        for attachment in attachments:
            yield from attachment.sessions.values()


def summary(report: dict[str, Any]) -> str:
    """The report in one line."""
    left = report["events_left"]
    total = sum(left.values())
    if not total:
        return f"drained in {report['took_s']:.2f} s, nothing is left"
    lanes = ", ".join(f"{count} {lane}" for lane, count in left.items() if count)
    names = ", ".join(
        f"{each['peer']} {each['parts']}{' (away)' if each['away'] else ''}" for each in report["receivers"]
    )
    return f"drained for {report['took_s']:.2f} s, {total} events are left with their senders: {lanes}" + (
        f"; waited for: {names}" if names else ""
    )
