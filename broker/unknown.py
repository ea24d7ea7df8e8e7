"""Questions about somebody of whom nothing is known: told from all other refusals, with who may have been meant."""

from __future__ import annotations

from lanebus.broker.core import BrokerCore
from lanebus.broker.sessions import Session
from lanebus.wire.names import PREFIX


class Unknown(ValueError):
    """There is no such peer or group; the text says what to look at instead."""


def session_of(core: BrokerCore, name: object) -> Session:
    """The session of a full name.

    Raises:
        Unknown: there is none.
    """
    session = core.directory.peers.get(name) if isinstance(name, str) else None
    if session is None:
        raise unknown(core, name)
    return session


def unknown(core: BrokerCore, name: object) -> Unknown:
    """What to raise for a name without a session."""
    if not isinstance(name, str):
        return Unknown(f"{name!r} is no name of a peer")
    if name in core.registry.attachments:
        return Unknown(f"{name} is a gateway and has no session of its own: ask for a player behind it")
    closed = core.registry.closed.names()
    if name in closed:
        return Unknown(f"{name!r} has no session any more: lanebus why {name} says why it has ended")
    remembered = len(core.registry.closed)
    text = f"{name!r} has no session, and none of the {remembered:,} that ended last was of that name"
    plain = name.partition(":")[2]
    others = [f"{prefix}:{plain}" for prefix in PREFIX.values()]
    known = [other for other in others if other in core.directory.peers or other in closed]
    if known:
        return Unknown(f"{text}; but {' and '.join(known)} is known")
    return Unknown(f"{text}: lanebus peers lists who is here")
