"""A server of `/metrics` and `/healthz` in a process of its own: it asks the broker once a second at most."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Lock
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.metrics_text import CONTENT_TYPE, exposition, up

FRESH_S: Final = 1.0
"""How long an answer of the broker is given to all who ask."""
MAX_CONNECTIONS: Final = 16
"""Scrapes at once; others are hung up on."""
IDLE_S: Final = 5.0
"""How long a connection may take to say what it wants."""


class Reading(NamedTuple):
    """What the broker said last, or why it did not."""

    metrics: str
    health: str
    """``ok``, ``degraded: ...``, ``failing: ...``, or why there is no answer."""
    serves: bool
    """Whether it does its work, be it not as it should."""


class Readings:
    """Asks the broker, and keeps its answer for a while; for many threads."""

    def __init__(
        self, ask: Callable[[], dict[str, Any]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            ask: the broker's answer to `metrics`; raises CliError where there is none.
        """
        self._ask = ask
        self._clock = clock
        self._lock = Lock()
        self._at = float("-inf")
        self._reading = Reading("", "", False)

    def get(self) -> Reading:
        """The broker's answer, of at most `FRESH_S` ago; so it is with the lack of one."""
        with self._lock:
            if self._clock() - self._at >= FRESH_S:
                self._reading = self._read()
                self._at = self._clock()
            return self._reading

    def _read(self) -> Reading:
        try:
            answer = self._ask()
        except CliError as error:
            return Reading(up(0), error.message, False)
        status = answer["status"]
        words = "; ".join(status["reasons"])
        health = f"{status['health']}: {words}" if words else status["health"]
        return Reading(exposition(answer) + up(1), health, status["health"] != "failing")


class MetricsServer(ThreadingHTTPServer):
    """Serves readings; a thread for each of a few connections."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], readings: Readings) -> None:
        """Bind `address`.

        Raises:
            CliError: `PORT_BUSY` when it cannot be bound.
        """
        self.readings = readings
        self._places = BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise CliError(
                f"cannot listen on {written(address)}: {(error.strerror or str(error)).lower()}; "
                "name another address with --listen",
                Exit.PORT_BUSY,
            ) from None

    @property
    def url(self) -> str:
        """Where it really listens."""
        host, port = self.server_address[:2]
        return f"http://{written((str(host), int(port)))}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, if there is a place."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Somebody hung up before the answer: that is theirs to do."""


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_S
    server: MetricsServer
    server_version = "lanebus"
    sys_version = ""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/metrics":
            self._answer(HTTPStatus.OK, self.server.readings.get().metrics, CONTENT_TYPE)
        elif path == "/healthz":
            reading = self.server.readings.get()
            code = HTTPStatus.OK if reading.serves else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(code, f"{reading.health}\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "there are /metrics and /healthz\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are no news."""

    def _answer(self, status: HTTPStatus, text: str, content_type: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def written(address: tuple[str, int]) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_of(text: str) -> tuple[str, int]:
    """Host and port of `host:port`; port 0 lets the system choose.

    Raises:
        CliError: `USAGE` when it is something else.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.path or parts.query:
        raise CliError(f"{text!r} is no address; write it as HOST:PORT, such as 127.0.0.1:9464", Exit.USAGE)
    return host, port
