"""The brokers that an adapter may attach to: gone through in turn, the next one after each that failed."""

from __future__ import annotations

from collections.abc import Sequence


class Brokers:
    """Addresses of critical lanes."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)
        self._index = 0

    @property
    def present(self) -> str:
        """The one that is dialled, or that the links are to."""
        return self.addresses[self._index]

    def next(self) -> None:
        """The present one is lost, or did not answer."""
        self._index = (self._index + 1) % len(self.addresses)

    def __str__(self) -> str:
        return ", ".join(self.addresses)
