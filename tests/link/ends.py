"""How events end: a small world in which they can wait anywhere, and what becomes of them."""

from collections import defaultdict
from typing import Any

import pytest
from tests.link.link import Net, Reaches
from tests.link.process import Peer

from lanebus.adapters.errors import OutboxFull
from lanebus.adapters.event import Receipt
from lanebus.broker.audit import audit
from lanebus.conf.model import Config, EgressConfig, SessionsConfig, WindowConfig
from lanebus.wire.batches import UpEvent, decode_up
from lanebus.wire.header import decode_header
from lanebus.wire.history import History
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

SUPERSEDED = (Outcome.SUPERSEDED, Reason.NEWER_VALUE)
EXPIRED = (Outcome.EXPIRED, Reason.TOO_LATE)
LOST = (Outcome.DROPPED, Reason.LINK_LOST)
LATE = (Outcome.DROPPED, Reason.TOO_LATE)
NO_ROOM = (Outcome.DROPPED, Reason.NO_ROOM)
SLOW = (Outcome.DROPPED, Reason.SLOW_RECEIVER)
DELIVERED = (Outcome.DELIVERED, Reason.NONE)
LARGE = "x" * 200

CONFIG = Config(
    sessions=SessionsConfig(grace_s=10.0, recovery_s=0.0, ping_interval_s=0.5, lease_s=2.0),
    window=WindowConfig(batches=4, control_interval_ms=100.0),
    egress=EgressConfig(batch_bytes=1024, credit_bytes=2048, queue_bytes=40_000, age_s=5.0),
)


def post(peer: Peer, to: str | list[str], payload: Any, **terms: Any) -> Receipt:
    """Send, and follow what becomes of it: the event itself may become a newer value."""
    receipt = peer.send(to, payload, **terms).receipt
    assert receipt is not None
    return receipt


def end(receipt: Receipt) -> tuple[Outcome, Reason] | None:
    return None if receipt.outcome is None else (receipt.outcome, receipt.reason)


def is_cut(net: Net, sender: Peer, receiver: Peer) -> None:
    """The receiver's links are lost, and the broker knows."""
    receiver.reaches = Reaches.REFUSAL
    receiver.cut()
    sender.send(receiver.name, ("fill", 0))
    attachment = net.core.registry.attachments[receiver.name]
    net.run_until(lambda: attachment.away_since is not None, 1.0, "the broker knows")


def rest(net: Net) -> None:
    """The books of both sides must agree to the last event, the broker's with what it holds."""
    net.run(1.5)
    report = audit(net.core)
    assert (report.problems, report.at_rest) == ([], True)


def up_events(net: Net, sender: Peer) -> list[UpEvent]:
    """Every event that `sender` puts on its next links."""
    seen: list[UpEvent] = []
    histories: defaultdict[tuple[Lane, int], History] = defaultdict(History)

    def watch(peer: Peer, frame: bytes) -> None:
        header = decode_header(frame, max_raw_bytes=1 << 24)
        if peer is sender and header.kind is Kind.BATCH:
            history = histories[header.lane, header.incarnation]
            seen.extend(decode_up(header, history.open(frame, header)).events)

    net.watch = watch
    return seen


def stalled(net: Net, sender: Peer, receiver: Peer, to: str) -> list[Receipt]:
    """Use up what the broker may send to a receiver that handles nothing."""
    receiver.events_per_turn = 0
    events = []
    for number in range(12):
        events.append(post(sender, to, ("fill", number, LARGE)))
        net.run(0.06)
    return events


def fill_outbox(sender: Peer) -> None:
    def fill() -> None:
        while True:
            sender.send("server:receiver", LARGE)

    with pytest.raises(OutboxFull):
        fill()
