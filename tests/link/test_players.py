"""What a server knows of players is what the broker knows, whoever comes, goes and is cut off meanwhile."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.parts import nothing_came
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.adapters.players import PlayerChange, Players
from lanebus.conf.model import LimitsConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.presence import What

NAMES = [f"player:{number}" for number in range(3)]

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["come", "cut", "back", "bye"]), st.sampled_from(NAMES)),
        st.tuples(st.sampled_from(["open", "close"]), st.sampled_from(NAMES)),
        st.tuples(st.sampled_from(["server", "wait", "restart"]), st.just("")),
    ),
    max_size=30,
)


class World:
    """A broker, a server that watches, and players on links of their own and behind a gateway."""

    def __init__(self) -> None:
        self.known = Players(nothing_came())
        self.known.watch(on=True)
        self.told: list[PlayerChange] = []
        for handlers in self.known.handlers.values():
            handlers.append(self.told.append)
        self.begin()

    def begin(self) -> None:
        """A broker without a memory."""
        limits = LimitsConfig(attachments=1000, sessions_per_gateway=1000)
        self.bench = Bench(small_config(limits=limits))
        self.players: dict[str, Peer] = {}
        self.indexes: dict[str, int] = {}
        self.gateway = Peer(self.bench, "gateway:g").attach()
        self.server = Peer(self.bench, "server:a").attach()
        self.server.ask(Kind.WATCH, what="players")
        self.hear()

    def step(self, what: str, name: str) -> None:
        player = self.players.get(name)
        if what == "come":
            self.players[name] = Peer(self.bench, name).attach()
        elif what == "cut" and player is not None:
            self.drop(player)
        elif what == "back" and player is not None and not player.up and not player.errors:
            player.attach()
        elif what == "bye" and player is not None and player.up:
            player.bye()
            del self.players[name]
        elif what == "open":
            index = self.gateway.request_number + 1
            self.gateway.open(index, name)
            self.indexes[name] = index
        elif what == "close" and name in self.indexes:
            self.gateway.request(Kind.CLOSE, index=self.indexes.pop(name))
        elif what == "server":
            self.drop(self.server)
            self.bench.turn()
            self.server.attach()
        elif what == "wait":
            for _ in range(4):
                self.bench.advance(3.0)
                for peer in (self.gateway, self.server, *self.players.values()):
                    peer.ping()
        elif what == "restart":
            self.begin()
        self.bench.turn()
        self.hear()

    def drop(self, peer: Peer) -> None:
        route = peer.routes[Lane.CRITICAL]
        peer.cut()
        if route is not None:
            self.bench.core.lost(Lane.CRITICAL, route, self.bench.now)

    def hear(self) -> None:
        self.bench.turn()
        for kind, message in self.server.messages:
            if kind is Kind.PRESENCE:
                self.known.told(Lane.CRITICAL, message, self.bench.now)
        self.server.messages.clear()
        self.known.tell()

    def really(self) -> dict[str, str]:
        return {
            session.name: "up" if session.attachment.away_since is None else "away"
            for session in self.bench.core.registry.sessions()
            if session.role is Role.CLIENT
        }


@settings(max_examples=100, deadline=None)
@given(steps)
def test_a_server_knows_what_the_broker_knows(todo: list[tuple[str, str]]) -> None:
    world = World()
    for step in todo:
        world.step(*step)
        assert {name: player.state for name, player in world.known.items()} == world.really()
        for name, player in world.known.items():
            assert player.quality is world.bench.session(name).quality.judgement.degree
    there: dict[str, str] = {}
    for change in world.told:
        name = change.player.name
        assert (change.what is What.JOINED) is (name not in there)
        if change.what is What.LEFT:
            del there[name]
        elif change.what is not What.QUALITY:
            assert there.get(name) != change.what.value
            there[name] = change.what.value
    assert set(there) == set(world.known)
