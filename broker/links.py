"""Links: the connections that speak with the broker, by their routes, from the first hello to the end of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.strangers import Strangers
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.header import Header
from lanebus.wire.kinds import Kind, LinkState
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Ack, ErrorMessage

log = logging.getLogger("lanebus.broker")


class Links:
    """All links of all lanes."""

    def __init__(self, outgoing: Outgoing, on_away: Callable[[Attachment, float, bool], None]) -> None:
        """
        Args:
            on_away: told when an attachment has lost its links, and whether that is because it ends.
        """
        self.strangers = Strangers()
        """Connections without a link."""
        self._outgoing = outgoing
        self._on_away = on_away
        self._by_route: list[dict[bytes, Link]] = [{} for _ in LANES]

    def get(self, lane: Lane, route: bytes) -> Link | None:
        """The link of a connection, if it has said hello."""
        return self._by_route[lane].get(route)

    def heard(self, lane: Lane, route: bytes) -> float:
        """A figure that changes with every frame that is read of a connection."""
        link = self.get(lane, route)
        return link.heard_at if link is not None else -float(self.strangers.frames(lane, route))

    def __iter__(self) -> Iterator[Link]:
        """All of them, as they are now."""
        return iter([link for links in self._by_route for link in links.values()])

    def first(self, lane: Lane, route: bytes, header: Header, now: float) -> Link | None:
        """A frame of a connection without a link: a new link if it is a hello, else none, and its sender is told."""
        if header.kind is Kind.HELLO:
            link = Link(lane, route, now)
            link.incarnation = header.incarnation
            self._by_route[lane][route] = link
            return link
        if self.strangers.is_told(lane, route, now) and header.kind is not Kind.ERROR:
            # A frame that outlived its session; its sender is told, and not punished.
            self._outgoing.answer(
                lane,
                route,
                Kind.ERROR,
                ErrorMessage(number=ErrorNumber.NO_SESSION, text="say hello first"),
                incarnation=header.incarnation,
            )
        return None

    def probe(self, route: bytes) -> bool:
        """Speak on a link of the critical lane, whose connection may be gone; whether there is such a link."""
        link = self.get(Lane.CRITICAL, route)
        if link is None:
            return False
        probe(self._outgoing, link)
        return True

    def drop(self, link: Link, now: float, reason: str, *, leaves: bool = False) -> None:
        """End a link, and with it the attachment's others: it resumes as a whole, on fresh ones.

        Args:
            reason: why, in words that go on after "its links were lost: "; remembered unless it leaves.
            leaves: whether it does not resume, since it is about to end.
        """
        attachment = link.attachment
        links = [link] if attachment is None else list(attachment.live_links())
        for each in links:
            each.state = LinkState.CLOSED
            self._by_route[each.lane].pop(each.route, None)
        if attachment is not None:
            attachment.links = [None for _ in LANES]
            if attachment.away_since is None:
                attachment.away_since = now
                if not leaves:
                    attachment.line.lost_reason = reason
                self._on_away(attachment, now, leaves)
                if not leaves:
                    log.info("= %s is away", attachment.name)


def probe(outgoing: Outgoing, critical: Link) -> None:
    """Say something that means nothing on a critical link: if its connection is gone, that shows."""
    outgoing.control(critical, Kind.ACK, Ack([0, 0, 0]))


def attached(link: Link) -> Attachment:
    """The attachment of a link that is ready."""
    if link.attachment is None:
        raise AssertionError("the table of legal messages lets only an attached link come here")
    return link.attachment
