"""The backlog: what waits for one session's credit or allowance on one lane, in order; and where a newer value goes.

Parts that others share with it, and may be dropped, are kept apart from its own, with the order of both beside them. So
the oldest shared one is at hand however many of its own are in front.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from lanebus.broker.places import Places
from lanebus.broker.waiting import Waiting

if TYPE_CHECKING:
    from lanebus.broker.events import Event


class _Parts:
    """Parts of one sort, oldest first, and the places of the latest values among them."""

    __slots__ = ("places", "queue")

    def __init__(self) -> None:
        self.queue = Waiting()
        self.places = Places()

    def note(self, index: int, event: Event) -> None:
        """`event` stands at `index`."""
        if event.terms is not None and event.terms.key is not None:
            self.places.note(event.terms.key, index, event)

    def append(self, event: Event) -> None:
        """One that has just arrived."""
        self.queue.append(event)
        if event.terms is not None:
            self.note(len(self.queue) - 1, event)

    def popleft(self) -> Event:
        """Take the oldest one."""
        event = self.queue.popleft()
        self.places.moved(1)
        if event.terms is not None and event.terms.key is not None:
            self.places.forget(event.terms.key, event)
        return event

    def give_back(self, events: list[Event]) -> None:
        """What was taken from the left, in order, stands there again."""
        self.queue.extendleft(reversed(events))
        self.places.moved(-len(events))
        for index, event in enumerate(events):
            self.note(index, event)

    def take(self, which: Callable[[Event], bool], *, packed: bool) -> list[tuple[int, Event]]:
        """Take those for which `which` holds, with where they stood."""
        taken = self.queue.take(which, packed=packed)
        if taken:
            self.places.restart()
            # What is packed has no terms.
            for index, event in self.queue.loose():
                self.note(index, event)
        return taken


class _Order:
    """In which order own and shared parts stand: how many of the one sort in a row, then how many of the other."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: deque[int] = deque()
        """Own parts in a row as they are counted, shared ones below zero; never two of one sort side by side."""

    def __iter__(self) -> Iterator[int]:
        return iter(self._runs)

    def append(self, run: int) -> None:
        """Parts come behind all others."""
        if self._runs and (self._runs[-1] > 0) is (run > 0):
            self._runs[-1] += run
        elif run:
            self._runs.append(run)

    def appendleft(self, run: int) -> None:
        """Parts are put in front of all others."""
        if self._runs and (self._runs[0] > 0) is (run > 0):
            self._runs[0] += run
        elif run:
            self._runs.appendleft(run)

    @property
    def begins_shared(self) -> bool:
        """Whether the first part is a shared one; there has to be one."""
        return self._runs[0] < 0

    def popleft(self) -> None:
        """The first part is gone."""
        run = self._runs.popleft()
        self.appendleft(run - 1 if run > 0 else run + 1)

    def without_shared(self, gone: list[bool]) -> None:
        """Of the first shared parts some are gone."""
        passed: list[int] = []
        at = 0
        while at < len(gone):
            run = self._runs.popleft()
            if run < 0:
                here = gone[at : at - run]
                run += sum(here)
                at += len(here)
            passed.append(run)
        for run in reversed(passed):
            self.appendleft(run)


class Backlog:
    """Parts that wait, oldest first.

    Iteration reads: of a packed part it gives a copy. While nothing waits it is next to nothing.
    """

    __slots__ = ("_fresh_from", "_order", "_own", "_shared", "expires")

    def __init__(self) -> None:
        self._own: _Parts | None = None
        self._shared: _Parts | None = None
        self._order: _Order | None = None
        self._fresh_from = -inf
        """No shared part arrived before this."""
        self.expires = inf
        """None is late before this."""

    def __len__(self) -> int:
        own, shared = self._own, self._shared
        return (0 if own is None else len(own.queue)) + (0 if shared is None else len(shared.queue))

    def __bool__(self) -> bool:
        return self._order is not None

    def __iter__(self) -> Iterator[Event]:
        own = iter(()) if self._own is None else iter(self._own.queue)
        shared = iter(()) if self._shared is None else iter(self._shared.queue)
        for run in list(self._order or ()):
            yield from islice(own if run > 0 else shared, abs(run))

    @property
    def oldest(self) -> Event:
        """The one that goes next; there has to be one.

        Raises:
            IndexError: nothing waits.
        """
        if self._order is None:
            raise IndexError("nothing waits")
        return self._sort(shared=self._order.begins_shared).queue[0]

    @property
    def packed(self) -> int:
        """How many are packed."""
        return sum(parts.queue.packed for parts in self._sorts())

    @property
    def values(self) -> int:
        """Latest values among them that a newer one can take the place of."""
        return sum(len(parts.places) for parts in self._sorts())

    @property
    def has_shared(self) -> bool:
        """Whether others share any of them."""
        return self._shared is not None and len(self._shared.queue) > 0

    def append(self, event: Event) -> None:
        """One that has just arrived."""
        if self._order is None:
            self._order = _Order()
        self._order.append(-1 if event.shared else 1)
        self._sort(shared=event.shared).append(event)
        if event.shared and event.arrived < self._fresh_from:
            self._fresh_from = event.arrived
        if event.terms is not None:
            self.expires = min(self.expires, event.terms.deadline)

    def extend(self, events: Iterable[Event]) -> None:
        """Several that come behind all others, oldest first."""
        for event in events:
            self.append(event)

    def popleft(self) -> Event:
        """Take the oldest one.

        Raises:
            IndexError: nothing waits.
        """
        if self._order is None:
            raise IndexError("nothing waits")
        event = self._sort(shared=self._order.begins_shared).popleft()
        self._order.popleft()
        self._let_go()
        return event

    def pop_shared(self) -> Event:
        """Take the oldest one that others share; there has to be one.

        Raises:
            IndexError: nothing that others share waits.
        """
        if self._shared is None or self._order is None:
            raise IndexError("nothing that others share waits")
        event = self._shared.popleft()
        self._order.without_shared([True])
        self._let_go()
        return event

    def take_older(self, than: float) -> list[Event]:
        """Take the shared ones that arrived before an instant, oldest first."""
        if self._shared is None or self._order is None or than <= self._fresh_from:
            return []
        taken: list[Event] = []
        kept: list[Event] = []
        gone: list[bool] = []
        fresh_from = inf
        while self._shared.queue:
            event = self._shared.queue[0]
            is_old = event.arrived < than
            if is_old:
                taken.append(event)
            else:
                fresh_from = min(fresh_from, event.arrived)
                if event.terms is None or event.terms.key is None:
                    break
                # A newer value in an old place says nothing of those behind it.
                kept.append(event)
            gone.append(is_old)
            self._shared.popleft()
        self._shared.give_back(kept)
        self._order.without_shared(gone)
        self._fresh_from = than if fresh_from == inf else fresh_from
        self._let_go()
        return taken

    def replace(self, key: Hashable, newer: Event) -> Event | None:
        """Put a newer value where the older one of its key waits, which is returned; None if none does."""
        parts = self._shared if newer.shared else self._own
        index = None if parts is None else parts.places.index(key)
        if parts is None or index is None:
            return None
        older = parts.queue[index]
        parts.queue[index] = newer
        parts.note(index, newer)
        if newer.terms is not None:
            self.expires = min(self.expires, newer.terms.deadline)
        return older

    def take(self, which: Callable[[Event], bool], *, packed: bool = True) -> list[Event]:
        """Take those for which `which` holds, oldest first; with `packed` False only of those that are not packed."""
        if self._order is None:
            return []
        own = deque([] if self._own is None else self._own.take(which, packed=packed))
        shared = deque([] if self._shared is None else self._shared.take(which, packed=packed))
        taken: list[Event] = []
        order = _Order()
        own_end = shared_end = 0
        for run in self._order:
            before = len(taken)
            if run > 0:
                own_end += run
                while own and own[0][0] < own_end:
                    taken.append(own.popleft()[1])
                order.append(run - (len(taken) - before))
            else:
                shared_end -= run
                while shared and shared[0][0] < shared_end:
                    taken.append(shared.popleft()[1])
                order.append(run + (len(taken) - before))
        self._order = order
        self.expires = min(
            (event.terms.deadline for event in self._loose() if event.terms is not None), default=inf
        )
        self._let_go()
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self._own = self._shared = self._order = None
        self._fresh_from, self.expires = -inf, inf

    def _sort(self, *, shared: bool) -> _Parts:
        parts = self._shared if shared else self._own
        if parts is None:
            parts = _Parts()
            if shared:
                self._shared = parts
            else:
                self._own = parts
        return parts

    def _sorts(self) -> Iterator[_Parts]:
        return (parts for parts in (self._own, self._shared) if parts is not None)

    def _loose(self) -> Iterator[Event]:
        return (event for parts in self._sorts() for _, event in parts.queue.loose())

    def _let_go(self) -> None:
        """Something was taken out: what is empty takes no memory."""
        if not len(self):
            self.clear()
