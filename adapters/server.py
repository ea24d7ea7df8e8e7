"""The server adapter: a game server or a service process."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar

from lanebus.adapters.actions import State
from lanebus.adapters.base import DEFAULT_BROKER, DEFAULT_OUTBOX_BYTES, Adapter
from lanebus.adapters.errors import Closed
from lanebus.adapters.given import function as check_function
from lanebus.adapters.given import text
from lanebus.adapters.handler_times import Budgets
from lanebus.adapters.memberships import Memberships, forget_answered, forget_refused
from lanebus.adapters.players import OnPlayer, Player
from lanebus.adapters.requests import Request
from lanebus.adapters.services import HEALTH_INTERVAL_S, HealthCheck, Registration, ServiceChange
from lanebus.adapters.unhandled import HANDLER_WAIT_S
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Assign, Watch, Watched
from lanebus.wire.names import Role, full_name, valid_service
from lanebus.wire.presence import What
from lanebus.wire.services import Instance
from lanebus.wire.shown import shown

ServiceT = TypeVar("ServiceT", bound=Callable[[ServiceChange], Any])
OnPlayerT = TypeVar("OnPlayerT", bound=OnPlayer)


class ServerAdapter(Adapter):
    """A server: sends to anybody, registers a service, and manages groups and bindings.

    Args:
        name: ``arena-1`` or ``server:arena-1``.
        service: the service that it is an instance of; the patterns of its handlers are the topics it handles.
        version: of the instance, any text of at most 64 characters.
        priority: -1000 to 1000: instances of a higher one are to be started before others, and ended after them.
        weight: 1 to 1000: its share of the players, against the weights of the service's other instances.
        tags: at most 16 short texts, for whoever looks for an instance.
        depends_on: services of which one instance has to be ready before this one is.
        health: called in `poll` and `wait` every `health_interval_s`, and whenever `ready` is; it answers None, True or
            ``ok``, False or ``degraded``, or a text: degraded for this reason. What it raises counts as degraded.
        health_interval_s: seconds between two calls of `health`; with nothing else to do they come a little later.
        starting: whether it gets no new players before the program calls `ready`.
        broker: address of the broker's critical lane, ``tcp://HOST:PORT``, or a list to go through.
        outbox_bytes: how much may be sent and not settled.
        strict: raise what handlers raise; for tests.
        handler_budget_ms: milliseconds that handlers of a lane may take before a warning; see `ClientAdapter`.
        handler_wait_s: seconds that an event waits where its topic has no handler; see `ClientAdapter`.

    Changes of state (`join`, `leave`, `assign`) return at once; what is sent after one waits for it in the broker.
    One that the broker refuses is logged as an error.
    """

    def __init__(
        self,
        name: str,
        *,
        service: str | None = None,
        version: str = "",
        priority: int = 0,
        weight: int = 1,
        tags: Sequence[str] = (),
        depends_on: Sequence[str] = (),
        health: HealthCheck | None = None,
        health_interval_s: float = HEALTH_INTERVAL_S,
        starting: bool = False,
        broker: str | Sequence[str] = DEFAULT_BROKER,
        outbox_bytes: int = DEFAULT_OUTBOX_BYTES,
        strict: bool = False,
        handler_budget_ms: Budgets | None = None,
        handler_wait_s: float = HANDLER_WAIT_S,
    ) -> None:
        super().__init__(
            full_name(text(name, "name"), Role.SERVER),
            Role.SERVER,
            broker=broker,
            outbox_bytes=outbox_bytes,
            strict=strict,
            handler_budget_ms=handler_budget_ms,
            handler_wait_s=handler_wait_s,
        )
        self._registration: Registration | None = None
        self._registered: Request | None = None
        self._watches: dict[Watched, Request] = {}
        self._memberships = Memberships(self.core, self.touch)
        self._bindings: dict[str, dict[str, Request]] = {}
        """By player and service."""
        self.core.on_gone = self._gone
        if service is not None:
            self.register(
                service,
                version=version,
                priority=priority,
                weight=weight,
                tags=tags,
                depends_on=depends_on,
                health=health,
                health_interval_s=health_interval_s,
                starting=starting,
            )

    @property
    def service(self) -> str | None:
        """The service that it is an instance of."""
        return None if self._registration is None else self._registration.service

    def register(
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
        """Be an instance of a service, or say anew all that this instance is; the arguments are those of the class.

        Raises:
            ValueError: an argument is malformed, or this is an instance of another service.
            Closed: the adapter is closed.
        """
        self.owner.check()
        registration = Registration(
            service,
            version=version,
            priority=priority,
            weight=weight,
            tags=tags,
            depends_on=depends_on,
            health=health,
            health_interval_s=health_interval_s,
            starting=starting,
        )
        if self.service not in (None, registration.service):
            raise ValueError(
                f"{self.name} is an instance of {self.service}, and cannot be one of {registration.service}"
            )
        if self.core.state is State.CLOSED:
            raise self.core.failure or Closed(f"{self.name} is closed")
        self._registration = registration
        if self.core.state is not State.NEW:
            self._register()

    def ready(self) -> None:
        """An instance that was registered as starting may get new players now; no-op for others."""
        self.owner.check()
        registration = self._registration
        if registration is not None and registration.starting:
            registration.ready()
            registration.look(monotonic())
            if self.core.state not in (State.NEW, State.CLOSED):
                self._report(registration)

    @property
    def services(self) -> Mapping[str, Mapping[str, Instance]]:
        """All services and their instances by name, without those that are gone; empty without `watch_services`.

        It is kept up to date while the adapter is polled.
        """
        return self.core.services.services

    def watch_services(self, on: bool = True) -> None:
        """Be told of all instances of all services from now on, the broker's own among them; or no longer.

        Raises:
            Closed: the adapter is closed.
        """
        self.owner.check()
        on = bool(on)
        self._watch(Watched.SERVICES, on=on)
        if not on:
            self.core.services.forget()

    def on_service(self, function: ServiceT) -> ServiceT:
        """Decorate a function that is told of every change of an instance, after `services` shows it."""
        self.owner.check()
        check_function(function, "on_service")
        self.core.services.functions.append(function)
        return function

    def join(self, group: str, member: str | None = None) -> None:
        """Put a peer with a session into a group; itself by default.

        Raises:
            ValueError: `group` cannot name a group.
        """
        self.owner.check()
        self._memberships.join(group, self.name if member is None else member)

    def leave(self, group: str, member: str | None = None) -> None:
        """Take a peer out of a group; itself by default."""
        self.owner.check()
        self._memberships.leave(group, self.name if member is None else member)

    def assign(self, player: str, service: str, instance: str | None = None) -> None:
        """Bind a player to an instance of a service, whatever the broker would have chosen; None takes it away.

        Raises:
            ValueError: `player` cannot name a player, `service` a service, or `instance` a server.
            TypeError: one of them is no text.
            Closed: the adapter is closed.
        """
        self.owner.check()
        who = full_name(text(player, "player"), Role.CLIENT)
        service = text(service, "service")
        if not valid_service(service):
            raise ValueError(f"{shown(service)} cannot name a service: letters, digits, '_', '.' and '-'")
        target = None if instance is None else full_name(text(instance, "instance"), Role.SERVER)
        bindings = self._bindings.get(who, {})
        request = self._request(
            Kind.ASSIGN,
            lambda number: Assign(request=number, player=who, service=service, instance=target),
            f"binding {who} to {target} for {service}",
            key=("binding", who, service),
            replaces=bindings.get(service),
            keep=target is not None,
            on_refused=lambda: forget_refused(self._bindings, who, service, request),
        )
        bindings.pop(service, None)
        if target is not None:
            bindings[service] = request
            self._bindings[who] = bindings
        elif not bindings:
            self._bindings.pop(who, None)

    def _gone(self, names: Sequence[str]) -> None:
        self._memberships.gone(names)
        forget_answered(self.core, self._bindings, names)

    @property
    def players(self) -> Mapping[str, Player]:
        """All players with a session, by full name; empty until `watch_players` was called and the broker answered."""
        return self.core.players

    def watch_players(self) -> None:
        """Ask the broker to tell who there is and what becomes of them: `players`, and the decorators `on_player_…`.

        No-op where it was asked before. A new broker is asked again.
        """
        self.owner.check()
        if Watched.PLAYERS not in self._watches:
            self._watch(Watched.PLAYERS, on=True)
            self.core.players.watch(on=True)

    def unwatch_players(self) -> None:
        """Be told no longer; `players` is empty from now on, and handlers are not called."""
        self.owner.check()
        if Watched.PLAYERS in self._watches:
            self.core.players.watch(on=False)
            self._watch(Watched.PLAYERS, on=False)

    def watch_alerts(self, on: bool = True) -> None:
        """Be told of alerts from now on: of those that last, and of each that begins or ends; or no longer.

        Handlers of the topic ``bus.alert`` are called with an `Event` whose sender is ``service:bus``. Its payload is a
        dict: ``kind``, ``peer`` (empty for the broker itself), ``lane`` (or None), ``is_over``, ``lasted_s``,
        ``held_back`` (how many like it were not told, because they came too soon) and the figures of its kind. No peer
        can send events of this topic to them.

        Raises:
            Closed: the adapter is closed.
        """
        self.owner.check()
        on = bool(on)
        if on is not (Watched.ALERTS in self._watches):
            self._watch(Watched.ALERTS, on=on)
            self.core.alerts.watch(on=on)

    def _watch(self, what: Watched, *, on: bool) -> None:
        before = self._watches.pop(what, None)
        if on or before is not None:
            request = self._request(
                Kind.WATCH,
                lambda number: Watch(request=number, what=what, on=on),
                f"watching {what.value}{'' if on else ' no longer'}",
                key=("watch", what),
                replaces=before,
                keep=on,
            )
            if on:
                self._watches[what] = request

    def on_player_joined(self, function: OnPlayerT) -> OnPlayerT:
        """Decorate a function that is told of every player whose session begins, and at first of those who are there.

        This and the decorators below ask the broker to tell (`watch_players`). Each function gets a `PlayerChange`.
        """
        return self._on_player(What.JOINED, function)

    def on_player_left(self, function: OnPlayerT) -> OnPlayerT:
        """Decorate a function that is told of every player whose session has ended, and why."""
        return self._on_player(What.LEFT, function)

    def on_player_away(self, function: OnPlayerT) -> OnPlayerT:
        """Decorate a function that is told of every player who has lost its links; its session waits for it."""
        return self._on_player(What.AWAY, function)

    def on_player_resumed(self, function: OnPlayerT) -> OnPlayerT:
        """Decorate a function that is told of every player who was away and is back."""
        return self._on_player(What.RESUMED, function)

    def on_player_quality(self, function: OnPlayerT) -> OnPlayerT:
        """Decorate a function that is told when a player's connection has become better or worse, and why."""
        return self._on_player(What.QUALITY, function)

    def _on_player(self, what: What, function: OnPlayerT) -> OnPlayerT:
        self.owner.check()
        check_function(function, f"the handler of players that {what.value}")
        self.watch_players()
        self.core.players.handlers[what].append(function)
        return function

    def _request(
        self,
        kind: Kind,
        make: Callable[[int], Any],
        what: str,
        *,
        key: Hashable,
        replaces: Request | None = None,
        keep: bool = True,
        on_refused: Callable[[], object] | None = None,
    ) -> Request:
        request = Request(kind, make, what, key, on_refused=on_refused)
        self.core.request(request, keep=keep, replaces=replaces)
        self.touch()
        return request

    def before_start(self) -> None:
        if self._registration is not None:
            self._registration.look(monotonic())
        self._register()

    def handlers_changed(self) -> None:
        """Tell the broker of the topics that the service handles now."""
        if self.core.state is not State.NEW:
            self._register()

    def tell_news(self) -> None:
        """Tell the program of the players, services and alerts that it watches."""
        core = self.core
        if core.players.news:
            core.players.tell()
        if core.services.news:
            core.services.tell()
        core.alerts.tell(self._session)

    def in_turn(self, now: float) -> None:
        """Look after the instance's health."""
        registration = self._registration
        if registration is not None and self.core.state is not State.CLOSED and registration.look(now):
            self._report(registration)

    def _register(self) -> None:
        registration = self._registration
        if registration is None:
            return
        patterns = self._session.handlers.patterns
        # One assertion, made from the patterns and the health of the moment, stands for all.
        self._registered = self._request(
            Kind.REGISTER,
            lambda number: registration.message(number, patterns),
            f"registering as {registration.service}",
            key=("service", registration.service),
            replaces=self._registered,
        )

    def _report(self, registration: Registration) -> None:
        # Not kept: another broker learns it from the registration.
        self._request(
            Kind.HEALTH,
            registration.report,
            f"reporting the health of {registration.service}",
            key=("health", registration.service),
            keep=False,
        )
