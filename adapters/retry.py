"""When to try again: tenacity decides each wait, nobody sleeps."""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from tenacity import RetryCallState, Retrying, wait_random_exponential

MIN_WAIT_S: Final = 0.05
MAX_WAIT_S: Final = 1.0
"""How long a broker may be back before a peer finds it; while it is away each peer makes two attempts a second."""

HELLO_TIMEOUT_S: Final = 2.0
"""Silence of a broker that was dialled after which another attempt is made; twice as much after each such silence."""
RETURN_TIMEOUT_S: Final = 6.0
"""The same, once the links have been up: where everybody comes back at once, who gives up early makes it worse."""
MAX_HELLO_TIMEOUT_S: Final = 16.0


def _must_not_sleep(seconds: float) -> None:
    raise AssertionError(f"an adapter never sleeps, least of all for {seconds} s")


# Each wait is drawn from all that it may be: peers that lost their broker together do not come back together.
_POLICY: Final = Retrying(
    wait=wait_random_exponential(multiplier=2 * MIN_WAIT_S, min=MIN_WAIT_S, max=MAX_WAIT_S),
    sleep=_must_not_sleep,
)


class Retry(NamedTuple):
    """What an adapter tries again."""

    attempts: int
    """Attempts to connect that have failed since the links were last up."""
    next_in_s: float | None
    """Seconds until the next attempt; None while there is none to wait for."""
    events: int
    """Events that left on links that are lost, and have to leave again."""


class Backoff:
    """The waits between attempts at one thing: exponential with jitter, bounded; starts over after a success."""

    def __init__(self) -> None:
        self._state = RetryCallState(retry_object=_POLICY, fn=None, args=(), kwargs={})
        self.due: float | None = None
        """When the next attempt is to be made; None while there is none to wait for. Its owner sets it."""

    @property
    def attempts(self) -> int:
        """Attempts that have failed since the last success."""
        return self._state.attempt_number - 1

    def next_wait_s(self) -> float:
        """An attempt has failed: seconds until the next one."""
        wait_s = float(_POLICY.wait(self._state))
        self._state.attempt_number += 1
        return wait_s

    def jitter_s(self) -> float:
        """Nothing has failed, but everybody goes at the same time: seconds until the first attempt."""
        return random.uniform(0.0, MIN_WAIT_S)

    def succeeded(self) -> None:
        """Start over."""
        self._state.attempt_number = 1


class Patience:
    """How long a broker that was dialled may be silent before another attempt is made."""

    def __init__(self) -> None:
        self.s = HELLO_TIMEOUT_S

    def was_in_vain(self) -> None:
        """It was silent: next time it gets twice as long."""
        self.s = min(2 * self.s, MAX_HELLO_TIMEOUT_S)

    def succeeded(self) -> None:
        """All links are up: from now on a silent broker is one to which everybody comes back."""
        self.s = RETURN_TIMEOUT_S
