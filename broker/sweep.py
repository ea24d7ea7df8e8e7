"""The sweep: what nobody asks for and time brings about, looked at once a second.

A sweep over thousands of sessions is done in portions, spread over its second: no event waits for all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from math import ceil
from typing import Final

from lanebus.broker.attachment import Attachment
from lanebus.broker.bus import Bus
from lanebus.broker.egress import Egress
from lanebus.broker.lately import SPAN_S
from lanebus.broker.leases import is_silent, why_lost, why_over
from lanebus.broker.links import Links
from lanebus.broker.registry import Registry
from lanebus.broker.sessions import Session
from lanebus.broker.stalls import Stalls
from lanebus.broker.timers import Timers
from lanebus.broker.watchdogs import Watchdogs
from lanebus.conf.model import SessionsConfig
from lanebus.wire.lanes import Lane

log = logging.getLogger("lanebus.broker")

SWEEP_S: Final = 1.0
"""How often leases, grace periods and ages are looked at."""
STEP_S: Final = 0.02
"""From one portion of a sweep to the next."""
PORTION: Final = 64
"""The least number of attachments and sessions in a portion, which takes a third of a millisecond."""
MOST_IN_PORTION: Final = 256
"""The greatest: past it a sweep takes longer than a second."""
NOTE_SWEEPS: Final = int(SPAN_S / SWEEP_S)
"""In one of so many sweeps the state of a session's statistics is noted, of each in another one."""


class Sweep:
    """Ends what is over, and lets everything that watches have a look.

    Args:
        started: the time of the start; the first sweep is `SWEEP_S` later.
    """

    def __init__(
        self,
        sessions: SessionsConfig,
        timers: Timers,
        registry: Registry,
        links: Links,
        stalls: Stalls,
        egress: Egress,
        bus: Bus,
        watchdogs: Watchdogs,
        started: float,
    ) -> None:
        self._sessions = sessions
        self._timers = timers
        self._registry = registry
        self._links = links
        self._stalls = stalls
        self._egress = egress
        self._bus = bus
        self._watchdogs = watchdogs
        self._sweeps = 0
        self._portion = PORTION
        """Sessions looked at in one go."""
        self._round: Iterator[None] = iter(())
        self._now = self._next = started
        timers.at(started + SWEEP_S, self._sweep)

    def _sweep(self, now: float) -> None:
        """Begin a sweep; the next one begins a second later, or when this one is over."""
        self._bus.look(now)
        self._stalls.look(now)
        self._sweeps += 1
        attachments = list(self._registry.attachments.values())
        count = sum(1 + len(each.sessions) for each in attachments) + len(self._registry.ended)
        self._portion = min(MOST_IN_PORTION, max(PORTION, ceil(count * STEP_S / SWEEP_S)))
        self._round = self._looks(attachments)
        self._next = now + SWEEP_S
        self._step(now)

    def _step(self, now: float) -> None:
        """A portion of the sweep."""
        self._now = now
        if sum(1 for _ in islice(self._round, self._portion)) == self._portion:
            self._timers.at(now + STEP_S, self._step)
            return
        self._watchdogs.look(now)
        self._timers.at(max(self._next, now + STEP_S), self._sweep)

    def _looks(self, attachments: list[Attachment]) -> Iterator[None]:
        """Look at every session, one at a time."""
        for attachment in attachments:
            if self._registry.attachments.get(attachment.key) is not attachment:
                continue
            if not self._ends(attachment, self._now):
                for session in list(attachment.sessions.values()):
                    if not session.ended:
                        self._look(session, self._now)
                        yield
                self._egress.expire(attachment, self._now)
            yield
        for session in list(self._registry.ended.values()):
            self._registry.fold(session)
            yield

    def _ends(self, attachment: Attachment, now: float) -> bool:
        """Give up links that are lost, and whose time is over."""
        critical = attachment.links[Lane.CRITICAL]
        why = why_lost(attachment, self._sessions, now)
        if critical is not None and why is not None:
            log.info("= %s %s", attachment.name, why)
            if is_silent(attachment, self._sessions, now):
                self._stalls.begin(attachment, critical)
            self._links.drop(critical, now, f"it {why}")
        reason = why_over(attachment, self._sessions, now)
        if reason is None:
            return False
        self._registry.end_attachment(attachment, now, reason)
        log.info("= %s %s", attachment.name, reason)
        return True

    def _look(self, session: Session, now: float) -> None:
        self._egress.sweep(session, now)
        self._watchdogs.session(session, now)
        self._registry.count_parts(session)
        if (session.origin + self._sweeps) % NOTE_SWEEPS == 0:
            for traffic in session.traffic:
                traffic.note()
