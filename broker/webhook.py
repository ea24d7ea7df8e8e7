"""The webhook: posts every alert to an address, from a thread of its own. The broker's loop never waits for it."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections import deque
from datetime import UTC, datetime
from socket import SHUT_RDWR
from typing import Any, Final
from urllib.parse import urlsplit

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_when_event_set,
    wait_exponential,
)
from tenacity.nap import sleep_using_event

from lanebus.broker.alerts import Alert

log = logging.getLogger("lanebus.broker")

QUEUED_ALERTS: Final = 256
"""Alerts that wait to be posted; when one more comes the oldest is dropped."""
ATTEMPTS: Final = 4
FIRST_WAIT_S: Final = 0.5
"""Before the second attempt; twice as long before each later one."""
CLOSE_S: Final = 1.0
"""The longest that the end of the broker waits for what is still to be posted."""
_READ_BYTES: Final = 4096
_TRY_AGAIN: Final = frozenset({408, 425, 429})
"""Statuses below 500 that say that the same request may be taken later."""


class _NotTaken(Exception):
    """The address answered, and did not take the alert."""


class _Later(_NotTaken):
    """The same, and it may take it later."""


class Webhook:
    """Posts one JSON object for each beginning and end of an alert.

    An alert that is not taken after a few attempts is lost, and so is the oldest of those that wait when there are too
    many; the next one that arrives says how many were, as `lost`.

    Args:
        url: an http or https address.
        broker: the broker's name; every object names it.
        timeout_s: the longest wait for a connection, and for an answer.
        first_wait_s: before the second attempt; twice as long before each later one.
    """

    def __init__(
        self, url: str, broker: str, *, timeout_s: float, first_wait_s: float = FIRST_WAIT_S
    ) -> None:
        address = urlsplit(url)
        self._where = f"{address.scheme}://{address.netloc}"
        """What is logged: the rest may hold a secret."""
        self._is_tls = address.scheme == "https"
        self._host = address.hostname or ""
        self._port = address.port
        self._target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        self._broker = broker
        self._timeout_s = timeout_s
        self._queue: deque[dict[str, Any]] = deque()
        self._waiting = threading.Condition()
        self._closing = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self.posted = 0
        """Alerts that were taken."""
        self.lost = 0
        """Alerts that were not, in all."""
        self._lost_before = 0
        """Those that a later one has told of."""
        self._failing = False
        self._retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(self._closing),
            wait=wait_exponential(multiplier=first_wait_s),
            retry=retry_if_exception_type((OSError, http.client.HTTPException, _Later)),
            sleep=sleep_using_event(self._closing),
            reraise=True,
        )
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)

    def start(self) -> None:
        """Begin to post."""
        self._thread.start()

    def offer(self, alert: Alert, now: float) -> None:
        """An alert has begun or ended; a listener of `Alerts`, which only puts it into a queue."""
        row = {
            "broker": self._broker,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **alert.as_dict(now),
        }
        with self._waiting:
            if len(self._queue) >= QUEUED_ALERTS:
                self._queue.popleft()
                self.lost += 1
            self._queue.append(row)
            self._waiting.notify()

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Post what waits, one attempt each, for at most `timeout_s`, and end the thread."""
        if self._closing.is_set():
            return
        with self._waiting:
            self._closing.set()
            self._waiting.notify()
        if not self._thread.is_alive():
            return
        self._thread.join(timeout_s)
        with self._waiting:
            left = len(self._queue) + self._thread.is_alive()
            self._queue.clear()
        if left:
            log.warning("! %d alerts did not reach %s before the end", left, self._where)
        if self._thread.is_alive():
            self._hang_up()
            self._thread.join(timeout_s / 10)

    def _hang_up(self) -> None:
        """Wake the thread from a call that waits for the other side."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(SHUT_RDWR)
            except OSError:
                return

    def _run(self) -> None:
        while True:
            with self._waiting:
                while not self._queue and not self._closing.is_set():
                    self._waiting.wait()
                if not self._queue:
                    return
                row = self._queue.popleft()
                row["lost"] = lost = self.lost - self._lost_before
            try:
                self._retrying(self._post, json.dumps(row).encode())
            except (OSError, http.client.HTTPException, _NotTaken) as error:
                self._failed(error)
            else:
                self._succeeded(lost)

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.warning("! alerts do not reach %s: %s", self._where, str(error) or type(error).__name__)
        with self._waiting:
            self.lost += 1

    def _succeeded(self, lost: int) -> None:
        self.posted += 1
        self._lost_before += lost
        if self._failing:
            self._failing = False
            log.info("= alerts reach %s again, %d were lost", self._where, lost)

    def _post(self, body: bytes) -> None:
        """One attempt.

        Raises:
            OSError: it could not be reached, or did not answer in time.
            HTTPException: its answer is not HTTP.
            _NotTaken: it answered with another status than 2xx; a redirection is not followed.
        """
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        self._connection = connection = kind(self._host, self._port, timeout=self._timeout_s)
        try:
            headers = {"Content-Type": "application/json", "User-Agent": "lanebus"}
            connection.request("POST", self._target, body, headers)
            answer = connection.getresponse()
            answer.read(_READ_BYTES)
        finally:
            self._connection = None
            connection.close()
        if answer.status >= 500 or answer.status in _TRY_AGAIN:
            raise _Later(f"status {answer.status} {answer.reason}")
        if not 200 <= answer.status < 300:
            raise _NotTaken(f"status {answer.status} {answer.reason}")
