"""The registry: attachments and sessions, from their first hello to the end of their grace period."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from lanebus.broker.attachment import Attachment
from lanebus.broker.budget import Budget
from lanebus.broker.closed import ClosedSessions
from lanebus.broker.departure import Departures
from lanebus.broker.directory import Directory
from lanebus.broker.policies import Policies
from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Session
from lanebus.broker.settling import Settling
from lanebus.broker.totals import Totals
from lanebus.conf.model import Config
from lanebus.wire.batches import MAX_UNSIGNED
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.lanes import LANES
from lanebus.wire.messages import Hello
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason

TOKEN_BYTES = 16
FENCED = "fenced: a newer process has taken its name"
"""Why the sessions of a process end whose name another one has taken."""
NOT_BACK = "did not come back after the broker's start"


class Registry:
    """Begins and ends attachments and sessions."""

    def __init__(
        self,
        config: Config,
        policies: Policies,
        directory: Directory,
        departures: Departures,
        settling: Settling,
        budget: Budget,
        random: Callable[[int], bytes],
    ) -> None:
        self._budget = budget
        self._config = config
        self._policies = policies
        self._directory = directory
        self._departures = departures
        self._settling = settling
        self._random = random
        self._next_origin = 1
        self._by_token: dict[bytes, Attachment] = {}
        self.attachments: dict[str, Attachment] = {}
        """By the name they said hello with."""
        self.ended: dict[int, Session] = {}
        """Ended sessions with events still under way, by origin."""
        self._at_address: dict[str, int] = {}
        """Attachments by the address that they came from first."""
        self._absent = 0
        """Attachments without a process: those expected back, and those of gateways that lost their name."""
        self.room = config.limits.attachments
        """Attachments that there may be at once; the driver lowers it to what the process can hold."""
        self.admitting = True
        """Whether attachments may begin; those that are known resume in any case."""
        self.totals = Totals()
        """Of sessions that have ended, and whose last event is settled."""
        self._parts_accepted = self._parts_failed = 0
        self.closed = ClosedSessions()
        self.on_departure: Callable[[Session, float], None] | None = None
        """Called when a session has ended, before its parts go to its successor or end."""
        self.on_settled: Callable[[Session], None] | None = None
        """Called when the last event of a session that has ended is settled."""
        self.on_presence: Callable[[Session, str | None, float], None] | None = None
        """Called when a session has begun, with None, and when one has ended, with the reason."""
        self.on_rivalry: Callable[[Session, float], None] | None = None
        """Called when another session has taken the name of one behind a gateway that is there."""

    def by_token(self, token: bytes) -> Attachment | None:
        """The attachment that was given this token."""
        return self._by_token.get(token)

    @property
    def begun(self) -> int:
        """Sessions that ever began."""
        return self._next_origin - 1

    def sessions(self) -> Iterator[Session]:
        """Every session that has not ended."""
        for attachment in self.attachments.values():
            yield from attachment.sessions.values()

    def attach(
        self, hello: Hello, now: float, address: str = ""
    ) -> tuple[Attachment, bool, list[Attachment]]:
        """The attachment for a hello, whether it was resumed, and those whose name it has taken over.

        Args:
            address: of the host that it came from; empty where nobody knows.

        Raises:
            ProtocolError: there is no room for another attachment or its events, the broker drains, or a newer process
                has the name.
        """
        # A peer that never saw its welcome has no token, but its process is the same.
        known = self.attachments.get(hello.name)
        if known is not None and known.process == hello.process and hello.token in (b"", known.token):
            return known, True, []
        newest = known.generation if known is not None else 0
        if 0 < hello.generation < newest:
            # It was fenced where it could not hear it, by this broker or an earlier one.
            raise ProtocolError(ErrorNumber.FENCED, f"a newer process of {hello.name} has taken over")
        if not self.admitting:
            raise ProtocolError(
                ErrorNumber.DRAINING, "this broker is about to end: dial another, or the next one here"
            )
        if (
            self._budget.refuses
            and hello.name not in self._directory.peers
            and hello.role is not Role.GATEWAY
        ):
            # Whoever has events waiting here is to come and take them, and a gateway's players may be such.
            raise ProtocolError(
                ErrorNumber.BUSY, f"{self._budget.held_bytes} bytes are under way: try again later"
            )
        displaced = self._displaced_by(hello)
        present = len(self.attachments) - self._absent - sum(not old.expected for old in displaced)
        if present >= self.room:
            limit = "limits.attachments" if self.room == self._config.limits.attachments else "its open files"
            raise ProtocolError(ErrorNumber.FULL, f"{present} attachments, the limit that {limit} sets")
        here = self._at_address.get(address, 0) - sum(old.line.address == address for old in displaced)
        most = self._config.limits.attachments_per_address
        if address and most and here >= most:
            raise ProtocolError(
                ErrorNumber.BUSY, f"{here} attachments from {address}, the limit: try again later"
            )
        for old in displaced:
            del self.attachments[old.name]
            self._absent -= old.expected
        attachment = Attachment(hello.name, hello.role, hello.process, self._random(TOKEN_BYTES), now)
        attachment.generation = hello.generation or min(newest + 1, MAX_UNSIGNED)
        self.attachments[hello.name] = attachment
        self._by_token[attachment.token] = attachment
        if address:
            attachment.line.address = address
            self._at_address[address] = self._at_address.get(address, 0) + 1
        if hello.role is not Role.GATEWAY:
            self.open_session(attachment, 0, hello.name, hello.process, None, now)
        return attachment, False, displaced

    def _displaced_by(self, hello: Hello) -> list[Attachment]:
        old = self.attachments.get(hello.name)
        return [old] if old is not None else []

    def open_session(
        self, attachment: Attachment, index: int, name: str, process: bytes, rtt_ms: float | None, now: float
    ) -> Session:
        """Begin a session; the latest to claim a name has it, with what its predecessor had not settled."""
        role = Role.CLIENT if attachment.role is Role.GATEWAY else attachment.role
        old = self._directory.peers.get(name)
        session = Session(
            attachment,
            index,
            name,
            role,
            process,
            self._next_origin,
            Quality(self._config.quality),
            now,
            self._policies.limits(name, role, now, old.limits if old is not None else None),
        )
        self._next_origin += 1
        if rtt_ms is not None:
            session.quality.outside_ms = rtt_ms
        if old is not None:
            self._directory.succeed(old, session)
            # Who was only expected was not there yet: nothing of it has ended.
            is_back = old.attachment.expected
            self._depart(old, now, _taken_over_by(session), remembered=not is_back)
            self._departures.inherit(old, session, now)
            if old.attachment.targeted:
                self._settling.disown(old, Reason.FENCED, now)
                if old.attachment.away_since is None and self.on_rivalry is not None:
                    self.on_rivalry(old, now)
            elif is_back:
                self.end_attachment(old.attachment, now, FENCED)
        else:
            self._directory.add(session)
        attachment.sessions[index] = session
        if self.on_presence is not None:
            self.on_presence(session, None, now)
        return session

    def expect(self, name: str, role: Role, now: float) -> Session | None:
        """A session without a process, for a peer that is to come back; None if there is no room for another."""
        if self._absent >= self._config.limits.attachments:
            return None
        self._absent += 1
        attachment = Attachment(name, role, b"", b"", now)
        attachment.away_since = now
        self.attachments[name] = attachment
        return self.open_session(attachment, 0, name, b"", None, now)

    def end_expected(self, now: float) -> None:
        """Whoever was expected and has not come is unknown."""
        known = self.closed.names()
        for attachment in [each for each in self.attachments.values() if each.expected]:
            for session in list(attachment.sessions.values()):
                self._directory.remove(session)
                # Who was here in between, and has gone, is remembered for that.
                self._depart(session, now, NOT_BACK, remembered=session.name not in known)
                self._departures.end(session, now, Reason.UNKNOWN_DESTINATION)
            self.end_attachment(attachment, now, NOT_BACK)

    def end_session(self, session: Session, now: float, reason: str) -> None:
        """End a session for good. What the broker had accepted from it is still delivered."""
        if not session.ended:
            self._directory.remove(session)
            self._depart(session, now, reason)
            self._departures.end(session, now, Reason.RECEIVER_GONE)

    def _depart(self, session: Session, now: float, reason: str, *, remembered: bool = True) -> None:
        session.ended = True
        self._policies.departed(session.name, session.limits, now)
        attachment = session.attachment
        if remembered:
            self.closed.add(session, now, reason)
        attachment.sessions.pop(session.index, None)
        for lane in LANES:
            attachment.reporting.pop((session.index, lane), None)
        self.ended[session.origin] = session
        if self.on_departure is not None:
            self.on_departure(session, now)
        if self.on_presence is not None:
            self.on_presence(session, reason, now)

    def retire(self, attachment: Attachment, now: float) -> None:
        """A gateway has lost its name: its players' sessions wait, without links, to be opened by another."""
        attachment.links = [None for _ in LANES]
        attachment.away_since = attachment.away_since or now
        attachment.stalled = None
        # Not its process: that may say hello again, and lose the name again.
        attachment.key = f"{attachment.name} {attachment.token.hex()}"
        self.attachments[attachment.key] = attachment
        self._absent += 1
        self._by_token.pop(attachment.token, None)

    def end_attachment(self, attachment: Attachment, now: float, reason: str) -> None:
        """End an attachment and all its sessions; behind a gateway these say whose end it was."""
        if attachment.targeted:
            reason = f"its gateway {attachment.name} {reason}"
        for session in list(attachment.sessions.values()):
            self.end_session(session, now, reason)
        self._by_token.pop(attachment.token, None)
        self._leave_address(attachment)
        if self.attachments.get(attachment.key) is attachment:
            del self.attachments[attachment.key]
            self._absent -= attachment.expected or attachment.key != attachment.name
        self._release(attachment)

    def parts(self) -> tuple[int, int]:
        """Parts accepted since the start, and those of them that were refused or dropped, as last counted."""
        return self._parts_accepted, self._parts_failed

    def count_parts(self, session: Session) -> None:
        """Count what has become of a session's parts since this was last done."""
        accepted = failed = 0
        for sending in session.sending:
            book = sending.parts
            accepted += book.accepted
            failed += book.ended[Outcome.REFUSED] + book.ended[Outcome.DROPPED]
        before_accepted, before_failed = session.parts_counted
        self._parts_accepted += accepted - before_accepted
        self._parts_failed += failed - before_failed
        session.parts_counted = accepted, failed

    def summed(self) -> Totals:
        """The figures of all sessions that are or were, at one instant; of thousands it takes many milliseconds."""
        summed = self.totals.copy()
        for session in chain(self.sessions(), self.ended.values()):
            summed.add(session)
        return summed

    def _leave_address(self, attachment: Attachment) -> None:
        address, attachment.line.address = attachment.line.address, ""
        if address:
            self._at_address[address] -= 1
            if not self._at_address[address]:
                del self._at_address[address]

    def fold(self, session: Session) -> None:
        """Sum up the books of an ended session, if its last event has been settled."""
        if not any(sending.book.in_flight for sending in session.sending):
            del self.ended[session.origin]
            self.count_parts(session)
            self.closed.settled(session)
            self.totals.add(session)
            if self.on_settled is not None:
                self.on_settled(session)
            session.release()
            self._release(session.attachment)

    def _release(self, attachment: Attachment) -> None:
        """Let go of an attachment that has ended, once nothing of its sessions is under way."""
        if not attachment.sessions and self.attachments.get(attachment.key) is not attachment:
            attachment.release()


def _taken_over_by(session: Session) -> str:
    """Why the session ended whose name this one has."""
    if session.attachment.targeted:
        return f"taken over: {session.attachment.name} has opened a session of its name"
    return FENCED
