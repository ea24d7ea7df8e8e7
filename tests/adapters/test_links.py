"""The links of an adapter: what is news, and what wakes whom. See also `test_base_broken.py`."""

import socket as plain
import time

from lanebus.adapters.loop import Loop
from lanebus.adapters.server import ServerAdapter
from lanebus.adapters.sockets import pending

DEADLINE_S = 20.0


def nobody_there() -> str:
    """An address where nobody listens any more."""
    with plain.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def take_notice(adapter: ServerAdapter) -> None:
    """Look at a refused connection until it is gone, as a send that comes at the wrong moment does."""
    (socket,) = adapter.open_sockets()
    deadline = time.monotonic() + DEADLINE_S
    while pending(socket):
        assert time.monotonic() < deadline, "the connection is not refused"


def test_a_refused_connection_is_news_also_where_somebody_has_taken_notice_of_it() -> None:
    # Its descriptor is not readable again: without another look nobody would have a turn before the next timer.
    adapter, loop = ServerAdapter("a", broker=nobody_there()), Loop()
    loop.add(adapter)
    adapter.start()
    take_notice(adapter)
    assert adapter.links.has_news()
    loop.turn(0.0)
    assert adapter.retry.attempts == 1
    assert not adapter.links.has_news()
    adapter.close(0.0)
    loop.close()
