"""The brokers that an adapter may attach to, and what each said last: gone through in turn, after each failure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from lanebus.adapters.addresses import EXAMPLES, parse_address
from lanebus.wire.lanes import LANES, Lane

_FIGURES: Final = re.compile(r"[0-9.]+")
_MAX_WORD: Final = 500
"""Characters that are kept of what a broker said."""
_REFUSED: Final = "the connection is refused, or ends at once"


class Brokers:
    """Addresses of critical lanes.

    Raises:
        ValueError: there is none, or one is malformed.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = [str(parse_address(each)) for each in addresses]
        if not self.addresses:
            raise ValueError(f"an adapter needs at least one address of a broker, such as {EXAMPLES}")
        self.word = ""
        """Why the links are not up, or what was refused while they are: the last that a broker or the kernel said."""
        self._index = 0
        self._dialled = ["" for _ in LANES]
        self._names = ["" for _ in LANES]
        self._words: dict[str, str] = {}
        """By address, since the links were last up."""

    @property
    def present(self) -> str:
        """The one that is dialled, or that the links are to."""
        return self.addresses[self._index]

    def dialled(self, lane: Lane, address: str) -> str:
        """A lane is dialled at an address, which is returned."""
        self._dialled[lane] = address
        self._names[lane] = ""
        return address

    def naming(self, lane: Lane, host: str) -> None:
        """A lane waits for the addresses of a host; empty: no longer."""
        self._names[lane] = host

    def failed(self, why: str) -> bool:
        """The present one is lost, or did not take the adapter in: the next one has its turn.

        Returns:
            Whether that is news: more has changed since the last time than a figure, such as how long it still takes.
        """
        address = self.present
        self.word = f"{address}: {why[:_MAX_WORD]}"
        is_new = _FIGURES.sub("", self.word) != _FIGURES.sub("", self._words.get(address, ""))
        self._words[address] = self.word
        self._index = (self._index + 1) % len(self.addresses)
        return is_new

    def up(self) -> None:
        """The links are up."""
        self.word = ""
        self._words.clear()

    def unanswered(self, lane: Lane, silent_for_s: float = 0.0) -> str:
        """Why an attempt has failed: a lane's connection ended unanswered, or there was no answer for a time."""
        if self._names[lane]:
            return (
                f"the name {self._names[lane]!r} has no address after {silent_for_s:g} s: no name server answers; give "
                "brokers by their addresses, or see to the name servers of this machine"
            )
        if lane is Lane.CRITICAL:
            if silent_for_s:
                return (
                    f"no answer for {silent_for_s:g} s: what listens there is no broker, or one that is stuck, or a "
                    "firewall lets nothing through"
                )
            return f"{_REFUSED}: no broker listens there"
        found = f"nothing answers for {silent_for_s:g} s" if silent_for_s else _REFUSED
        return (
            f"the broker answered, and says that its {lane.label} lane is at {self._dialled[lane]}, where {found}: all "
            "its ports must be reachable under their own numbers, and `advertise` in its configuration be a name or "
            "address that is reachable from here"
        )

    def report(self) -> str:
        """What each said last, for a person."""
        return "; ".join(
            self._words.get(address, f"{address}: no answer yet") for address in dict.fromkeys(self.addresses)
        )
