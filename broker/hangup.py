"""Hanging up: ending one connection of a ROUTER, which libzmq has no call for. Its kernel's connection is shut down."""

from __future__ import annotations

import socket


def hang_up(descriptor: int, address: str) -> bool:
    """End the connection of a descriptor; libzmq sees its end as if the peer had hung up.

    Args:
        address: of the peer that it is to end for. The descriptor may be another connection's by now: one from
            elsewhere is left alone, and a peer from the same address comes back at once.

    Returns:
        Whether it was shut down.
    """
    if descriptor < 0 or not address:
        return False
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:  # closed meanwhile
        return False
    try:
        far_end = connection.getpeername()
        if not isinstance(far_end, tuple) or far_end[0] != address:
            return False
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # not connected any more
        return False
    finally:
        # It is libzmq's, and stays open until libzmq has seen the end.
        connection.detach()
    return True
