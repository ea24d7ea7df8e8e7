"""The players that a server watches: who there is, and what becomes of them, as the broker tells it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from lanebus.adapters.given import tell
from lanebus.adapters.incoming import Incoming
from lanebus.adapters.news import News
from lanebus.wire.lanes import Lane
from lanebus.wire.presence import Presence, PresenceEntry, What
from lanebus.wire.quality import Degree

log = logging.getLogger("lanebus.adapters")


class Player(NamedTuple):
    """A player as it was when the broker last told of it."""

    name: str
    """The full name, for example ``player:42``."""
    state: str
    """``up``, or ``away`` while its session waits for it to come back."""
    quality: Degree
    """How good its connection is."""
    reason: str
    """Why it has that quality, or why it is away."""
    since: float
    """When its session began, on the clock of `time.monotonic`."""
    resumes: int
    """How often it came back on fresh links."""
    outages: int
    """How often it lost its links."""
    longest_outage_s: float


class PlayerChange(NamedTuple):
    """What has become of a player, as handlers get it."""

    player: Player
    what: What
    before: Degree
    """Its quality before; other than that of `player` where that has changed."""
    reason: str
    """Why it left, is away, or has another quality; else empty."""


OnPlayer = Callable[[PlayerChange], object]


class Players(Mapping[str, Player]):
    """All players with a session, by their full names; empty while nobody watches.

    A list of all comes first, and again after every reconnect: what it says that was not known is told as if it had
    happened now. A new broker does not know who is on the way back: players that it has not met are away until they
    are back or its recovery time is over.
    """

    def __init__(self, incoming: Incoming) -> None:
        self.watching = False
        """Whether the broker was asked; what comes late after that is ignored."""
        self.handlers: dict[What, list[OnPlayer]] = {what: [] for what in What}
        self.news: News[PlayerChange] = News(incoming)
        """What the program has not been told; the driver calls `tell`."""
        self._by_name: dict[str, Player] = {}
        self._listed: set[str] | None = None
        """Names in the list that is under way."""

    def __getitem__(self, name: str) -> Player:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"<Players {len(self)}>"

    def watch(self, *, on: bool) -> None:
        """The program wants to know, or no longer."""
        self.watching = on
        if not on:
            self._by_name.clear()
            self.news.clear()
            self._listed = None

    def told(self, lane: Lane, message: Presence, now: float) -> None:
        """The broker has told of players."""
        if not self.watching:
            return
        if message.begins:
            self._listed = set()
        for entry in message.entries:
            if self._listed is not None:
                self._listed.add(entry.player)
            self._take(entry, message.after, now)
        if message.ends and self._listed is not None:
            self._end_list(self._listed, message.after, recovering=message.recovering)
            self._listed = None

    def tell(self) -> None:
        """Call the program's handlers for what has happened; what they raise is logged."""
        for change in self.news.take():
            tell(self.handlers[change.what], change, f"the handler of players that {change.what.value}")

    def _take(self, entry: PresenceEntry, after: list[int], now: float) -> None:
        known = self._by_name.get(entry.player)
        is_away = entry.what is What.AWAY
        player = Player(
            entry.player,
            "away" if is_away else "up",
            entry.quality,
            entry.reason,
            now - entry.age_ms / 1e3,
            entry.resumes,
            entry.outages,
            entry.longest_outage_ms / 1e3,
        )
        if entry.what is What.LEFT:
            if self._by_name.pop(entry.player, None) is not None:
                gone = player._replace(state="away")
                self._note(gone, What.LEFT, entry.before, entry.reason, after)
            return
        self._by_name[entry.player] = player
        before = entry.before if known is None else known.quality
        if known is None:
            self._note(player, What.JOINED, before, "")
            known = player._replace(state="up")
        if known.state != player.state:
            self._note(
                player, What.AWAY if is_away else What.RESUMED, before, entry.reason if is_away else ""
            )
        elif before is not entry.quality:
            self._note(player, What.QUALITY, before, entry.reason)

    def _end_list(self, listed: set[str], after: list[int], *, recovering: bool) -> None:
        for name in [name for name in self._by_name if name not in listed]:
            player = self._by_name[name]
            if not recovering:
                del self._by_name[name]
                gone = player._replace(state="away", quality=Degree.LOST)
                self._note(gone, What.LEFT, player.quality, "not there any more", after)
            elif player.state != "away":
                reason = "not back since the broker's restart"
                away = player._replace(state="away", quality=Degree.LOST, reason=reason)
                self._by_name[name] = away
                self._note(away, What.AWAY, player.quality, reason)

    def _note(
        self, player: Player, what: What, before: Degree, reason: str, left: list[int] | None = None
    ) -> None:
        if self.handlers[what]:
            self.news.add(player.name, PlayerChange(player, what, before, reason), left=left)
