"""The directory: who exists, which services and groups there are, and whom a destination means."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from lanebus.broker.attachment import Attachment
from lanebus.broker.name_rules import NameRules
from lanebus.broker.services import Facts, Service, Services
from lanebus.broker.sessions import Replayed, Served, Session
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.names import Destination, DestinationKind, PatternTable, Role, parse_destination
from lanebus.wire.outcomes import Reason

_CLIENT_MAY = frozenset({DestinationKind.SERVICE, DestinationKind.SERVER})
"""What a client may address by name; players and groups only where a rule says so."""
_MEMBER: Final = "member:"
"""Begins a rule for groups that holds for their members alone."""


MAX_UNCLAIMED: Final = 10_000
"""Players that are bound and have no session: past it the oldest are forgotten."""
MAX_LEFT: Final = 65_536
"""Peers that have left a young broker and are remembered for that."""
MAX_KEEPERS: Final = 64
"""Servers that a sender to a group is told of: those that put members into it."""


class Plan(NamedTuple):
    """Whom an event goes to: sessions, by the attachment that carries them."""

    groups: tuple[tuple[Attachment, tuple[Session, ...]], ...]
    parts: int
    """Receivers, and the unknown names in a list."""
    unknown: int
    """Names in a list that nobody has: their parts are refused."""
    shared: bool
    """Whether a full receiver costs it its part (groups, all, lists) rather than pausing the sender."""
    moved: bool
    """Of a replayed event: whether it goes to an instance of a service that is not known to have had it."""


class Directory:
    """Names to sessions. Every change makes remembered routes invalid."""

    def __init__(self, bus: str = "lanebus", client_may_address: Sequence[str] = ()) -> None:
        """
        Args:
            bus: the broker's name, among the services.
            client_may_address: patterns of what clients may name besides servers and services; behind ``member:``,
                of groups that only their members may name.
        """
        self._client_rules = NameRules([each for each in client_may_address if not each.startswith(_MEMBER)])
        self._member_rules = NameRules(
            [each.removeprefix(_MEMBER) for each in client_may_address if each.startswith(_MEMBER)]
        )
        self.peers: dict[str, Session] = {}
        self.catalog = Services(bus)
        """The services' instances and states."""
        self.catalog.on_change = self._changed
        self.services = self.catalog.by_name
        self.groups: dict[str, dict[str, Session]] = {}
        self._joins: dict[tuple[str, str], tuple[Attachment, int]] = {}
        """Group and member, to the attachment that asked for it first, and the number of its request."""
        self.bindings: dict[str, dict[str, str]] = {}
        """By player and service: the instance that a server assigned."""
        self.unclaimed: OrderedDict[str, float] = OrderedDict()
        """Players that are bound and have no session, and when they were, the latest last."""
        self.concerned: dict[str, dict[str, Attachment]] = {}
        """By peer: the servers, by name, that have put it into a group or bound it to an instance."""
        self._group_changes: dict[str, int] = {}
        """By group: the number of its last change; routes to it are valid for that."""
        self._changes = 0
        self.version = 0
        self.expect: Callable[[str], Session | None] | None = None
        """After the broker's start: makes a session for a peer that is named before it has come back."""
        self.left: dict[str, None] = {}
        """While `expect` is there: peers whose sessions have ended here, the latest last; nobody waits for them."""
        self.on_served: Callable[[Session, str], None] | None = None
        """Called when a client's undirected events go to another instance of a service than before."""
        self.on_gone: Callable[[str, Iterable[Attachment]], None] | None = None
        """Called when the session of a peer has ended that servers are concerned with."""
        self.on_kept: Callable[[Session, str], None] | None = None
        """Called when other servers than before put members into a group that a server sends to."""
        self._topics: PatternTable[Service] = PatternTable()

    def add(self, session: Session) -> None:
        """A session has begun."""
        self.peers[session.name] = session
        self.left.pop(session.name, None)
        self.unclaimed.pop(session.name, None)
        self.version += 1

    def remove(self, session: Session) -> None:
        """A session has ended: it leaves its groups and services."""
        if self.peers.get(session.name) is session:
            del self.peers[session.name]
            if self.expect is not None:
                self.left[session.name] = None
                if len(self.left) > MAX_LEFT:
                    del self.left[next(iter(self.left))]
        for name in list(session.groups):
            self.leave(name, session)
        for service in self.catalog.remove(session):
            self._topics.remove(service)
        if self.peers.get(session.name) is None:
            self.forget(session.name)
        self.version += 1

    def forget(self, name: str) -> None:
        """Nobody of this name is there, or comes: its bindings are over, and whoever was concerned with it is told."""
        self.unclaimed.pop(name, None)
        self.bindings.pop(name, None)
        concerned = self.concerned.pop(name, None)
        if concerned is not None and self.on_gone is not None:
            self.on_gone(name, concerned.values())

    def _concern(self, name: str, by: Attachment) -> None:
        if by.role is Role.SERVER and by.name != name:
            self.concerned.setdefault(name, {})[by.name] = by

    def succeed(self, old: Session, new: Session) -> None:
        """A new session has taken over a name: it stands wherever the old one stood, until it says otherwise."""
        self.peers[new.name] = new
        for group in old.groups:
            self.groups[group][new.name] = new
        new.groups, old.groups = old.groups, set()
        self.catalog.succeed(old, new)
        self.version += 1

    def register(
        self, session: Session, service_name: str, topics: Iterable[str], facts: Facts | None = None
    ) -> None:
        """`session` is an instance of a service that handles `topics`.

        Raises:
            CycleError: the service would depend on itself.
        """
        service = self.catalog.register(session, service_name, facts or Facts())
        for pattern in topics:
            if pattern not in service.topics:
                self._topics.add(pattern, service)
                service.topics.add(pattern)
        self.version += 1

    def _changed(self) -> None:
        self.version += 1

    def instead_of(self, session: Session, sender: Session, topic: str, to: str | None) -> dict[str, Session]:
        """Who gets an event of `sender` that `session` had as the instance of services: by service, others alone."""
        if to is None:
            services = list(self._topics.match(topic))
        else:
            named = self.services.get(to.removeprefix("service:"))
            services = [named] if named is not None else []
        found = {}
        for service in services:
            had = service.name in sender.served and any(
                each.instance == session.name for each in sender.served[service.name]
            )
            instance = service.instances.get(session.name)
            if had or (instance is not None and instance.session is session):
                # To the sender its instance is gone: one that is starting is better than none.
                other = service.choose(sender.name, self._wanted(sender, service) or session.name)
                if other is not None and other.session is not None and other.session is not session:
                    found[service.name] = other.session
        return found

    def assign(self, player: str, service: str, instance: str | None, by: Attachment, now: float) -> None:
        """Bind `player` to an instance of `service`, or take the binding away, as the attachment `by` has asked."""
        bound = self.bindings.setdefault(player, {})
        if instance is None:
            bound.pop(service, None)
        else:
            bound[service] = instance
            self._concern(player, by)
        if not bound:
            del self.bindings[player]
        session = self.peers.get(player)
        if session is not None:
            session.route_version = -1
        elif bound:
            self.unclaimed[player] = now
            self.unclaimed.move_to_end(player)
            if len(self.unclaimed) > MAX_UNCLAIMED:
                self.forget(next(iter(self.unclaimed)))

    def join(self, group: str, session: Session, by: Attachment, request: int) -> None:
        """Put a session into a group, as `request` of the attachment `by`."""
        members = self.groups.setdefault(group, {})
        known = self._joins.get((group, session.name))
        # The first request counts, unless a peer that was forgotten numbers its requests anew.
        if known is None or (known[0] is not by and known[0].process == by.process):
            self._joins[group, session.name] = (by, request)
        members[session.name] = session
        session.groups.add(group)
        self._concern(session.name, by)
        self._changed_group(group)

    def _changed_group(self, group: str) -> None:
        self._changes += 1
        self._group_changes[group] = self._changes

    def leave(self, group: str, session: Session) -> None:
        """Take a session out of a group; an empty group is gone."""
        session.groups.discard(group)
        members = self.groups.get(group)
        if members is not None and members.get(session.name) is session:
            del members[session.name]
            self._joins.pop((group, session.name), None)
            self._changed_group(group)
            if not members:
                del self.groups[group], self._group_changes[group]

    def keeper(self, group: str, member: str) -> str:
        """Who put a member into a group: a server, or a player's own process or gateway."""
        return self._joins[group, member][0].name

    def resolve(
        self,
        sender: Session,
        topic: str,
        to: str | list[str] | None,
        exclude: list[str],
        replayed: Replayed | None = None,
    ) -> Plan | Reason:
        """Whom an event of `sender` goes to, or why nobody gets it. Remembered until the directory changes.

        Args:
            replayed: what an event that is sent again was before: it goes to the instances that had it while they
                are there, and not to those who were put into a group later. Such a route is not remembered.

        Raises:
            ProtocolError: a destination is malformed.
        """
        if replayed is not None:
            return self._find(sender, topic, to, exclude, replayed)
        if sender.route_version != self.version:
            sender.routes.clear()
            sender.route_version = self.version
        key: object = None
        if to is None:
            key = self._topics.match(topic)
        elif not exclude and isinstance(to, str):
            if to.startswith("group:"):
                return self._resolve_group(sender, topic, to)
            key = to
        if key is not None:
            known = sender.routes.get(key)
            if known is not None:
                return known  # type: ignore[return-value]
        found = self._find(sender, topic, to, exclude, None)
        if key is not None:
            if len(sender.routes) >= 1024:
                sender.routes.clear()
            sender.routes[key] = found
        return found

    def _resolve_group(self, sender: Session, topic: str, to: str) -> Plan | Reason:
        # Members come and go all the time: that makes the routes to their group invalid, and no others.
        change = self._group_changes.get(to.removeprefix("group:"), 0)
        known = sender.routes.get(to)
        if known is not None and known[0] == change:  # type: ignore[index]
            return known[1]  # type: ignore[index, no-any-return]
        found = self._find(sender, topic, to, [], None)
        if len(sender.routes) >= 1024:
            sender.routes.clear()
        sender.routes[to] = change, found
        return found

    def _find(
        self,
        sender: Session,
        topic: str,
        to: str | list[str] | None,
        exclude: list[str],
        replayed: Replayed | None,
    ) -> Plan | Reason:
        if to is None:
            return self._for_topic(sender, topic, replayed)
        # Named twice, a group is not gone through twice.
        texts = [to] if isinstance(to, str) else list(dict.fromkeys(to))
        destinations = [parse_destination(text) for text in texts]
        if not destinations:
            raise ProtocolError(ErrorNumber.BAD_DESTINATION, "an empty list of destinations")
        if sender.role is Role.CLIENT:
            for destination, text in zip(destinations, texts, strict=True):
                if destination.kind in _CLIENT_MAY or self._client_rules.allow(text):
                    continue
                if destination.kind is not DestinationKind.GROUP or not self._member_rules.allow(
                    destination.name
                ):
                    return Reason.NOT_ALLOWED
                if sender.name not in self.groups.get(destination.name, ()):
                    # After the broker's start whoever put it there may not have said so yet.
                    return Reason.NOT_ALLOWED if self.expect is None else Reason.UNKNOWN_DESTINATION
        receivers: dict[int, Session] = {}
        unknown = 0
        moved = False
        many = len(destinations) > 1
        for destination in destinations:
            many = many or destination.kind in (DestinationKind.GROUP, DestinationKind.ALL)
            members = list(self._members(sender, destination, replayed))
            if replayed is not None and destination.kind is DestinationKind.SERVICE and members:
                moved = moved or _is_elsewhere(members[0], sender.had(destination.name, replayed))
            if not members and self.expect is not None and destination.kind is DestinationKind.SERVICE:
                return Reason.UNKNOWN_DESTINATION  # the whole list waits for it, after the broker's start
            unknown += not members and destination.kind not in (DestinationKind.GROUP, DestinationKind.ALL)
            for session in members:
                receivers[session.origin] = session
        if not receivers:
            known_group = many and any(
                d.kind is not DestinationKind.GROUP or d.name in self.groups for d in destinations
            )
            return Reason.NOBODY if known_group else Reason.UNKNOWN_DESTINATION
        if exclude:
            left_out = set(exclude)
            receivers = {key: s for key, s in receivers.items() if s.name not in left_out}
            if not receivers:
                return Reason.NOBODY
        return _plan(receivers.values(), many or not isinstance(to, str), unknown, moved)

    def _for_topic(self, sender: Session, topic: str, replayed: Replayed | None) -> Plan | Reason:
        if sender.role is not Role.CLIENT:
            return Reason.UNKNOWN_DESTINATION
        if self.expect is not None and any(
            service not in self.services and instance not in self.left
            for service, instance in sender.served_by.items()
        ):
            return (
                Reason.NO_SERVICE
            )  # one that served it, after the broker's start, may handle this topic too
        chosen: dict[int, Session] = {}
        moved = False
        for service in self._topics.match(topic):
            session = self._instance(sender, service, replayed)
            if session is not None:
                chosen[session.origin] = session
                if replayed is not None:
                    moved = moved or _is_elsewhere(session, sender.had(service.name, replayed))
        return _plan(chosen.values(), False, 0, moved) if chosen else Reason.NO_SERVICE

    def may_become_member(self, sender: Session, to: str | list[str] | None) -> bool:
        """Whether a client names a group that only members may name, and is in none of that name."""
        return sender.role is Role.CLIENT and any(
            each.startswith("group:")
            and not self._client_rules.allow(each)
            and self._member_rules.allow(each[6:])
            and sender.name not in self.groups.get(each[6:], ())
            for each in ((to,) if isinstance(to, str) else to or ())
        )

    def find(self, name: str) -> Session | None:
        """The session of a peer; after the broker's start, one for a peer that is expected back."""
        session = self.peers.get(name)
        return self.expect(name) if session is None and self.expect is not None else session

    def _instance(self, sender: Session, service: Service, replayed: Replayed | None) -> Session | None:
        """The instance for a sender: the one it is bound to, else the one that served it, else a stable choice."""
        wanted = self._wanted(sender, service)
        if replayed is not None:
            had = sender.had(service.name, replayed)
            wanted = wanted if had is None else had.instance
        if wanted is not None and wanted not in service.instances and self.expect is not None:
            found = self.find(wanted)
            if found is not None or wanted not in self.left:
                return found
        instance = service.choose(sender.name, wanted)
        session = None if instance is None else instance.session
        if session is not None and replayed is None and sender.served_by.get(service.name) != session.name:
            since = [sending.next_routed for sending in sender.sending]
            self.note_served(sender, service.name, Served(session.name, since, moved=False))
        return session

    def note_served(self, sender: Session, service: str, served: Served) -> None:
        """The events of `sender` for a service go to another instance from now on."""
        sender.note_served(service, served)
        if self.on_served is not None:
            self.on_served(sender, service)

    def _wanted(self, sender: Session, service: Service) -> str | None:
        bound = self.bindings.get(sender.name)
        return (bound and bound.get(service.name)) or sender.served_by.get(service.name)

    def _members(
        self, sender: Session, destination: Destination, replayed: Replayed | None
    ) -> Iterable[Session]:
        kind, name = destination
        if kind is DestinationKind.ALL:
            return (session for session in self.peers.values() if session.role is Role.CLIENT)
        if kind is DestinationKind.GROUP:
            members = self.groups.get(name, {})
            self._note_keepers(sender, name, members)
            if replayed is None:
                return members.values()
            return [
                session
                for member, session in members.items()
                if not self._joined_later(name, member, sender.attachment, replayed.after)
            ]
        if kind is DestinationKind.SERVICE:
            service = self.services.get(name)
            session = self._instance(sender, service, replayed) if service else None
        else:
            # Clients cannot make the broker expect anybody: what they may name is theirs to invent.
            full_name = f"{kind.value}:{name}"
            session = self.peers.get(full_name) if sender.role is Role.CLIENT else self.find(full_name)
        return () if session is None else (session,)

    def _note_keepers(self, sender: Session, group: str, members: Iterable[str]) -> None:
        keepers = {self.keeper(group, member) for member in members}
        # Players who have joined by themselves do so again; nobody is to wait for one who stays away.
        servers = {
            name
            for name in keepers
            if name != sender.name and name in self.peers and self.peers[name].role is Role.SERVER
        }
        known = set(sender.kept_by.get(group, ()))
        if self.expect is not None:
            servers |= known  # whoever has not come back yet may still do so
        if servers != known:
            sender.kept_by[group] = sorted(servers)[:MAX_KEEPERS]
            if self.on_kept is not None:
                self.on_kept(sender, group)

    def _joined_later(self, group: str, member: str, attachment: Attachment, after: int) -> bool:
        by, request = self._joins[group, member]
        return by is attachment and request > after


def _is_elsewhere(session: Session, had: Served | None) -> bool:
    """Whether an instance is not known to have had a replayed event in its order."""
    return had is None or had.moved or had.instance != session.name


def _plan(receivers: Iterable[Session], shared: bool, unknown: int, moved: bool) -> Plan:
    by_attachment: dict[int, tuple[Attachment, list[Session]]] = {}
    parts = unknown
    for session in receivers:
        parts += 1
        by_attachment.setdefault(id(session.attachment), (session.attachment, []))[1].append(session)
    groups = tuple(
        (attachment, sessions[0].alone if len(sessions) == 1 else tuple(sessions))
        for attachment, sessions in by_attachment.values()
    )
    return Plan(groups, parts, unknown, shared, moved)
