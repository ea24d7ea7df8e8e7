"""Marks of redelivery: whether a later process is told that an earlier one of its name has had an event."""

from tests.link.process import Peer


class Marks:
    """Who has handled what, of the processes of each name."""

    def __init__(self) -> None:
        self._born: dict[Peer, int] = {}
        """In which order processes have started."""
        self._handled_by: dict[tuple[str, int], int] = {}
        """By receiver and event: the earliest of the processes that have handled it."""
        self.missing: list[str] = []
        """What was handled by a later process and was not marked as redelivered."""

    def begins(self, peer: Peer) -> None:
        """A process has started."""
        self._born[peer] = len(self._born)

    def handled(self, peer: Peer, name: str, event: int, *, redelivered: bool) -> None:
        """A process has handled an event, under one of its names."""
        born = self._born[peer]
        earliest = self._handled_by.get((name, event), born)
        if earliest < born and not redelivered:
            self.missing.append(f"{event} at {name}, which an earlier process has handled")
        self._handled_by[name, event] = min(born, earliest)
