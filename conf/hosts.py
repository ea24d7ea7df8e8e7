"""What may stand where a host is named: to bind a socket to, and to dial."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_INTERFACE: Final = re.compile(r"[A-Za-z0-9_@-]{1,15}\Z|(?=.{1,15}\Z)[A-Za-z0-9_@-]+\.\d{1,4}\Z")
"""Names that the kernel gives network interfaces: 15 characters, with a dot before the number of a VLAN only."""
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
_MAX_NAME: Final = 253


def bind_problem(host: str) -> str | None:
    """Why a socket cannot be bound to a host, whatever the machine; None when it may be."""
    if host == "*":
        return None
    address = _address(host)
    if address is not None:
        return "is a multicast address" if address.is_multicast else None
    if host.replace(".", "").isdecimal():
        return "is no address"
    if host.lower() == "localhost":
        return "is a host's name, and a socket is bound to an address"
    return _not_alone(host) or (None if _INTERFACE.match(host) else "is neither an address nor an interface")


def dial_problem(host: str) -> str | None:
    """Why nobody can dial a host, whatever the network; None when it may be."""
    address = _address(host)
    if address is not None:
        return "is no address of one machine" if address.is_multicast or address.is_unspecified else None
    if host == "*":
        return "is every interface, and no host"
    alone = _not_alone(host)
    if alone is not None:
        return alone
    name = host.removesuffix(".")
    if name.replace(".", "").isdecimal():
        return "is no address"
    if len(name) > _MAX_NAME or not all(_LABEL.match(label) for label in name.split(".")):
        return "is no name of a host"
    return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _not_alone(host: str) -> str | None:
    """What else than a host stands there."""
    if "://" in host:
        return "has a scheme: give the host alone"
    if host.startswith("["):
        return "has brackets: give the address alone"
    if any(character.isspace() for character in host):
        return "has a blank"
    if "/" in host:
        return "has a path: give the host alone"
    if ":" in host:
        return "has a port: give the host alone"
    if not host.isascii():
        return "has characters that no name of a host may have; write it as it is registered, xn--..."
    return None
