"""Addresses of brokers: ``tcp://HOST:PORT``, checked where the program gives them."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final, NamedTuple

_FORM: Final = re.compile(r"tcp://(?:\[(?P<six>[^]/]*)\]|(?P<host>[^\[\]:/]*)):(?P<port>[0-9]{1,5})")
_HOST: Final = re.compile(r"[^\W_](?:[\w.-]*[\w.])?")
_MAX_HOST: Final = 253
EXAMPLES: Final = "tcp://127.0.0.1:5570, tcp://[::1]:5570 or tcp://bus.example:5570"


class Address(NamedTuple):
    """Where to connect to."""

    host: str
    """A name, or a number without brackets."""
    port: int

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


def parse_address(text: object) -> Address:
    """Take an address apart.

    Raises:
        ValueError: it is none; the text names it, what is wrong with it, and examples.
    """
    if not isinstance(text, str):
        raise _wrong(text, "it is no text")
    if not text.startswith("tcp://"):
        raise _wrong(text, "brokers are reached by tcp alone")
    found = _FORM.fullmatch(text)
    if found is None:
        raise _wrong(text, "behind tcp:// there is to be a host, a colon and a port, and nothing else")
    port = int(found["port"])
    if not 1 <= port <= 65_535:
        raise _wrong(text, "ports are 1 to 65535")
    return Address(
        _six(text, found["six"]) if found["six"] is not None else _named(text, found["host"]), port
    )


def _six(text: str, host: str) -> str:
    try:
        return str(IPv6Address(host))
    except ValueError:
        raise _wrong(text, f"{host[:60]!r} is no IPv6 address") from None


def _named(text: str, host: str) -> str:
    if len(host) > _MAX_HOST or not _HOST.fullmatch(host):
        raise _wrong(text, f"{host[:60]!r} can be the name of no host")
    return host


def _wrong(text: object, why: str) -> ValueError:
    return ValueError(f"{text!r:.200} is no address of a broker: {why}; such as {EXAMPLES}")
