"""Hanging up: ending one connection of a ROUTER, which libzmq has no call for. Its kernel's connection is shut down."""

from __future__ import annotations

import socket


def hang_up(descriptor: int, far_end: object) -> bool:
    """End the connection of a descriptor; libzmq sees its end as if the peer had hung up.

    Args:
        far_end: of the connection that is to end, as `getpeername` gives it, or its host alone where that is all that
            is known. The descriptor may be another connection's by now: one from elsewhere is left alone, and a peer
            from the same host comes back at once.

    Returns:
        Whether it was shut down.
    """
    if descriptor < 0 or not far_end:
        return False
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:  # closed meanwhile
        return False
    try:
        there = connection.getpeername()
        if not isinstance(there, tuple) or far_end not in (there, there[0]):
            return False
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # not connected any more
        return False
    finally:
        # It is libzmq's, and stays open until libzmq has seen the end.
        connection.detach()
    return True
