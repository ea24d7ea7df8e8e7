"""Questions to a broker's control endpoint, each answered or ended with one clear error."""

import socket
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click
import msgspec
import zmq

from lanebus.cli.exits import CliError, Exit

DEFAULT_ENDPOINT: Final = "tcp://127.0.0.1:5573"
"""Where a broker with the default configuration answers."""
ENDPOINT_VARIABLE: Final = "LANEBUS_CONTROL"
"""The environment variable that replaces the default endpoint."""
DEFAULT_TIMEOUT_S: Final = 2.0

_GREETING: Final = b"\xff"
"""The first byte that every ZeroMQ socket sends to who connects, before it is told anything."""

_F = TypeVar("_F", bound=Callable[..., Any])


def control_options(command: _F) -> _F:
    """Add `-s/--server` (argument `server`) and `--timeout` (argument `timeout_s`) to a command."""
    command = click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0.0, min_open=True, max=3600.0),
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the broker's answer.",
    )(command)
    return click.option(
        "-s",
        "--server",
        envvar=ENDPOINT_VARIABLE,
        default=DEFAULT_ENDPOINT,
        show_default=True,
        show_envvar=True,
        metavar="ENDPOINT",
        help="The broker's control endpoint.",
    )(command)


class ControlClient:
    """A connection to one control endpoint, for one question at a time. A context manager."""

    def __init__(self, endpoint: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Prepare for `endpoint`, for example `tcp://127.0.0.1:5573`; answers may take `timeout_s`.

        Raises:
            CliError: `USAGE` when it is no endpoint.
        """
        self.endpoint = endpoint
        self._host, self._port = host_and_port(endpoint)
        self._timeout_s = timeout_s
        # A context of its own: it can be ended before a process forks, and nothing else waits for its sockets.
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._asked = False

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def request(self, command: str, **arguments: Any) -> Any:
        """The broker's answer to `command` (`status`, `peers`, and so on), as plain dicts and lists.

        Raises:
            CliError: `UNAVAILABLE` when nothing listens there, `TIMEOUT` when no answer comes in time, `UNKNOWN`
                when it is about somebody of whom the broker knows nothing, `FAILED` when it refuses the question
                otherwise, `BAD_DATA` when what answers is no broker.
        """
        deadline = time.monotonic() + self._timeout_s
        self.ask(command, **arguments)
        while True:
            left_ms = int((deadline - time.monotonic()) * 1000)
            answer = self.answer(max(left_ms, 0))
            if answer is not None:
                return answer[0]
            if left_ms <= 0:
                # The late answer must not be taken for that of the next question.
                self.close()
                raise self._silent(f"answer {command!r}")

    def ask(self, command: str, **arguments: Any) -> None:
        """Send a question whose answer `answer` will give, without waiting for it.

        Raises:
            CliError: as `request`.
        """
        connection = self._connect()
        try:
            connection.send(msgspec.msgpack.encode({"command": command, **arguments}), zmq.NOBLOCK)
        except zmq.Again:
            raise self._nobody("takes no question") from None
        self._asked = True

    def answer(self, wait_ms: int = 0) -> tuple[Any] | None:
        """The answer to what `ask` sent, in a tuple; None while there is none after `wait_ms`.

        Raises:
            CliError: as `request`.
        """
        connection = self._socket
        if connection is None or not self._asked or not connection.poll(wait_ms):
            return None
        parts = connection.recv_multipart(zmq.NOBLOCK)
        self._asked = False
        try:
            reply = msgspec.msgpack.decode(parts[0])
            if reply["ok"]:
                return (reply["result"],)
            error, code = str(reply["error"]), Exit.UNKNOWN if reply.get("unknown") else Exit.FAILED
        except (msgspec.DecodeError, TypeError, KeyError, UnicodeDecodeError):
            raise self._no_broker() from None
        raise CliError(f"the broker at {self.endpoint} refused: {error}", code)

    def close(self) -> None:
        """Close the connection; the next question opens a new one."""
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None
        if self._context is not None:
            self._context.term()
            self._context = None
        self._asked = False

    def _connect(self) -> zmq.Socket[bytes]:
        if self._socket is not None:
            return self._socket
        # ZeroMQ tries for ever and does not say why; a plain connection tells at once whether somebody listens.
        try:
            listener = socket.create_connection((self._host, self._port), timeout=self._timeout_s)
        except socket.gaierror as error:
            raise self._nobody(f"cannot be found: {error.strerror}") from None
        except TimeoutError:
            raise self._nobody("does not respond") from None
        except UnicodeError:
            raise self._nobody("cannot be found: its name is no name of a host") from None
        except OSError as error:
            raise self._nobody(f"is not there: {(error.strerror or str(error)).lower()}") from None
        with listener:
            try:
                greeting = listener.recv(1)
            except TimeoutError:
                raise self._silent("say what it is") from None
            except OSError:
                greeting = b""
        if not greeting:
            raise self._nobody("hangs up at once")
        if greeting != _GREETING:
            raise self._no_broker()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        if ":" in self._host:
            self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.connect(self.endpoint)
        return self._socket

    def _silent(self, to_do: str) -> CliError:
        return CliError(
            f"the broker at {self.endpoint} did not {to_do} within {self._timeout_s:g} s; try a longer --timeout",
            Exit.TIMEOUT,
        )

    def _no_broker(self) -> CliError:
        return CliError(
            f"what answers at {self.endpoint} is no lanebus control endpoint; name the right one with --server",
            Exit.BAD_DATA,
        )

    def _nobody(self, problem: str) -> CliError:
        return CliError(
            f"the broker at {self.endpoint} {problem}; start one with 'lanebus broker', or name another with "
            f"--server or {ENDPOINT_VARIABLE}",
            Exit.UNAVAILABLE,
        )


def host_and_port(endpoint: str) -> tuple[str, int]:
    """The host and port of `tcp://host:port`.

    Raises:
        CliError: `USAGE` when it is something else.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or endpoint.lower() not in (f"tcp://{host}:{port}", f"tcp://[{host}]:{port}"):
        raise CliError(f"{endpoint!r} is no endpoint; write it as tcp://HOST:PORT", Exit.USAGE)
    return host, port
