"""Requests to the broker: numbered, paced, sent again until answered, and made again of a broker that has forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Done

MAX_UNDER_WAY: Final = 128
"""Requests that may be under way at once: a burst, such as a gateway's opens, must not fill the pipe."""


class Request(NamedTuple):
    """A change of state that the broker is asked for; made into a message when its number is known."""

    kind: Kind
    make: Callable[[int], Any]
    what: str


class Failed(NamedTuple):
    """A request that the broker refused."""

    what: str
    number: int
    detail: str


class Requests:
    """All requests of one attachment.

    Args:
        send: puts a message on the critical link.
    """

    def __init__(self, send: Callable[[Kind, Any], None]) -> None:
        self._send = send
        self._pending: dict[int, Request] = {}
        self._sent = 0
        self._up = False
        self.last = 0
        """The number of the last request; events sent now depend on it."""
        self.assertions: dict[Request, None] = {}
        """Requests to make again of a broker that does not know this attachment, in order."""
        self.failed: list[Failed] = []
        """The driver takes them."""

    def __len__(self) -> int:
        """Requests that the broker has not answered."""
        return len(self._pending)

    def ask(self, request: Request, *, keep: bool) -> None:
        """Ask for a change of state.

        Args:
            keep: whether to ask again after the broker has forgotten this attachment.
        """
        if keep:
            self.assertions[request] = None
        self.last += 1
        self._pending[self.last] = request
        self._send_next()

    def withdraw(self, request: Request | None) -> None:
        """Do not make this request again of another broker."""
        if request is not None:
            self.assertions.pop(request, None)

    def done(self, message: Done) -> None:
        """The broker has answered."""
        request = self._pending.pop(message.request, None)
        if request is not None and message.error:
            self.withdraw(request)
            self.failed.append(Failed(request.what, message.error, message.detail))
        self._send_next()

    def lost(self) -> None:
        """There is no critical link any more."""
        self._up = False

    def resume(self) -> None:
        """The broker knows the attachment: send again what it has not answered, with the same numbers."""
        self._up = True
        self._sent = next(iter(self._pending), self.last + 1) - 1
        self._send_next()

    def restart(self) -> None:
        """The broker does not know the attachment: assert everything anew, with new numbers."""
        self._up = True
        # What was not answered stays in its order: an opening in front of the closing that makes room for the next.
        unanswered = dict.fromkeys(self._pending.values())
        again = [*(each for each in self.assertions if each not in unanswered), *unanswered]
        self._pending = dict(enumerate(again, 1))
        self.last = len(again)
        self._sent = 0
        self._send_next()

    def _send_next(self) -> None:
        while self._up and self._sent < self.last:
            number = self._sent + 1
            if number - next(iter(self._pending), number) >= MAX_UNDER_WAY:
                return
            request = self._pending[number]
            self._sent = number
            self._send(request.kind, request.make(number))
