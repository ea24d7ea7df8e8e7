"""Services: which instances each has, in which state they are and why, and which one a sender gets.

Pure: nothing here knows of links or of the time. Who says what, and who is away, is told to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from math import log
from typing import Final, NamedTuple

from lanebus.broker.sessions import Session
from lanebus.wire import services as wire
from lanebus.wire.services import BUS, MAX_REASON_CHARACTERS, Health, ServiceState

AWAY: Final = "its links are lost"
_SERVES: Final = (ServiceState.READY, ServiceState.DEGRADED)


class CycleError(Exception):
    """Services would depend on each other in a circle; the text names it."""


class Facts(NamedTuple):
    """What an instance says of itself when it registers."""

    version: str = ""
    priority: int = 0
    weight: int = 1
    tags: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    health: Health = Health.OK
    reason: str = ""


class Instance:
    """One server as an instance of one service."""

    __slots__ = (
        "away",
        "begun",
        "facts",
        "health",
        "health_reason",
        "name",
        "reason",
        "service",
        "session",
        "since",
        "state",
        "told",
    )

    def __init__(self, service: str, name: str, session: Session | None, facts: Facts) -> None:
        self.service = service
        self.name = name
        self.session = session
        """Who it is; none for the broker's own."""
        self.facts = facts
        self.health = facts.health
        self.health_reason = facts.reason
        self.away = False
        self.begun = False
        """Whether it has served: from then on what it lacks makes it degraded, and not starting."""
        self.state = ServiceState.STARTING
        self.reason = ""
        self.told: ServiceState | None = None
        """Its state at the end of the last turn."""
        self.since: float | None = None
        """When it came into its state; None until the end of that turn."""

    @property
    def serves(self) -> bool:
        """Whether newcomers may be sent to it, and others may count on it."""
        return self.state in _SERVES

    def entry(self) -> wire.Instance:
        """As watchers are told of it."""
        facts = self.facts
        return wire.Instance(
            self.service,
            self.name,
            self.state,
            self.reason,
            facts.version,
            facts.priority,
            facts.weight,
            list(facts.tags),
        )


class Service:
    """Servers of the same kind."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instances: dict[str, Instance] = {}
        self.topics: set[str] = set()

    @property
    def serves(self) -> bool:
        """Whether an instance of it is ready, or degraded."""
        return any(instance.serves for instance in self.instances.values())

    def choose(self, sender: str, wanted: str | None) -> Instance | None:
        """The instance for `sender`; the same one each time while instances, weights and states stay the same.

        Args:
            wanted: the instance that it is bound to, or that has served it: it stays there while that is not gone,
                whatever its state. Without it the sender is a newcomer, and gets no instance that is starting.
        """
        instances = self.instances
        if len(instances) > 1:
            present = {each.name: each for each in instances.values() if each.state is not ServiceState.GONE}
            instances = present or instances
        if wanted is not None and wanted in instances:
            return instances[wanted]
        for state in ServiceState.READY, ServiceState.DEGRADED, ServiceState.GONE, ServiceState.STARTING:
            among = [each for each in instances.values() if each.state is state]
            if among and (state is not ServiceState.STARTING or wanted is not None):
                return among[0] if len(among) == 1 else max(among, key=lambda each: score(sender, each))
        return None


def score(sender: str, instance: Instance) -> float:
    """How much an instance is worth to a sender; the one with the highest score gets it.

    Weighted rendezvous hashing: -weight / ln(h), with h uniform between 0 and 1 by sender and instance. Each instance
    gets a share of the senders that is its weight's share of all weights, and a change of one instance moves only
    senders to it or away from it. Rendezvous hashing is from Thaler and Ravishankar, "Using Name-Based Mappings to
    Increase Hit Rates", IEEE/ACM Transactions on Networking 6(1), 1998; this score is from Resch, "New Hashing
    Algorithms for Data Storage", Storage Developer Conference 2015.
    """
    digest = blake2b(instance.name.encode(), key=sender.encode()[:64], digest_size=8).digest()
    # 52 bits and a half: never 0, and never rounded to 1.
    h = ((int.from_bytes(digest) >> 12) + 0.5) / (1 << 52)
    return -instance.facts.weight / log(h)


class Services:
    """All services. Every change of a state is noted, and passed on to the instances that it matters to."""

    def __init__(self, bus: str = "lanebus") -> None:
        """
        Args:
            bus: the broker's name: its own instance of the service `bus`.
        """
        self.by_name: dict[str, Service] = {}
        self.bus = Instance(BUS, bus, None, Facts(priority=wire.MAX_PRIORITY))
        self.changed: dict[Instance, None] = {}
        """Instances whose state or facts have changed, those that are gone among them; a watcher takes them."""
        self.on_change: Callable[[], None] | None = None
        """Called when routes may have changed."""
        self._judge([self.bus])

    def register(self, session: Session, service_name: str, facts: Facts) -> Service:
        """A session is an instance of a service, or says anew what it is.

        Raises:
            CycleError: the service would depend on itself; nothing has changed.
        """
        cycle = self._cycle(service_name, facts.depends_on)
        if cycle is not None:
            raise CycleError(" -> ".join(cycle))
        service = self.by_name.get(service_name)
        if service is None:
            service = self.by_name[service_name] = Service(service_name)
        instance = service.instances.get(session.name)
        if instance is None:
            instance = service.instances[session.name] = Instance(service_name, session.name, session, facts)
        instance.session = session
        instance.facts = facts
        instance.health, instance.health_reason = facts.health, facts.reason
        self.changed[instance] = None
        self._judge([instance])
        return service

    def report(self, session: Session, service_name: str, health: Health, reason: str) -> bool:
        """A session says how its instance of a service is now; False if it has none."""
        instance = self._instance(session, service_name)
        if instance is None:
            return False
        instance.health, instance.health_reason = health, reason
        self._judge([instance])
        return True

    def set_away(self, session: Session, *, away: bool) -> None:
        """A session has been without links for too long, or has some again."""
        for instance in list(self.instances_of(session)):
            instance.away = away
            self._judge([instance])

    def succeed(self, old: Session, new: Session) -> None:
        """A new process stands wherever the old one stood, until it says otherwise."""
        for instance in list(self.instances_of(old)):
            instance.session = new
            instance.away = False
            instance.begun = False
            self._judge([instance])

    def remove(self, session: Session) -> list[Service]:
        """A session has ended; returns the services that have ended with it."""
        ended = []
        for instance in list(self.instances_of(session)):
            service = self.by_name[instance.service]
            served = service.serves
            del service.instances[session.name]
            instance.state, instance.reason = ServiceState.GONE, "it has left"
            self.changed[instance] = None
            if not service.instances:
                del self.by_name[service.name]
                ended.append(service)
            if service.serves is not served:
                self._judge(self._dependents(service.name))
        return ended

    def instances_of(self, session: Session) -> Iterator[Instance]:
        """The instances that a session is."""
        for service in self.by_name.values():
            instance = self._instance(session, service.name)
            if instance is not None:
                yield instance

    def all(self) -> list[Instance]:
        """Every instance, the broker's own too, in the order in which they are to be started."""
        every = [instance for service in self.by_name.values() for instance in service.instances.values()]
        every.sort(key=lambda each: (-each.facts.priority, each.service, each.name))
        return [self.bus, *every]

    def say_bus(self, health: Health, reason: str = "") -> None:
        """How the broker itself is."""
        self.bus.health, self.bus.health_reason = health, reason
        self._judge([self.bus])

    def take_changed(self, now: float) -> list[Instance]:
        """What has changed since the last call; states that are new begin now."""
        changed, self.changed = list(self.changed), {}
        for instance in changed:
            if instance.told is not instance.state:
                instance.told, instance.since = instance.state, now
        return changed

    def _instance(self, session: Session, service_name: str) -> Instance | None:
        service = self.by_name.get(service_name)
        instance = service.instances.get(session.name) if service is not None else None
        return instance if instance is not None and instance.session is session else None

    def _available(self, service_name: str) -> bool:
        if service_name == BUS:
            return True
        service = self.by_name.get(service_name)
        return service is not None and service.serves

    def _judge(self, instances: Iterable[Instance]) -> None:
        """Find the states of instances, and of those that depend on a service of theirs that has come or gone."""
        # Not by recursion: a chain of dependencies is as long as servers make it.
        waiting = deque(instances)
        while waiting:
            instance = waiting.popleft()
            state, reason = self._state(instance)
            if (state, reason) == (instance.state, instance.reason):
                continue
            self.changed[instance] = None
            instance.reason = reason
            if state is instance.state:
                continue
            service = self.by_name.get(instance.service)
            served = service is not None and service.serves
            instance.state = state
            instance.begun = instance.begun or instance.serves
            if service is not None and service.serves is not served:
                waiting.extend(self._dependents(service.name))
            if self.on_change is not None:
                self.on_change()

    def _dependents(self, service_name: str) -> list[Instance]:
        return [
            instance
            for service in self.by_name.values()
            for instance in service.instances.values()
            if service_name in instance.facts.depends_on
        ]

    def _state(self, instance: Instance) -> tuple[ServiceState, str]:
        if instance.away:
            return ServiceState.GONE, AWAY
        if instance.health is Health.STARTING:
            return ServiceState.STARTING, instance.health_reason
        missing = [name for name in instance.facts.depends_on if not self._available(name)]
        if missing:
            state = ServiceState.DEGRADED if instance.begun else ServiceState.STARTING
            return state, f"needs {', '.join(missing)}"[:MAX_REASON_CHARACTERS]
        if instance.health is Health.DEGRADED:
            return ServiceState.DEGRADED, instance.health_reason
        return ServiceState.READY, ""

    def _cycle(self, service_name: str, depends_on: tuple[str, ...]) -> list[str] | None:
        """The way from a service back to itself, if it depended on these as well."""
        came = dict.fromkeys(depends_on, service_name)
        waiting = list(depends_on)
        while waiting:
            name = waiting.pop()
            if name == service_name:
                way = [name]
                while (name := came[name]) != service_name:
                    way.append(name)
                return [service_name, *reversed(way)]
            service = self.by_name.get(name)
            for instance in service.instances.values() if service is not None else ():
                for needed in instance.facts.depends_on:
                    if needed not in came:
                        came[needed] = name
                        waiting.append(needed)
        return None
