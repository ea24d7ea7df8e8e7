"""The service manager's notification protocol: one datagram per message to the socket that systemd names."""

import os
import socket
from collections.abc import Mapping
from typing import Final

_PATIENT_S: Final = 0.25
"""How long the two messages that a service manager waits for may wait for room in its queue."""


class Notifier:
    """Tells systemd how the service is. Without a socket every method does nothing.

    No method raises when the socket is lost: a service does not stop working because nobody watches it.
    """

    def __init__(self, address: str | None, *, watchdog_interval_s: float | None = None) -> None:
        """Prepare for the datagram socket at `address`.

        `address` is a path, or a name in the abstract namespace written with a leading `@`; None or empty means that
        nobody listens. `watchdog_interval_s` is the time between two calls of `watchdog`; None means no watchdog.
        """
        self._address = address.replace("@", "\0", 1) if address and address.startswith("@") else address
        self._watchdog_interval_s = watchdog_interval_s
        self._socket: socket.socket | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Notifier":
        """Return the notifier that the variables systemd sets (NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID) describe.

        A watchdog that is meant for another process, or an interval that is no positive number, is ignored.
        """
        interval_us = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        watched = mine and interval_us.isascii() and interval_us.isdigit() and int(interval_us) > 0
        return cls(
            environ.get("NOTIFY_SOCKET"),
            # Half of what systemd allows: one late turn of the loop is then no reason to kill the broker.
            watchdog_interval_s=int(interval_us) / 2e6 if watched else None,
        )

    @property
    def watchdog_interval_s(self) -> float | None:
        """Seconds between two calls of `watchdog`; None when nobody expects them."""
        return self._watchdog_interval_s

    def ready(self, status: str) -> None:
        """Report that the service is up, with one line for people."""
        self._send("READY=1", _status(status), wait_s=_PATIENT_S)

    def status(self, text: str) -> None:
        """Report one line for people; line breaks in it become blanks."""
        self._send(_status(text))

    def stopping(self, status: str) -> None:
        """Report that the service has begun to stop, with one line for people."""
        self._send("STOPPING=1", _status(status), wait_s=_PATIENT_S)

    def watchdog(self) -> None:
        """Report that the service is alive. Call it only from the loop that does the work."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; a later message opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *assignments: str, wait_s: float = 0.0) -> None:
        if not self._address:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(wait_s)
            self._socket.sendto("\n".join(assignments).encode(errors="replace"), self._address)
        except OSError:
            self.close()


def _status(text: str) -> str:
    # A line break would begin a new assignment, and a peer's name may be part of the text.
    return "STATUS=" + " ".join(text.split())
