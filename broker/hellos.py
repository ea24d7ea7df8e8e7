"""Hellos: who may say hello, how often, and for which name; and the hellos of the other lanes."""

from __future__ import annotations

from collections import deque
from typing import Final

from lanebus.broker.allowance import Bucket
from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.egress import Egress
from lanebus.broker.links import probe
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.registry import Registry
from lanebus.broker.violations import Violations
from lanebus.conf.model import Config
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import VERSION
from lanebus.wire.history import LZ4, LZ4_LINKED
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Hello, LaneHello, LaneWelcome
from lanebus.wire.names import valid_peer

ADDRESSES_REMEMBERED: Final = 4096
"""Addresses whose hellos are counted; past it all begin anew."""
MAX_TAKEOVERS: Final = 3
TAKEOVERS_WITHIN_S: Final = 60.0
"""A name that changes hands so often within so long stays with the process that has it, for the cool-down."""
NAMES_REMEMBERED: Final = 4096
"""Names whose takeovers are counted; past it all begin anew."""
ALIVE_PINGS: Final = 2.5
"""Intervals of pings: a process that was heard within as many lives, and loses its name to another one."""


class Hellos:
    """Admits those who say hello."""

    def __init__(
        self, config: Config, registry: Registry, egress: Egress, outgoing: Outgoing, violations: Violations
    ) -> None:
        self._registry = registry
        self._egress = egress
        self._outgoing = outgoing
        self._violations = violations
        self._per_s = config.limits.hellos_per_s
        self._burst = config.limits.hellos_burst
        self._alive_s = ALIVE_PINGS * config.sessions.ping_interval_s
        self._buckets: dict[str, Bucket] = {}
        self._takeovers: dict[str, deque[float]] = {}
        # Who compresses nothing has no use for histories.
        self._links_batches = config.compression.linked and config.compression.threshold_bytes > 0
        self.address = ""
        """Where the latest hello came from."""
        self.refused = 0
        """Hellos that came too often, or for names that are cooling down."""

    def arrived(self, address: str, now: float) -> None:
        """A hello has come on the critical lane, and is not read yet.

        Args:
            address: of the host that it came from; empty where nobody knows.

        Raises:
            ProtocolError: there are too many from there.
        """
        self.address = address
        if not self._per_s:
            return
        bucket = self._buckets.get(address)
        if bucket is None:
            if len(self._buckets) >= ADDRESSES_REMEMBERED:
                self._buckets.clear()
            bucket = self._buckets[address] = Bucket(self._per_s, self._burst, now)
        if not bucket.take(1.0, now):
            self.refused += 1
            raise ProtocolError(
                ErrorNumber.BUSY,
                f"more than {self._per_s:g} hellos a second from {address or 'one address'}: try again later",
            )

    def check(self, message: Hello, now: float) -> None:
        """Check who says hello.

        Raises:
            ProtocolError: there is no common version, the name is none of its role, or it is cooling down.
        """
        if not message.versions[0] <= VERSION <= message.versions[1]:
            raise ProtocolError(
                ErrorNumber.NO_COMMON_VERSION,
                f"versions {message.versions[0]} to {message.versions[1]}; version {VERSION} is spoken here",
            )
        if not valid_peer(message.name, message.role):
            raise ProtocolError(
                ErrorNumber.BAD_NAME, f"{message.name[:80]!r} cannot name a {message.role.value}"
            )
        cools_s = self._violations.cools_s(message.name, now)
        if cools_s:
            self.refused += 1
            raise ProtocolError(
                ErrorNumber.COOLING_DOWN,
                f"{message.name} broke too many rules: not before {cools_s:.1f} s are over",
            )
        cools_s = self._stays_s(message, now)
        if cools_s:
            self.refused += 1
            # If it has died after all, that shows it, and the next hello has the name.
            critical = self._registry.attachments[message.name].links[Lane.CRITICAL]
            if critical is not None:
                probe(self._outgoing, critical)
            raise ProtocolError(
                ErrorNumber.COOLING_DOWN,
                f"processes take {message.name} from each other: the present one keeps it for {cools_s:.1f} s",
            )

    def _stays_s(self, message: Hello, now: float) -> float:
        """How long a name stays with the process that has it, where another one wants it."""
        times = self._takeovers.get(message.name)
        known = self._registry.attachments.get(message.name)
        if times is None or len(times) < MAX_TAKEOVERS or known is None or known.process == message.process:
            return 0.0
        was_fenced = 0 < message.generation < known.generation
        if was_fenced or not self._is_alive(known, now) or times[-1] - times[0] > TAKEOVERS_WITHIN_S:
            return 0.0
        return max(0.0, times[-1] + self._violations.cool_down_s - now)

    def _is_alive(self, attachment: Attachment, now: float) -> bool:
        # Who was killed leaves a connection behind that looks well until it is written to.
        return attachment.away_since is None and now - attachment.last_seen <= self._alive_s

    def took_over(self, displaced: list[Attachment], now: float) -> None:
        """A hello has taken the name of these; to be called before they end."""
        for old in displaced:
            if self._is_alive(old, now):
                if len(self._takeovers) >= NAMES_REMEMBERED:
                    self._takeovers.clear()
                self._takeovers.setdefault(old.name, deque(maxlen=MAX_TAKEOVERS)).append(now)

    def compressions(self, attachment: Attachment, message: Hello) -> None:
        """How batches of the attachment's next links travel; to be called before the first of them is added."""
        attachment.lz4 = LZ4 in message.compressions
        attachment.linked = attachment.lz4 and self._links_batches and LZ4_LINKED in message.compressions

    def lane(self, link: Link, message: LaneHello) -> None:
        """Add a lane to an attachment.

        Raises:
            ProtocolError: the token is of no attachment that has its critical link, or it has that lane already.
        """
        attachment = self._registry.by_token(message.token)
        critical = attachment.links[Lane.CRITICAL] if attachment is not None else None
        if attachment is None or critical is None or critical.incarnation != link.incarnation:
            raise ProtocolError(ErrorNumber.NO_SESSION, "the token is of no attached session")
        stale = attachment.links[link.lane]
        if stale is not None:
            raise ProtocolError(
                ErrorNumber.NOT_LEGAL_HERE, f"{attachment.name} has a {link.lane.label} link already"
            )
        attachment.add(link)
        self._outgoing.control(link, Kind.WELCOME, LaneWelcome(lane=link.lane))
        out = attachment.outbound[link.lane]
        if out.queue:
            self._egress.touch(out)
