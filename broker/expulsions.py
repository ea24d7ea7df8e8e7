"""Expulsions: the end of those who have used up their error budget three times over.

A process loses its links, and is told why. A player behind a gateway loses its session, and nobody else there notices.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.registry import Registry
from lanebus.broker.sessions import Session
from lanebus.broker.settling import Settling
from lanebus.broker.violations import Violations
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Reason

log = logging.getLogger("lanebus.broker")

Fail = Callable[[Link, ProtocolError, float], None]
"""Ends a link with an error."""


class Expulsions:
    """Ends whom `Violations` names."""

    def __init__(self, violations: Violations, registry: Registry, settling: Settling, fail: Fail) -> None:
        self._violations = violations
        self._registry = registry
        self._settling = settling
        self._fail = fail

    def end_turn(self, now: float) -> None:
        """End those who have become too much in this turn."""
        if self._violations.spent:
            spent, self._violations.spent = self._violations.spent, {}
            for who in spent:
                if isinstance(who, Session) and who.attachment.targeted:
                    self._end_session(who, now)
                else:
                    self._hang_up(who if isinstance(who, Attachment) else who.attachment, now)

    def _hang_up(self, attachment: Attachment, now: float) -> None:
        critical = attachment.links[Lane.CRITICAL]
        if critical is None:
            return  # a malformed frame has ended it
        error = ProtocolError(ErrorNumber.TOO_MANY_VIOLATIONS, self._text(attachment.name))
        self._fail(critical, error, now)

    def _end_session(self, session: Session, now: float) -> None:
        if session.ended:
            return
        text = self._text(session.name)
        log.warning("! %s behind %s is ended: %s", session.name, session.attachment.name, text)
        self._registry.end_session(session, now, text)
        self._settling.disown(session, Reason.SENDER_GONE, now)

    def _text(self, name: str) -> str:
        cools_s = self._violations.cool_down_s
        return f"too many rules broken ({self._violations.why(name)}): not back before {cools_s:g} s are over"
