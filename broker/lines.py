"""Everybody's lines: samples from their pings, a judgement of each once in a while, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from lanebus.broker.attachment import Attachment
from lanebus.broker.line import Reported
from lanebus.broker.quality import Change
from lanebus.broker.sessions import Session
from lanebus.broker.stalls import away_reason
from lanebus.broker.tcpinfo import Look
from lanebus.broker.timers import Timers
from lanebus.conf.model import Config
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.pings import Ping
from lanebus.wire.quality import Degree

ROUND_S: Final = 2.0
"""How often every session is judged, while there are not too many."""
PORTION: Final = 32
"""Sessions judged in one go, which takes a millisecond."""
STEP_S: Final = 0.05
"""Least time between two portions: of thousands each is judged less often, instead of all costing more."""
SILENT_PINGS: Final = 2.5
"""Intervals of pings without a word after which a line counts as lost; its links live on to the end of the lease."""

OnChange = Callable[[Session, Change], None]


class Lines:
    """Measures lines and judges sessions.

    Args:
        sessions: all that there are.
        on_change: told when the quality of a session whose links are there has changed.
    """

    def __init__(
        self,
        config: Config,
        timers: Timers,
        sessions: Callable[[], Iterator[Session]],
        on_change: OnChange,
        started: float,
    ) -> None:
        self._timers = timers
        self._sessions = sessions
        self._on_change = on_change
        self._ping_s = config.sessions.ping_interval_s
        self._stretch = config.quality.poor_stretch
        self._intervals_s = (
            (Lane.NORMAL, config.lanes.normal.interval_ms / 1e3),
            (Lane.LOW, config.lanes.low.interval_ms / 1e3),
        )
        self._round: list[Session] = []
        self._step_s = ROUND_S
        self.wanted: Attachment | None = None
        """Whose connection the driver is to look at; its frame is the one that the core was given last."""
        timers.at(started + ROUND_S, self._step)

    def ping(self, attachment: Attachment, message: Ping, now: float) -> None:
        """A peer has pinged, and says what its last round trip was, and how it finds its line."""
        line, rtt_us = attachment.line, message.rtt_us
        if message.quality is not None:
            line.reported = Reported(message.quality, message.reason, now)
        if line.ping(rtt_us / 1e3 if rtt_us else None, self._ping_s, message.late_ms / 1e3, now):
            self.wanted = attachment

    def network(self, look: Look | None) -> None:
        """What the kernel says of the connection that was wanted."""
        attachment, self.wanted = self.wanted, None
        if attachment is not None and look is not None:
            attachment.line.network(look)

    def away(self, attachment: Attachment, now: float) -> None:
        """An attachment has lost its links."""
        for session in attachment.sessions.values():
            session.quality.away(away_reason(attachment), now)
        self._adapt(attachment, poor=False)

    def resumed(self, attachment: Attachment, now: float) -> None:
        """An attachment has fresh links; nothing was sent again on them yet."""
        line = attachment.line
        line.relinked(now)
        line.resent(sum(len(out.unacked) for out in attachment.outbound))
        for session in attachment.sessions.values():
            session.quality.back(now)

    def _step(self, now: float) -> None:
        """Judge a portion of the round, or of the next one."""
        if not self._round:
            self._round = list(self._sessions())
            self._step_s = max(STEP_S, ROUND_S / max(1, -(-len(self._round) // PORTION)))
        for session in self._round[-PORTION:]:
            if not session.ended:
                self.judge(session, now)
        del self._round[-PORTION:]
        self._timers.at(now + self._step_s, self._step)

    def judge(self, session: Session, now: float) -> None:
        """Judge one session anew."""
        attachment = session.attachment
        if attachment.away_since is not None:
            return
        quality = session.quality
        silence_s = now - attachment.last_seen
        if silence_s > SILENT_PINGS * self._ping_s:
            change = quality.silent(silence_s, now)
        else:
            change = quality.consider(attachment.line, queue_ms(session, now), now)
        if change is not None:
            if session.role is Role.CLIENT and not attachment.targeted:
                self._adapt(attachment, poor=change.after is Degree.POOR)
            self._on_change(session, change)

    def _adapt(self, attachment: Attachment, *, poor: bool) -> None:
        """On a poor line fewer and larger batches; what is critical goes as ever."""
        for lane, interval_s in self._intervals_s:
            attachment.outbound[lane].extra_s = (self._stretch - 1.0) * interval_s if poor else 0.0


def queue_ms(session: Session, now: float) -> float:
    """How long the oldest part that has not left waits for a session, milliseconds; behind a gateway, for its link."""
    oldest = now
    for out, receiving in zip(session.attachment.outbound, session.receiving, strict=True):
        if out.queue:
            oldest = min(oldest, out.queue[0][0].arrived)
        if receiving.waiting:
            oldest = min(oldest, receiving.waiting.oldest.arrived)
        if receiving.suspects:
            oldest = min(oldest, receiving.suspects[0].arrived)
    return (now - oldest) * 1e3
