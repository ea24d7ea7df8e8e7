"""The sweep: what nobody asks for and time brings about, looked at once a second."""

from __future__ import annotations

import logging
from typing import Final

from lanebus.broker.bus import Bus
from lanebus.broker.egress import Egress
from lanebus.broker.lately import SPAN_S
from lanebus.broker.leases import is_silent, why_lost, why_over
from lanebus.broker.links import Links
from lanebus.broker.registry import Registry
from lanebus.broker.sessions import Attachment
from lanebus.broker.stalls import Stalls
from lanebus.broker.timers import Timers
from lanebus.broker.watchdogs import Watchdogs
from lanebus.conf.model import SessionsConfig
from lanebus.wire.lanes import Lane

log = logging.getLogger("lanebus.broker")

SWEEP_S: Final = 1.0
"""How often leases, grace periods and ages are looked at."""
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
        timers.at(started + SWEEP_S, self._sweep)

    def _sweep(self, now: float) -> None:
        self._timers.at(now + SWEEP_S, self._sweep)
        self._bus.look(now)
        self._stalls.look(now)
        self._sweeps += 1
        for attachment in list(self._registry.attachments.values()):
            if not self._ends(attachment, now):
                self._look(attachment, now)
        self._watchdogs.look(now)
        self._registry.fold_ended()

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

    def _look(self, attachment: Attachment, now: float) -> None:
        for session in attachment.sessions.values():
            self._egress.sweep(session, now)
            self._watchdogs.session(session, now)
            if (session.origin + self._sweeps) % NOTE_SWEEPS == 0:
                for traffic in session.traffic:
                    traffic.note()
        self._egress.expire(attachment, now)
