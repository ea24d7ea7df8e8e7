"""Requests to the broker: numbered, paced, sent again until answered, and made again of a broker that has forgotten."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable
from math import inf
from typing import Any, Final, NamedTuple

from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import TIMER_SLACK_S
from lanebus.wire.messages import Done, Limits

MAX_UNDER_WAY: Final = 128
"""Requests that may be under way at once: a burst, such as a gateway's opens, must not fill the pipe."""

SHARE_PER_S: Final = 0.5
SHARE_AT_ONCE: Final = 0.25
"""What requests may take of the control messages that the broker takes from a peer; the rest is for all else, and for
a process of this name that has gone before."""


class Request(NamedTuple):
    """A change of state that the broker is asked for; made into a message when its number is known."""

    kind: Kind
    make: Callable[[int], Any]
    what: str
    key: Hashable = None
    """What it changes: while there is no link, a later request with the same key takes its place."""
    undoes: bool = False
    """Whether it only takes back another with its key: if that was never sent, neither is this."""
    on_refused: Callable[[], object] | None = None
    """Called when the broker has refused it."""


class Failed(NamedTuple):
    """A request that the broker refused."""

    what: str
    number: int
    detail: str


Renumbered = Callable[[int], int]
"""What has become of a request's number: where requests in front of it are gone, a lower one."""


class Requests:
    """All requests of one attachment.

    Args:
        send: puts a message on the critical link.
    """

    def __init__(self, send: Callable[[Kind, Any], None]) -> None:
        self._send = send
        self._pending: dict[int, Request] = {}
        self._sent = 0
        self._told = 0
        """Highest number that the present broker may have seen."""
        self._up = False
        self._unsent: dict[Hashable, int] = {}
        """Numbers of the requests made since the link was lost, by their key."""
        self.last = 0
        """The number of the last request; events sent now depend on it."""
        self.assertions: dict[Request, int] = {}
        """Requests to make again of a broker that does not know this attachment, and their numbers."""
        self.failed: list[Failed] = []
        """The driver takes them."""
        self.due: float | None = None
        """When `turn` is wanted, since the next request has to wait for a limit of the broker's."""
        self._per_s = 0.0
        self._at_once = self._left = inf
        self._refilled = 0.0

    def __len__(self) -> int:
        """Requests that the broker has not answered."""
        return len(self._pending)

    def ask(self, request: Request, *, keep: bool, replaces: Request | None = None) -> None:
        """Ask for a change of state.

        Args:
            keep: whether to ask again after the broker has forgotten this attachment.
            replaces: an earlier one that this says once more; what depends on that one goes on to do so.
        """
        if not self._up and request.key is not None:
            unsent = self._unsent.pop(request.key, None)
            if unsent is not None:
                del self._pending[unsent]
                if request.undoes:
                    return
            self._unsent[request.key] = self.last + 1
        self.last += 1
        if keep:
            self.assertions[request] = self.assertions.get(replaces, self.last) if replaces else self.last
        self.withdraw(replaces)
        self._pending[self.last] = request
        self._send_next()

    def answered(self, requests: Iterable[Request]) -> list[Request]:
        """Those of some requests that the broker has answered."""
        pending = {id(request) for request in self._pending.values()}
        return [request for request in requests if id(request) not in pending]

    def withdraw(self, request: Request | None) -> None:
        """Do not make this request again of another broker."""
        if request is not None:
            self.assertions.pop(request, None)

    def done(self, message: Done) -> None:
        """The broker has answered."""
        request = self._pending.pop(message.request, None)
        if request is not None and message.error:
            self.withdraw(request)
            if request.on_refused is not None:
                request.on_refused()
            self.failed.append(Failed(request.what, message.error, message.detail))
        self._send_next()

    def adopt(self, limits: Limits, now: float) -> None:
        """Ask no faster than the broker takes it."""
        self._refill(now)
        self._per_s = limits.control_messages_per_s * SHARE_PER_S
        self._at_once = max(1.0, limits.control_messages * SHARE_AT_ONCE) if self._per_s else inf
        self._left = min(self._left, self._at_once) if self._per_s else inf

    def turn(self, now: float) -> None:
        """Send what had to wait."""
        if self.due is not None and now + TIMER_SLACK_S >= self.due:
            self._refill(now)
            self._left = max(1.0, self._left)
            self.due = None
            self._send_next()

    def _refill(self, now: float) -> None:
        self._left = min(self._at_once, self._left + (now - self._refilled) * self._per_s)
        self._refilled = now

    def lost(self) -> None:
        """There is no critical link any more."""
        self._up = False
        self.due = None

    def resume(self) -> Renumbered:
        """The broker knows the attachment: send again what it has not answered, with the same numbers."""
        told = self._told
        unsent = [number for number in self._pending if number > told]
        self._renumber(
            {number: request for number, request in self._pending.items() if number <= told},
            [self._pending[number] for number in unsent],
            told,
        )
        self._sent = next(iter(self._pending), self.last + 1) - 1
        self._send_next()
        return lambda number: number if number <= told else told + bisect_right(unsent, number)

    def restart(self) -> Renumbered:
        """The broker does not know the attachment: assert everything anew, with new numbers."""
        again = self.again()
        inorder = sorted(again, key=again.__getitem__)
        before = [again[request] for request in inorder]
        for request in self.assertions:
            self.assertions[request] = bisect_right(before, again[request])
        self._told = 0
        self._renumber({}, inorder, 0)
        self._sent = 0
        self._send_next()
        return lambda number: bisect_right(before, number)

    def again(self) -> dict[Request, int]:
        """What a broker is asked that does not know this attachment, and the present numbers."""
        again = {request: number for number, request in self._pending.items()}
        again.update(self.assertions)
        return again

    def _renumber(self, told: dict[int, Request], unsent: list[Request], after: int) -> None:
        self._pending = {**told, **dict(enumerate(unsent, after + 1))}
        self.last = after + len(unsent)
        self._unsent.clear()
        self._up = True

    def _send_next(self) -> None:
        while self._up and self._sent < self.last:
            number = self._sent + 1
            if number - next(iter(self._pending), number) >= MAX_UNDER_WAY:
                return
            if self._left < 1.0:
                # Since that was last looked at, time has passed: never later than it has to be.
                self.due = self._refilled + (1.0 - self._left) / self._per_s
                return
            self._left -= 1.0
            request = self._pending[number]
            self._sent = number
            self._told = max(self._told, number)
            self._send(request.kind, request.make(number))
