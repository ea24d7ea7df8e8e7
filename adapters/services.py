"""Services as a server knows them: what it says of itself, and what it is told of all others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from lanebus.adapters.given import function, ran, seconds, tell, text, texts, whole
from lanebus.adapters.incoming import Incoming
from lanebus.adapters.news import News
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import HealthReport, Register, Services
from lanebus.wire.names import valid_service
from lanebus.wire.services import (
    BUS,
    MAX_DEPENDENCIES,
    MAX_INSTANCES,
    MAX_PRIORITY,
    MAX_REASON_CHARACTERS,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    MAX_VERSION_CHARACTERS,
    MAX_WEIGHT,
    Health,
    Instance,
    ServiceState,
)
from lanebus.wire.shown import shown

log = logging.getLogger("lanebus.adapters")

HEALTH_INTERVAL_S: Final = 5.0
"""Seconds between two calls of a health check, unless the program wants other ones."""

HealthCheck = Callable[[], str | bool | None]


class Registration:
    """A server as an instance of a service.

    Args:
        service: its name.
        version: any text of at most 64 characters.
        priority: -1000 to 1000; instances of a higher one are to be started before others, and ended after them.
        weight: 1 to 1000; its share of the players, against the weights of the other instances.
        tags: at most 16 texts of at most 32 characters.
        depends_on: services without which it is not ready; at most 16.
        health: says how it is: None, True or ``ok``; False or ``degraded``; or a text: degraded for this reason.
        health_interval_s: seconds between two calls of `health`.
        starting: whether it is to get no new players before `ready`.

    Raises:
        ValueError: one of them is malformed.
        TypeError: one of them is of another kind.
    """

    def __init__(
        self,
        service: str,
        *,
        version: str = "",
        priority: int = 0,
        weight: int = 1,
        tags: Sequence[str] = (),
        depends_on: Sequence[str] = (),
        health: HealthCheck | None = None,
        health_interval_s: float = HEALTH_INTERVAL_S,
        starting: bool = False,
    ) -> None:
        self.service = text(service, "service")
        self.depends_on = texts(depends_on, "depends_on", MAX_DEPENDENCIES)
        for name in (self.service, *self.depends_on):
            if not valid_service(name):
                raise ValueError(f"{shown(name)} cannot name a service: letters, digits, '_', '.' and '-'")
        if self.service == BUS:
            raise ValueError(f"the service {BUS} is the broker itself: choose another name")
        self.priority = whole(priority, "priority", -MAX_PRIORITY, MAX_PRIORITY)
        self.weight = whole(weight, "weight", 1, MAX_WEIGHT)
        self.version = text(version, "version")
        if len(self.version) > MAX_VERSION_CHARACTERS:
            raise ValueError(
                f"the version has {len(self.version)} characters, at most {MAX_VERSION_CHARACTERS}"
            )
        self.tags = texts(tags, "tags", MAX_TAGS)
        if not all(0 < len(tag) <= MAX_TAG_CHARACTERS for tag in self.tags):
            raise ValueError(f"tags are at most {MAX_TAGS} texts of 1 to {MAX_TAG_CHARACTERS} characters")
        if health is not None:
            function(health, "health")
        health_interval_s = seconds(health_interval_s, "health_interval_s")
        if not health_interval_s > 0:
            raise ValueError(f"health_interval_s is {health_interval_s!r}: give seconds, more than 0")
        self.said = (Health.STARTING if starting else Health.OK), ""
        """How it is, and why."""
        self._check = health
        self._interval_s = health_interval_s
        self._due = float("-inf")

    @property
    def starting(self) -> bool:
        """Whether it wants no newcomers yet."""
        return self.said[0] is Health.STARTING

    def ready(self) -> None:
        """It is not starting any more; the health check is called at the next look."""
        if self.starting:
            self.said = Health.OK, ""

    def look(self, now: float) -> bool:
        """Call the health check if it is due; say whether the answer is another one than before."""
        if self._check is None or self.starting or now < self._due:
            return False
        self._due = now + self._interval_s
        before = self.said
        try:
            answer: object = self._check()
            if answer is not None and not ran(answer, f"the health check of {self.service}"):
                answer = "its check does not run when it is called"
            self.said = _understood(answer)
        except Exception as error:
            log.exception("! the health check of %s failed", self.service)
            self.said = _understood(f"its check failed: {type(error).__name__}")
        return self.said != before

    def message(self, number: int, topics: list[str]) -> Register:
        """The request that says all of it."""
        health, reason = self.said
        return Register(
            request=number,
            service=self.service,
            topics=topics,
            version=self.version,
            priority=self.priority,
            weight=self.weight,
            tags=self.tags,
            depends_on=self.depends_on,
            health=health,
            reason=reason,
        )

    def report(self, number: int) -> HealthReport:
        """The request that says how it is."""
        health, reason = self.said
        return HealthReport(request=number, service=self.service, health=health, reason=reason)


def _understood(answer: object) -> tuple[Health, str]:
    if answer is None or answer is True or answer == "ok":
        return Health.OK, ""
    if answer is False or answer == "degraded":
        return Health.DEGRADED, ""
    # Whatever a check says reaches the broker, half of a surrogate pair too.
    reason = (
        (str.__str__(answer) if isinstance(answer, str) else str(answer)).encode(errors="replace").decode()
    )
    return Health.DEGRADED, reason[:MAX_REASON_CHARACTERS]


class ServiceChange(NamedTuple):
    """What has become of an instance, as `on_service` gets it."""

    instance: Instance
    """As it is now; with the state ``gone``: as it was last."""
    was: ServiceState | None
    """Its state before; None if it was not known."""


class Watched:
    """All instances of all services, as the broker tells who watches."""

    def __init__(self, incoming: Incoming) -> None:
        self.services: dict[str, dict[str, Instance]] = {}
        """By service and full name of the server; without those that are gone."""
        self.functions: list[Callable[[ServiceChange], Any]] = []
        self.news: News[ServiceChange] = News(incoming)
        """What the program has not been told; the driver calls `tell`."""
        self._coming: dict[tuple[str, str], Instance] = {}
        """What has come of all instances, while they come in parts."""
        self._count = 0

    def told(self, lane: Lane, message: Services, now: float) -> None:
        """The broker says what there is, or what has changed.

        Raises:
            ProtocolError: a part is missing, or there are too many.
        """
        if not message.of:
            for entry in message.entries:
                self._note(entry, message.after)
            return
        if message.at == 0:
            self._coming.clear()
        if message.at != len(self._coming):
            raise ProtocolError(
                ErrorNumber.BAD_BODY, f"services from {message.at} on, expected {len(self._coming)}"
            )
        self._coming.update(((entry.service, entry.name), entry) for entry in message.entries)
        if len(self._coming) >= message.of:
            coming, self._coming = self._coming, {}
            for instances in list(self.services.values()):
                for each in list(instances.values()):
                    if (each.service, each.name) not in coming:
                        self._note(_gone(each), message.after)
            for entry in coming.values():
                self._note(entry, message.after)

    def forget(self) -> None:
        """Nobody watches any more."""
        self.services.clear()
        self.news.clear()
        self._coming.clear()
        self._count = 0

    def tell(self) -> None:
        """Tell the program of what has changed; what it raises is logged."""
        for change in self.news.take():
            tell(self.functions, change, f"on_service for {change.instance.name}")

    def _note(self, entry: Instance, after: list[int]) -> None:
        instances = self.services.get(entry.service, {})
        old = instances.get(entry.name)
        if entry.state is ServiceState.GONE:
            if old is None:
                return
            del instances[entry.name]
            self._count -= 1
            if not instances:
                del self.services[entry.service]
        elif entry == old:
            return
        else:
            self._count += old is None
            if self._count > MAX_INSTANCES:
                raise ProtocolError(ErrorNumber.BAD_BODY, f"more than {MAX_INSTANCES} instances")
            self.services.setdefault(entry.service, {})[entry.name] = entry
        if self.functions:
            change = ServiceChange(entry, None if old is None else old.state)
            self.news.add(entry.name, change, left=after if entry.state is ServiceState.GONE else None)


def _gone(instance: Instance) -> Instance:
    return Instance(
        instance.service,
        instance.name,
        ServiceState.GONE,
        "",
        instance.version,
        instance.priority,
        instance.weight,
        instance.tags,
    )
