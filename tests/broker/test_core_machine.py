"""Several peers do random legal things to one core. After every step the books balance and the sums are right; each
receiver gets each event once and in order; when everybody settles, nothing is left under way.
"""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer
from tests.broker.traffic import Got, Terms

from lanebus.broker import waiting
from lanebus.conf.model import EgressConfig, SessionsConfig
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.batches import EVENT_LATEST, EVENT_QUESTION, EVENT_VOLATILE
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.services import Health

SERVERS = ("server:a", "server:b")
PLAYERS = ("player:1", "player:2", "player:3")
BEHIND = ("player:11", "player:12", "player:13")
GROUPS = ("room", "den")

POLICY = PolicyConfig(client_may_address=["player:1*", "group:den"], error_budget=0, cool_down_s=0.0)
"""Names change hands all the time here, and players send what they may not."""

lanes = st.sampled_from(LANES)
destinations = st.one_of(
    st.sampled_from(
        [*SERVERS, *PLAYERS, *BEHIND, "all", "service:combat", "service:none", "group:room", "group:den"]
    ),
    st.just([*PLAYERS[:2], BEHIND[0]]),
    st.just(["group:room", BEHIND[1], "server:a"]),
    st.just([BEHIND[0]]),
    st.none(),
)
ends = st.sampled_from(
    [
        (Outcome.DELIVERED, Reason.NONE),
        (Outcome.DELIVERED, Reason.NONE),
        (Outcome.DELIVERED, Reason.NONE),
        (Outcome.REFUSED, Reason.NO_HANDLER),
        (Outcome.REFUSED, Reason.HANDLER_ERROR),
        (Outcome.EXPIRED, Reason.TOO_LATE),
    ]
)
terms = st.sampled_from(
    [
        Terms(),
        Terms(),
        Terms(),
        Terms(flags=EVENT_LATEST, key="k"),
        Terms(flags=EVENT_LATEST, key="l", ttl=20_000),
        Terms(flags=EVENT_VOLATILE),
        Terms(ttl=500),
        Terms(ttl=40_000),
    ]
)
Pick = Callable[[list[Peer]], Peer]


class CoreMachine(RuleBasedStateMachine):
    config = small_config(policy=POLICY)

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(self.config)
        self.peers: dict[str, Peer] = {}
        self.gone: list[Peer] = []
        self.next_index = 1
        self.checked: dict[Peer, int] = {}
        self.seen: dict[tuple[Peer, int, Lane, str, bytes], dict[int, Got]] = {}
        self.newest: dict[tuple[Peer, int, Lane, int, str], int] = {}
        """The newest number from each sending session: a sender that was forgotten may replay to other receivers.

        Of latest values by what they are the values of, of all other events together.
        """
        self.volatile: set[tuple[str, Lane, str, bytes, int]] = set()
        """Volatile events that came to peers with links of their own, whichever process it was."""

    @initialize()
    def some_are_there(self) -> None:
        for name in ("server:a", "player:1", "gateway:g"):
            self.arrives(name)
        self.opens(BEHIND[0])
        self.opens(BEHIND[1])

    # Coming and going

    def arrives(self, name: str) -> None:
        old = self.peers.get(name)
        if old is not None:
            self.gone.append(old)
        peer = self.peers[name] = Peer(self.bench, name).attach()
        if peer.role is Role.SERVER:
            peer.request(Kind.REGISTER, service="combat", topics=["player.*"])

    @rule(name=st.sampled_from([*SERVERS, *PLAYERS, "gateway:g"]))
    def a_new_process_takes_a_name(self, name: str) -> None:
        self.arrives(name)

    @rule(data=st.data())
    def a_peer_says_goodbye(self, data: st.DataObject) -> None:
        peer = self.one(data)
        if peer is not None and peer.up:
            peer.bye()
            self.gone.append(self.peers.pop(peer.name))

    @rule(data=st.data(), quietly=st.booleans())
    def a_link_is_cut(self, data: st.DataObject, quietly: bool) -> None:
        peer = self.one(data)
        if peer is not None:
            routes = list(peer.routes)
            peer.cut()
            if not quietly and (route := routes[Lane.CRITICAL]) is not None:
                self.bench.core.lost(Lane.CRITICAL, route, self.bench.now)

    @rule(data=st.data())
    def a_peer_comes_back(self, data: st.DataObject) -> None:
        peer = self.one(data)
        if peer is not None:
            peer.attach()

    @rule(name=st.sampled_from(BEHIND))
    def a_gateway_opens_a_session(self, name: str) -> None:
        self.opens(name)

    def opens(self, name: str) -> None:
        gateway = self.peers.get("gateway:g")
        if gateway is not None and gateway.up:
            # The player's older session, if there is one, ends with this one's beginning.
            gateway.open(self.next_index, name)
            self.next_index += 1

    @rule(data=st.data())
    def a_gateway_closes_a_session(self, data: st.DataObject) -> None:
        gateway = self.peers.get("gateway:g")
        if gateway is not None and gateway.up and gateway.sessions:
            gateway.close(data.draw(st.sampled_from(sorted(gateway.sessions))))

    # Requests

    @rule(kind=st.sampled_from([Kind.JOIN, Kind.LEAVE]), group=st.sampled_from(GROUPS), data=st.data())
    def a_server_changes_a_group(self, kind: Kind, group: str, data: st.DataObject) -> None:
        server = self.peers.get("server:a")
        if server is not None and server.up:
            server.request(kind, group=group, member=data.draw(st.sampled_from([*PLAYERS, *BEHIND])))

    @rule(player=st.sampled_from([*PLAYERS, *BEHIND]), instance=st.sampled_from([*SERVERS, None]))
    def a_server_binds_a_player(self, player: str, instance: str | None) -> None:
        server = self.peers.get("server:b")
        if server is not None and server.up:
            server.request(Kind.ASSIGN, player=player, service="combat", instance=instance)

    @rule(name=st.sampled_from(SERVERS), health=st.sampled_from(Health), data=st.data())
    def an_instance_says_how_it_is(self, name: str, health: Health, data: st.DataObject) -> None:
        server = self.peers.get(name)
        if server is None or not server.up:
            return
        if data.draw(st.booleans()):
            server.request(Kind.HEALTH, service="combat", health=health)
        else:
            needs = data.draw(st.sampled_from([[], ["bus"], ["nobody"]]))
            facts = {"weight": data.draw(st.integers(1, 9)), "depends_on": needs, "health": health}
            server.request(Kind.REGISTER, service="combat", topics=["player.*"], **facts)

    # Events

    @rule(
        data=st.data(),
        to=destinations,
        lane=lanes,
        size=st.sampled_from([0, 10, 300, 900]),
        count=st.integers(1, 4),
        held=st.sampled_from([0, 100, 5000]),
        terms=terms,
    )
    def a_peer_sends(
        self,
        data: st.DataObject,
        to: str | list[str] | None,
        lane: Lane,
        size: int,
        count: int,
        held: int,
        terms: Terms,
    ) -> None:
        peer = self.one(data)
        if peer is None or not peer.up or len(peer.unacked[lane]) >= 8:
            return
        indexes = sorted(peer.sessions) if peer.role is Role.GATEWAY else [0]
        if not indexes:
            return
        events = []
        for number in range(count):
            exclude = ["player:2"] if number % 3 == 2 else []
            session = data.draw(st.sampled_from(indexes))
            topic = terms.topic(to, exclude)
            events.append(
                peer.event(topic, to, lane, bytes(size), session=session, exclude=exclude, **terms._asdict())
            )
        peer.send_batch(events, lane, after=peer.request_number, held=held)

    @rule(data=st.data(), end=ends)
    def a_peer_settles(self, data: st.DataObject, end: tuple[Outcome, Reason]) -> None:
        peer = self.one(data)
        if peer is not None and peer.up and peer.unsettled:
            some = data.draw(st.integers(1, len(peer.unsettled)))
            peer.settle(peer.unsettled[:some], *end)

    @rule(data=st.data())
    def a_peer_settles_what_it_settled_before(self, data: st.DataObject) -> None:
        peer = self.one(data)
        if peer is not None and peer.up:
            peer.settle(got for got in peer.got[-5:] if got.incarnation == peer.incarnation)

    @rule(data=st.data())
    def a_peer_acknowledges(self, data: st.DataObject) -> None:
        peer = self.one(data)
        if peer is not None and peer.up:
            peer.ack()

    @rule(data=st.data())
    def a_peer_pings(self, data: st.DataObject) -> None:
        peer = self.one(data)
        if peer is not None and peer.up:
            peer.ping()

    @rule(seconds=st.sampled_from([0.0, 0.005, 0.02, 0.25, 1.5]))
    def time_passes(self, seconds: float) -> None:
        self.bench.advance(seconds)

    @precondition(lambda self: self.bench.now < 60.0)
    @rule()
    def a_long_time_passes(self) -> None:
        self.bench.advance(6.0)

    def one(self, data: st.DataObject) -> Peer | None:
        """Some peer that has not been replaced."""
        return self.peers[data.draw(st.sampled_from(sorted(self.peers)))] if self.peers else None

    # What always holds

    @invariant()
    def the_books_balance_and_the_sums_are_right(self) -> None:
        self.bench.core.end_turn(self.bench.now)
        self.bench.turn()
        assert self.bench.problems() == []

    @invariant()
    def each_receiver_gets_each_event_once_and_in_order(self) -> None:
        for peer in self.peers.values():
            for got in peer.got[self.checked.get(peer, 0) :]:
                if got.flags & EVENT_QUESTION:
                    assert got.payload == b"", f"{got} is a question"
                    continue
                key = (peer, got.session, got.lane, got.sender, got.process)
                seen = self.seen.setdefault(key, {})
                before = seen.get(got.number)
                if before is None:
                    own_order = got.topic if "-" in got.topic else ""
                    stream = (peer, got.session, got.lane, got.origin, own_order)
                    if got.topic == "player.volatile" and not got.session:
                        once = (peer.name, got.lane, got.sender, got.process, got.number)
                        assert once not in self.volatile, f"{got} came to another process before"
                        self.volatile.add(once)
                    assert got.number > self.newest.get(stream, 0), f"{got} came late"
                    self.newest[stream] = got.number
                    seen[got.number] = got
                else:
                    # Sent again over a fresh link, or replayed by a sender that the broker had forgotten.
                    assert before.incarnation < got.incarnation or before.origin != got.origin, (
                        f"{got} came twice"
                    )
            self.checked[peer] = len(peer.got)

    @invariant()
    def nobody_breaks_the_protocol(self) -> None:
        counted = set(self.bench.core.counters.errors)
        assert not counted, f"errors of legal peers: {counted}"

    @invariant()
    def timers_are_few(self) -> None:
        assert len(self.bench.core.timers) < 200

    def attached(self, peer: Peer) -> bool:
        """Whether the broker thinks so too: a lease may have ended without the peer's knowledge."""
        attachment = self.bench.core.registry.attachments.get(peer.name)
        return attachment is not None and None not in attachment.links

    def teardown(self) -> None:
        for _ in range(60):
            for peer in self.peers.values():
                if not peer.up or not self.attached(peer):
                    peer.attach()
                peer.settle_all()
            self.bench.advance(0.25)
            if not any(peer.unsettled or peer.waits for peer in self.peers.values()):
                break
        # Longer than the grace period of those that are gone and could not say goodbye.
        for _ in range(12):
            self.bench.advance(1.0)
            for peer in self.peers.values():
                peer.settle_all()
                peer.ping()
        self.the_books_balance_and_the_sums_are_right()
        for peer in self.peers.values():
            for (session, lane), sender in peer.senders.items():
                assert not sender.unsettled, (
                    f"{peer.name}/{session} waits on {lane.label}: {sender.unsettled}"
                )
        core = self.bench.core
        for each in core.registry.sessions():
            assert not any(sending.book.in_flight or sending.parts.in_flight for sending in each.sending)
            assert not any(r.committed_bytes or r.unsettled or r.paused for r in each.receiving)
            assert not any(r.waiting.values for r in each.receiving)
        assert not core.registry.ended


class JustStarted(CoreMachine):
    """The same in the time after the broker's start, when unknown destinations wait."""

    config = small_config(
        sessions=SessionsConfig(grace_s=10.0, recovery_s=8.0, ping_interval_s=1.0, lease_s=4.0),
        policy=POLICY,
    )


class Packing(CoreMachine):
    """The same with servers that send more than fits, where what has waited for a moment is packed, three by three."""

    config = small_config(
        egress=EgressConfig(batch_bytes=1_024, credit_bytes=1_024, queue_bytes=8_192, age_s=5.0),
        policy=POLICY,
    )

    def __init__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(waiting, "PACK_PARTS", 3)
        self.patch.setattr(waiting, "FEWEST_PARTS", 1)
        self.patch.setattr(waiting, "PACK_AGE_S", 0.02)
        super().__init__()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.patch.undo()

    @rule(name=st.sampled_from(SERVERS), to=destinations, lane=lanes, batches=st.integers(1, 6))
    def a_server_sends_much(self, name: str, to: str | list[str] | None, lane: Lane, batches: int) -> None:
        server = self.peers.get(name)
        for _ in range(batches):
            if server is None or not server.up or len(server.unacked[lane]) >= 8:
                return
            events = [server.event("much", to, lane, bytes(100)) for _ in range(5)]
            server.send_batch(events, lane, after=server.request_number)
            self.bench.advance(0.03)


LIGHT = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    phases=(Phase.reuse, Phase.generate, Phase.shrink),  # to explain a failure takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestCore = CoreMachine.TestCase
TestCore.settings = LIGHT
TestCoreJustStarted = JustStarted.TestCase
TestCoreJustStarted.settings = LIGHT
TestCorePacking = pytest.mark.patches(Packing.TestCase)
TestCorePacking.settings = LIGHT
