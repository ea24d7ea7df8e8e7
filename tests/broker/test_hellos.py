"""Hellos: how many may come from one address, and for one name, so that everybody still comes in."""

from random import Random

import msgspec
import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.hellos import ADDRESSES_REMEMBERED, NAMES_REMEMBERED, TAKEOVERS_WITHIN_S
from lanebus.conf.model import Config, LimitsConfig
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane


def limited(**limits: float) -> Bench:
    """A bench with other limits of hellos."""
    config = small_config()
    bench = Bench(msgspec.structs.replace(config, limits=msgspec.structs.replace(config.limits, **limits)))
    bench.address = "10.0.0.1"
    return bench


# By address


def test_too_many_hellos_from_one_address_come_later() -> None:
    bench = limited(hellos_per_s=2.0, hellos_burst=3, attachments=100)
    peers = [Peer(bench, f"player:{number}").attach() for number in range(5)]
    assert [peer.up for peer in peers] == [True, True, True, False, False]
    assert peers[4].errors == [ErrorNumber.BUSY]
    assert "10.0.0.1" in peers[4].last(Kind.ERROR).text
    assert bench.core.hellos.refused == 2
    bench.address = "10.0.0.2"
    assert Peer(bench, "player:other").attach().up
    bench.address = "10.0.0.1"
    bench.advance(1.0)
    assert [peer.attach().up for peer in peers[3:]] == [True, True]


def test_a_resume_is_a_hello_too_and_other_lanes_are_none() -> None:
    bench = limited(hellos_per_s=1.0, hellos_burst=2)
    peer = Peer(bench, "player:1").attach()
    assert peer.attach().up
    assert not peer.attach().up
    bench.advance(1.0)
    assert peer.attach().up


def test_zero_is_no_limit() -> None:
    bench = limited(hellos_per_s=0.0, hellos_burst=1, attachments_per_address=0)
    peer = Peer(bench, "player:1")
    for _ in range(20):
        assert peer.attach().up


def test_a_thousand_peers_behind_one_address_are_all_back_within_fifteen_seconds() -> None:
    bench = Bench(msgspec.structs.replace(small_config(), limits=LimitsConfig()))
    bench.address = "10.0.0.1"
    random = Random(1)
    # Each makes three attempts, as if the broker was too busy to answer the first two in time.
    hellos = sorted(
        (start + again, number)
        for number in range(1000)
        for start in [random.uniform(0.0, 1.0)]
        for again in (0.0, 2.0, 6.0)
    )
    peers = [Peer(bench, f"player:{number}") for number in range(1000)]
    for at, number in hellos:
        bench.now = max(bench.now, at)
        peers[number].say_hello()
        bench.turn()
    assert bench.core.hellos.refused == 0
    assert all(peer.errors == [] for peer in peers)
    assert bench.now < 15.0


def test_addresses_past_a_number_begin_anew() -> None:
    bench = limited(hellos_per_s=1.0, hellos_burst=1)
    assert Peer(bench, "player:1").attach().up
    hellos = bench.core.hellos
    for number in range(ADDRESSES_REMEMBERED):
        hellos.arrived(str(number), bench.now)
    assert Peer(bench, "player:2").attach().up


def test_one_address_has_so_many_attachments_and_a_successor_takes_no_place() -> None:
    bench = limited(attachments_per_address=2)
    first, second = Peer(bench, "player:1").attach(), Peer(bench, "player:2").attach()
    assert Peer(bench, "player:3").attach().errors == [ErrorNumber.BUSY]
    assert Peer(bench, "player:2").attach().up
    assert second.errors == [ErrorNumber.FENCED]
    bench.address = "10.0.0.2"
    assert Peer(bench, "player:3").attach().up
    bench.address = "10.0.0.1"
    first.bye()
    bench.turn()
    assert Peer(bench, "player:4").attach().up
    assert Peer(bench, "player:5").attach().errors == [ErrorNumber.BUSY]


def test_an_attachment_that_does_not_come_back_gives_its_place_back() -> None:
    bench = limited(attachments_per_address=1)
    Peer(bench, "player:1").attach().cut()
    bench.advance(20.0)
    assert Peer(bench, "player:2").attach().up


# By name


def take_over(bench: Bench, times: int) -> Peer:
    """Processes of one name, each a second after the other; the last one."""
    peer = Peer(bench, "server:a").attach()
    for _ in range(times):
        bench.advance(1.0)
        peer.ping()
        peer = Peer(bench, "server:a").attach()
    return peer


def test_a_name_that_changed_hands_three_times_stays_where_it_is(bench: Bench) -> None:
    present = take_over(bench, 3)
    assert present.up
    present.ping()
    other = Peer(bench, "server:a").attach()
    assert other.errors == [ErrorNumber.COOLING_DOWN]
    assert "the present one keeps it for 30.0 s" in other.last(Kind.ERROR).text
    assert present.up
    # The present one itself comes and goes as it likes.
    assert present.attach().up


def test_two_takeovers_in_a_minute_are_none_too_many(bench: Bench) -> None:
    present = take_over(bench, 2)
    for _ in range(int(TAKEOVERS_WITHIN_S)):
        bench.advance(1.0)
        present.ping()
    for _ in range(2):
        successor = Peer(bench, "server:a").attach()
        assert successor.up


def test_after_the_cool_down_the_name_can_be_taken_again(bench: Bench) -> None:
    present = take_over(bench, 3)
    for _ in range(30):
        bench.advance(1.0)
        present.ping()
    assert Peer(bench, "server:a").attach().up
    bench.advance(0.1)
    assert present.errors == [ErrorNumber.FENCED]


def test_a_process_that_is_dead_keeps_no_name(bench: Bench) -> None:
    dead = take_over(bench, 3)
    dead.cut()
    # Nobody knows yet that it is dead; the refusal finds it out.
    successor = Peer(bench, "server:a").attach()
    assert successor.errors == [ErrorNumber.COOLING_DOWN]
    assert successor.attach().up


def test_a_process_that_is_silent_keeps_no_name(bench: Bench) -> None:
    take_over(bench, 3)
    bench.advance(3.0)
    assert Peer(bench, "server:a").attach().up


def test_a_fenced_process_is_told_so_all_the_same(bench: Bench) -> None:
    first = Peer(bench, "server:a").attach()
    assert first.welcome is not None
    generation = first.welcome.generation
    take_over(bench, 3).ping()
    first.say_hello(generation=generation)
    bench.turn()
    assert first.errors[-1] == ErrorNumber.FENCED


def test_names_past_a_number_begin_anew(bench: Bench) -> None:
    present = take_over(bench, 3)
    present.ping()
    takeovers = bench.core.hellos._takeovers
    for number in range(NAMES_REMEMBERED):
        takeovers[f"player:{number}"] = takeovers["server:a"]
    victim = Peer(bench, "player:x").attach()
    Peer(bench, "player:x").attach()
    assert victim.errors == [ErrorNumber.FENCED]
    assert set(takeovers) == {"player:x"}


# Other lanes


def test_a_lane_comes_with_the_token_of_an_attachment_that_is_there(bench: Bench) -> None:
    peer = Peer(bench, "server:a").attach()
    again = Peer(bench, "server:b")
    again.say_hello()
    bench.turn()
    again.say_lane_hello(Lane.LOW, token=b"unknown")
    bench.turn()
    assert again.errors == [ErrorNumber.NO_SESSION]
    assert peer.up


def test_the_default_limits_let_a_swarm_on_one_machine_in() -> None:
    limits = Config().limits
    assert limits.hellos_burst >= 2 * 1000
    assert limits.attachments_per_address >= 1000


@pytest.mark.parametrize("address", ["", "10.0.0.1"])
def test_hellos_are_counted_wherever_they_come_from(address: str) -> None:
    bench = limited(hellos_per_s=1.0, hellos_burst=1)
    bench.address = address
    Peer(bench, "player:1").attach()
    assert Peer(bench, "player:2").attach().errors == [ErrorNumber.BUSY]
