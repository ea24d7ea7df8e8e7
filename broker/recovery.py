"""Recovery: after a broker's start, what peers name may not have come back yet. Until a time is over, it waits.

A peer that is named and unknown is *expected*: it gets a session without a process, which collects its parts like that
of a peer whose links are cut, and which the peer takes over with its hello. Events for a service that has no instance
yet wait, in order, at their sender's session. So do events for a group while one of the servers that put members into
it has not come back and named them anew; the sender says which. So does what a player sends to a group that only its
members may address, until it is a member again. Other unknown groups do not wait: an empty room is nothing unusual.
Nor does anything wait for a peer that has been here since the start and has ended its session.
"""

from __future__ import annotations

from collections.abc import Callable

from lanebus.broker.attachment import Attachment
from lanebus.broker.directory import Directory, Plan
from lanebus.broker.egress import Egress
from lanebus.broker.events import Event, moved_wire
from lanebus.broker.registry import Registry
from lanebus.broker.sending import Sending
from lanebus.broker.sessions import Session, Unresolved
from lanebus.broker.settling import Settling
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import PREFIX, Role
from lanebus.wire.outcomes import Outcome, Reason

_ROLES = {prefix: role for role, prefix in PREFIX.items()}


class Recovery:
    """The time after a start in which unknown destinations wait instead of being refused."""

    def __init__(
        self,
        registry: Registry,
        directory: Directory,
        egress: Egress,
        settling: Settling,
        started: float,
        *,
        active: bool,
    ) -> None:
        self._registry = registry
        self._directory = directory
        self._egress = egress
        self._settling = settling
        self._started = started
        self._senders: dict[tuple[Session, Lane], None] = {}
        self.active = active
        self.on_absent: Callable[[Attachment, float], None] | None = None
        """Called for everybody who was expected in vain, before its parts end."""
        directory.expect = self.expect if active else None
        registry.on_departure = self.forget

    def expect(self, name: str) -> Session | None:
        """A session for a peer that has not come back; None if it cannot be one."""
        role = _ROLES.get(name.partition(":")[0])
        if not self.active or role not in (Role.CLIENT, Role.SERVER) or name in self._directory.left:
            return None
        return self._registry.expect(name, role, self._started)

    def lets_pass(self, sender: Session, sending: Sending) -> bool:
        """Whether no event of a sender waits that has receivers."""
        return not self.active or not (sending.unresolved or sender.kept_by)

    def must_wait(
        self, sender: Session, sending: Sending, to: str | list[str] | None, plan: Plan | Reason
    ) -> bool:
        """Whether an event waits: for its service, its group's members, or behind earlier ones of its sender."""
        if not self.active:
            return False
        if sending.unresolved:
            # What only servers wait for is overtaken by nothing that goes to players alone.
            return not (_only_players(to) and all(_only_servers(each[1][1]) for each in sending.unresolved))
        return self._awaits(sender, to, plan) or (bool(sender.kept_by) and self._half_known(sender, to))

    def _awaits(self, sender: Session, to: str | list[str] | None, plan: Plan | Reason) -> bool:
        return plan in (Reason.NO_SERVICE, Reason.UNKNOWN_DESTINATION) and (
            self._may_come(to) or self._directory.may_become_member(sender, to)
        )

    def _may_come(self, to: str | list[str] | None) -> bool:
        """Whether a service or server is among the destinations that may be there in a moment.

        Servers that servers name are expected; clients cannot make the broker expect anybody, and wait for them here.
        """
        return to is None or any(
            each.startswith("service:") or (each.startswith("server:") and each not in self._directory.left)
            for each in ((to,) if isinstance(to, str) else to)
        )

    def _half_known(self, sender: Session, to: str | list[str] | None) -> bool:
        """Whether a server that put members into one of the groups in `to` has still to come back and name them."""
        for each in (to,) if isinstance(to, str) else to or ():
            for server in sender.kept_by.get(each.removeprefix("group:"), ()) if each[:6] == "group:" else ():
                session = self._directory.peers.get(server)
                if session is None:
                    if server not in self._directory.left:
                        return True
                elif not session.attachment.restored:
                    return True
        return False

    def hold(self, event: Event, unresolved: Unresolved) -> None:
        """Let an accepted event wait; until it is expanded it counts as one part."""
        event.remaining = 1
        sending = event.origin.sending[event.lane]
        sending.parts.accepted += 1
        sending.unresolved.append((event, unresolved))
        self._senders[event.origin, event.lane] = None

    def retry(self, now: float) -> None:
        """The directory has changed: let go what can be resolved now, in each sender's order."""
        for key in list(self._senders):
            self._release(*key, now, final=False)

    def joined(self, member: str, now: float) -> None:
        """A peer was put into a group: let go what it sends to those that only members may address."""
        session = self._directory.peers.get(member)
        if session is not None:
            for lane in LANES:
                if (session, lane) in self._senders:
                    self._release(session, lane, now, final=False)

    def end(self, now: float) -> None:
        """The time is over: what is still unknown is refused."""
        self.active = False
        self._directory.expect = None
        self._directory.left.clear()
        self._directory.version += 1
        for key in list(self._senders):
            self._release(*key, now, final=True)
        for attachment in list(self._registry.attachments.values()):
            if attachment.expected and self.on_absent is not None:
                self.on_absent(attachment, now)
        self._registry.end_expected(now)

    def forget(self, session: Session, now: float) -> None:
        """A sender is gone: nobody knows any more which instance its events were for."""
        for key in [key for key in self._senders if key[0] is session]:
            self._release(*key, now, final=True)

    def _release(self, session: Session, lane: Lane, now: float, *, final: bool) -> None:
        sending = session.sending[lane]
        while sending.unresolved:
            event, unresolved = sending.unresolved[0]
            if not final and self._half_known(session, unresolved[1]):
                return
            plan = self._directory.resolve(session, *unresolved)
            if isinstance(plan, Reason):
                if not final and self._awaits(session, unresolved[1], plan):
                    return
                sending.unresolved.popleft()
                self._settling.part_ended(event, Outcome.REFUSED, plan, now)
                continue
            sending.unresolved.popleft()
            sending.parts.accepted += plan.parts - 1
            if plan.moved:
                event.wire = moved_wire(event.wire)
            self._egress.deliver(event, plan)
        self._senders.pop((session, lane), None)


def _only_servers(to: str | list[str] | None) -> bool:
    """Whether no player can be among the receivers."""
    return to is None or (isinstance(to, str) and to.startswith(("service:", "server:")))


def _only_players(to: str | list[str] | None) -> bool:
    """Whether no server can be among the receivers, so that nothing is overtaken that waits for one."""
    return isinstance(to, str) and (to == "all" or to.startswith("player:"))
