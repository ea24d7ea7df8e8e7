"""Senders are told where their events go: whole, merged, and again after a reconnect."""

from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Kept, Served


def servers(bench: Bench) -> tuple[Peer, Peer]:
    first, second = (Peer(bench, f"server:{name}").attach() for name in "ab")
    for service in ("combat", "chat"):
        first.ask(Kind.REGISTER, service=service, topics=[f"{service}.*"])
    return first, second


def test_what_changes_in_one_turn_is_told_in_one_message(bench: Bench) -> None:
    servers(bench)
    gateway = Peer(bench, "gateway:g").attach()
    for index in (1, 2):
        gateway.open(index, f"player:{index}")
    bench.advance(0.1)
    for index in (1, 2):
        gateway.send("combat.hit", None, session=index)
        gateway.send("chat.say", None, session=index)
    bench.advance(0.5)
    told = [message for kind, message in gateway.messages if kind is Kind.SERVED]
    entries = [(index, service) for each in told for index, service, _ in each.entries]
    assert sorted(entries) == [(1, "chat"), (1, "combat"), (2, "chat"), (2, "combat")]
    assert len(told) <= 2


def test_what_was_told_is_told_again_after_a_resume(bench: Bench) -> None:
    first, second = servers(bench)
    player = Peer(bench, "player:1").attach()
    first.ask(Kind.JOIN, group="room", member="player:1")
    player.send("combat.hit", None)
    second.send("t", "group:room")
    bench.advance(0.1)
    assert second.last(Kind.KEPT) == Kept(entries=[("room", ["server:a"])])
    for peer in (player, second):
        peer.messages.clear()
        peer.cut()
        bench.advance(0.1)
        peer.attach()
        bench.advance(0.1)
    assert player.last(Kind.SERVED) == Served(entries=[(0, "combat", [("server:a", [1, 1, 1], False)])])
    assert second.last(Kind.KEPT) == Kept(entries=[("room", ["server:a"])])


def test_a_sender_is_told_when_nobody_else_keeps_its_group_any_more(bench: Bench) -> None:
    first, second = servers(bench)
    for name in ("player:1", "player:2"):
        Peer(bench, name).attach()
    first.ask(Kind.JOIN, group="room", member="player:1")
    second.ask(Kind.JOIN, group="room", member="player:2")
    second.send("t", "group:room")
    bench.advance(0.1)
    first.ask(Kind.LEAVE, group="room", member="player:1")
    second.send("t", "group:room")
    bench.advance(0.1)
    assert second.last(Kind.KEPT) == Kept(entries=[("room", [])])
