"""The driver under every adapter, against a real broker."""

import socket as plain
import time

import pytest
from tests.adapters.real import RunningBroker, quick_sessions, until

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.errors import Closed, HelloRefused, NotConnected
from lanebus.adapters.event import Event, Receipt
from lanebus.adapters.server import ServerAdapter
from lanebus.conf.model import Config, LimitsConfig
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason

DEADLINE_S = 20.0


def nobody() -> str:
    """An address at which nobody listens."""
    with plain.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


# Connecting and closing


def test_an_adapter_goes_from_new_to_up_to_closed(broker: RunningBroker) -> None:
    adapter = ServerAdapter("a", broker=broker.address)
    assert (adapter.state, adapter.rtt_ms) == ("new", None)
    adapter.start()
    adapter.start()
    assert adapter.state == "connecting"
    adapter.connect()
    assert adapter.state == "up"
    assert repr(adapter) == "<ServerAdapter server:a up, 0 in flight>"
    until(lambda: adapter.rtt_ms is not None, adapter, what="a round trip is measured")
    assert adapter.rtt_ms is not None
    assert 0 < adapter.rtt_ms < 1000
    assert adapter.close() == 0
    assert adapter.state == "closed"
    with pytest.raises(Closed, match="server:a is closed"):
        adapter.poll()


def test_a_connect_to_nobody_raises_in_time_and_closes_the_adapter() -> None:
    adapter = ServerAdapter("a", broker=[nobody(), nobody()])
    ends: list[tuple[Outcome, Reason]] = []
    adapter.on_unsettled(lambda each: ends.append((each.outcome, each.reason)))
    adapter.send("t", to="all")
    began = time.monotonic()
    with pytest.raises(NotConnected, match=r"no broker took server:a in within 0\.3 s: tcp://.*; tcp://.*"):
        adapter.connect(timeout_s=0.3)
    assert 0.3 <= time.monotonic() - began < 2.0
    assert adapter.state == "closed"
    assert ends == [(Outcome.UNKNOWN, Reason.CLOSED)]
    assert adapter.open_sockets() == []


def test_a_closed_adapter_stays_closed_and_says_so_at_once(broker: RunningBroker) -> None:
    adapter = ServerAdapter("a", broker=nobody())
    with pytest.raises(NotConnected):
        adapter.connect(timeout_s=0.1)
    began = time.monotonic()
    with pytest.raises(Closed):
        adapter.connect()
    assert time.monotonic() - began < 1.0
    # Whoever drives it all the same does not bring it back.
    for _ in range(20):
        adapter.turn(time.monotonic())
    assert adapter.state == "closed"
    assert adapter.open_sockets() == []


def test_a_connect_takes_the_next_broker_of_its_list(broker: RunningBroker) -> None:
    with ServerAdapter("a", broker=[nobody(), broker.address]) as adapter:
        assert adapter.state == "up"


def test_a_broker_without_room_refuses_the_hello_in_the_end() -> None:
    with (
        RunningBroker(Config(limits=LimitsConfig(attachments=1))) as broker,
        ServerAdapter("a", broker=broker.address),
    ):
        adapter = ServerAdapter("b", broker=broker.address)
        with pytest.raises(HelloRefused, match="attachments") as caught:
            adapter.connect(timeout_s=DEADLINE_S)
        assert caught.value.number == 304
        with pytest.raises(HelloRefused):
            adapter.poll()
        assert adapter.close() == 0


def test_a_newer_process_of_the_same_name_fences_the_older_one_for_good(broker: RunningBroker) -> None:
    older = ServerAdapter("a", broker=broker.address)
    older.connect()
    ends: list[Reason] = []
    older.on_unsettled(lambda each: ends.append(each.reason))
    older.send("t", to="server:a")
    with ServerAdapter("a", broker=broker.address) as newer:
        with pytest.raises(Closed, match="server:a was fenced: a newer process of server:a has taken over"):
            older.wait(DEADLINE_S)
        assert ends == [Reason.FENCED]
        for call in (older.poll, older.wait, older.connect):
            with pytest.raises(Closed, match="was fenced"):
                call()
        with pytest.raises(Closed, match="was fenced"):
            older.send("t", to="all")
        assert older.close() == 0
        newer.wait(0.05)
        assert newer.state == "up"


def test_leaving_the_context_waits_until_everything_is_settled(broker: RunningBroker) -> None:
    got: list[int] = []
    with ServerAdapter("b", broker=broker.address) as receiver:
        receiver.on("t")(lambda event: got.append(event.payload))
        with ServerAdapter("a", broker=broker.address) as sender:
            for number in range(10):
                sender.send("t", number, to="server:a")
            sender.on("t")(lambda event: got.append(event.payload))
        assert got == list(range(10))
        assert sender.book("normal").as_list() == [10, 10, 0, 0, 0, 0, 0]


# Turns


def test_poll_handles_for_about_its_budget(pair: tuple[ServerAdapter, ServerAdapter]) -> None:
    one, other = pair
    got: list[int] = []

    @other.on("t")
    def slow(event: Event) -> None:
        got.append(event.payload)
        time.sleep(0.003)

    for number in range(50):
        one.send("t", number, to="server:b", lane="critical")
    one.flush()
    until(lambda: other.poll(0.0) > 0, one, what="the first event is there")
    until(
        lambda: len(other.core.incoming.arrivals[Lane.CRITICAL]) == 50 - len(got), one, what="all are there"
    )
    assert 1 <= other.poll(budget_ms=6.0) <= 4
    assert other.poll(budget_ms=0.0) == 1
    until(lambda: len(got) == 50, other, what="all are handled")
    assert got == list(range(50))


def test_a_critical_event_that_comes_meanwhile_overtakes_low_ones_within_one_poll(
    pair: tuple[ServerAdapter, ServerAdapter],
) -> None:
    sender, receiver = pair
    handled: list[str] = []
    critical = receiver.open_sockets()[Lane.CRITICAL]

    @receiver.on("low")
    def low(event: Event) -> None:
        handled.append(event.topic)
        if len(handled) == 2:
            sender.send("urgent", to="server:b", lane="critical", flush=True)
            assert critical.poll(int(DEADLINE_S * 1000))
        time.sleep(0.001)

    receiver.on("urgent")(lambda event: handled.append(event.topic))
    for _ in range(100):
        sender.send("low", to="server:b", lane="low")
    sender.flush()
    until(lambda: receiver.poll(0.0) > 0, sender, what="the first of them is handled")
    assert receiver.poll(budget_ms=DEADLINE_S * 1e3) == 100
    assert "urgent" in handled[:50]


def test_wait_ends_at_its_instant_and_handles_until_then(pair: tuple[ServerAdapter, ServerAdapter]) -> None:
    one, other = pair
    got: list[int] = []
    other.on("t")(lambda event: got.append(event.payload))
    one.send("t", 1, to="server:b")
    one.flush()
    tick = time.monotonic() + 0.2
    assert other.wait(until=tick) == 1
    assert tick <= time.monotonic() < tick + 0.1
    began = time.monotonic()
    assert other.wait(10.0, until=began + 0.05) == 0
    assert time.monotonic() - began < 1.0
    assert other.wait(until=began) == 0


def test_wait_without_a_time_ends_with_the_first_event(pair: tuple[ServerAdapter, ServerAdapter]) -> None:
    one, other = pair
    got: list[int] = []
    other.on("t")(lambda event: got.append(event.payload))
    one.send("t", 1, to="server:b", flush=True)
    assert other.wait() == 1
    assert got == [1]


def test_flush_sends_at_once_without_a_turn(pair: tuple[ServerAdapter, ServerAdapter]) -> None:
    one, _ = pair
    for batches in (1, 2, 3):
        one.send("t", to="server:b")
        assert one.stats()["lanes"]["normal"]["batches_out"] == batches - 1
        one.flush()
        assert one.stats()["lanes"]["normal"]["batches_out"] == batches
    one.send("t", to="server:b")
    one.send("t", to="server:b", flush=True)
    stats = one.stats()["lanes"]["normal"]
    assert (stats["batches_out"], stats["events_out"]) == (4, 5)


def test_a_turn_sends_the_first_after_a_quiet_interval_and_then_one_batch_per_interval(
    pair: tuple[ServerAdapter, ServerAdapter],
) -> None:
    one, other = pair
    other.on("t")(lambda event: None)
    one.wait(0.06)
    one.send("t", to="server:b")
    one.poll()
    assert one.stats()["lanes"]["normal"]["batches_out"] == 1
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        one.send("t", to="server:b")
        one.wait(0.002)
        other.poll()
    elapsed_s = time.monotonic() - began
    batches = one.stats()["lanes"]["normal"]["batches_out"]
    # An event is held for 45 ms at the most, and batches are 50 ms apart where that allows it.
    assert batches <= 2 + elapsed_s / 0.044
    assert one.stats()["lanes"]["normal"]["events_out"] > 2 * batches


def test_a_loop_that_polls_rarely_does_not_keep_events_from_one_turn_to_the_next(
    pair: tuple[ServerAdapter, ServerAdapter],
) -> None:
    one, other = pair
    other.on("t")(lambda event: None)
    for _ in range(5):
        one.poll()
        time.sleep(0.03)
    one.send("t", to="server:b", lane="critical")
    one.poll()
    one.send("t", to="server:b", lane="critical")
    one.poll()
    # The interval of 16 ms is not over, but the hold of 12 ms would be at the next turn.
    assert one.stats()["lanes"]["critical"]["batches_out"] == 2


@pytest.mark.patches
def test_an_answer_that_waited_for_the_program_is_no_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanebus.adapters.turns.STALL_S", 0.1)
    with RunningBroker(quick_sessions()) as broker, ServerAdapter("a", broker=broker.address) as adapter:
        for _ in range(6):
            time.sleep(0.15)
            adapter.poll()
        assert adapter.quality.rtt_ms is None
        assert adapter.rtt_ms is not None
        assert adapter.rtt_ms < 100.0, "the welcome came at once"
        until(lambda: adapter.quality.rtt_ms is not None, adapter, what="an answer is measured")
        assert adapter.quality.loss_share in (None, 0.0)


def test_more_frames_than_one_turn_reads_are_read_in_the_next(
    pair: tuple[ServerAdapter, ServerAdapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lanebus.adapters.links._READ_FRAMES", 1)
    one, other = pair
    got: list[int] = []
    other.on("t")(lambda event: got.append(event.payload))
    for number in range(10):
        one.send("t", number, to="server:b", flush=True)
    until(lambda: len(got) == 10, other, one, what="all are handled")
    assert got == list(range(10))


# What becomes of events


def test_a_receipt_follows_its_event_to_its_end(pair: tuple[ServerAdapter, ServerAdapter]) -> None:
    one, other = pair
    receipts = [
        one.send("handled", to="server:b", receipt=True),
        one.send("failing", to="server:b", receipt=True),
        one.send("checked", "no number", to="server:b", receipt=True),
        one.send("t", to="server:nobody", receipt=True),
    ]
    told: list[tuple[str, str]] = []
    one.on_unsettled(lambda each: told.append((each.topic, each.reason)))
    other.on("handled")(lambda event: None)
    other.on("checked", schema=int)(lambda event: None)

    @other.on("failing")
    def fail(event: Event) -> None:
        raise ValueError("a handler that fails")

    until(lambda: not one.in_flight, one, other, what="all are settled")
    states = [receipt.state for receipt in receipts if isinstance(receipt, Receipt)]
    assert states == ["delivered", "refused", "refused", "refused"]
    assert sorted(told) == [
        ("checked", "bad_payload"),
        ("failing", "handler_error"),
        ("t", "unknown_destination"),
    ]
    assert one.book("normal").as_list() == [4, 1, 0, 0, 0, 3, 0]
    assert other.wait(0.01) == 0, "the loop goes on"


def test_a_strict_handler_raises_from_the_turn_and_its_event_is_settled(broker: RunningBroker) -> None:
    with (
        ServerAdapter("a", broker=broker.address) as one,
        ServerAdapter("b", broker=broker.address, strict=True) as other,
    ):
        got: list[int] = []

        @other.on("t")
        def fail(event: Event) -> None:
            if event.payload == 0:
                raise KeyError("a program's mistake")
            got.append(event.payload)

        for number in range(3):
            one.send("t", number, to="server:b")
        one.flush()
        with pytest.raises(KeyError, match="a program's mistake"):
            other.wait(DEADLINE_S)
        until(lambda: not one.in_flight, one, other, what="all are settled")
        assert got == [1, 2]
        assert one.book("normal").as_list() == [3, 2, 0, 0, 0, 1, 0]


def test_events_without_a_handler_come_when_there_is_one_and_in_order(
    pair: tuple[ServerAdapter, ServerAdapter],
) -> None:
    one, other = pair
    for number in range(5):
        one.send("later", number, to="server:b")
    other.on("t")(lambda event: None)
    one.send("t", to="server:b")
    until(lambda: one.in_flight == 5, one, other, what="the one with a handler is settled")
    got: list[int] = []
    other.on("later")(lambda event: got.append(event.payload))
    until(lambda: not one.in_flight, one, other, what="all are settled")
    assert got == list(range(5))


def test_statistics_count_both_directions(pair: tuple[ServerAdapter, ServerAdapter]) -> None:
    one, other = pair
    other.on("t")(lambda event: None)
    for number in range(20):
        one.send("t", number, to="server:b", lane="low")
    until(lambda: not one.in_flight, one, other, what="all are settled")
    sent, received = one.stats()["lanes"]["low"], other.stats()["lanes"]["low"]
    assert sent["events_out"] == received["events_in"] == received["handled"] == 20
    assert (sent["batches_out"], received["batches_in"]) == (1, 1)
    assert 0 < sent["bytes_out"] < sent["unbatched_bytes_out"]
    assert one.stats()["control"]["messages_out"] > 0
    assert one.stats()["control"]["bytes_in"] > 0
    assert one.stats()["reconnects"] == 0


# Outages


def test_a_broker_that_comes_back_on_the_same_ports_finds_everybody_again(broker: RunningBroker) -> None:
    got: list[int] = []
    with (
        ServerAdapter("arena", service="arena", broker=broker.address) as server,
        ServerAdapter("member", broker=broker.address) as member,
        ClientAdapter("1", broker=broker.address) as player,
    ):
        server.on("player.*")(lambda event: got.append(event.payload))
        news: list[int] = []
        member.on("news")(lambda event: news.append(event.payload))
        server.join("room", "server:member")
        until(lambda: not server.requests_pending, server, what="the group is there")
        for number in range(5):
            player.send("player.attack", number)
            server.send("news", number, to="group:room")
        until(
            lambda: not player.in_flight and not server.in_flight,
            player,
            server,
            member,
            what="all is settled",
        )
        broker.stop()
        until(
            lambda: player.state == server.state == member.state == "down",
            player,
            server,
            member,
            what="all know",
        )
        for number in range(5, 10):
            player.send("player.attack", number)
            server.send("news", number, to="group:room")
        broker.come_back()
        # Receivers first: what is sent to a name that is not back yet is refused.
        until(lambda: member.state == "up", member, what="the member is back")
        until(
            lambda: server.state == "up" and not server.requests_pending,
            server,
            what="the server has registered",
        )
        until(
            lambda: not player.in_flight and not server.in_flight,
            player,
            server,
            member,
            what="all is settled",
        )
        assert got == news == list(range(10))
        assert [each.stats()["reconnects"] for each in (player, server, member)] == [1, 1, 1]
        for adapter in (player, server):
            assert adapter.book("normal").as_list() == [10, 10, 0, 0, 0, 0, 0]


def test_what_is_replayed_to_a_new_broker_is_not_handled_twice(broker: RunningBroker) -> None:
    got: list[int] = []
    with (
        ServerAdapter("a", broker=broker.address) as sender,
        ServerAdapter("b", broker=broker.address) as receiver,
    ):
        receiver.on("t")(lambda event: got.append(event.payload))
        for number in range(5):
            sender.send("t", number, to="server:b")
        sender.flush()
        until(lambda: len(got) == 5, receiver, what="all are handled, and their sender does not know it")
        broker.stop()
        broker.come_back()
        until(lambda: receiver.core.connects == 2, receiver, what="the receiver is back")
        until(lambda: not sender.in_flight, sender, receiver, what="all are settled")
        assert got == list(range(5))
        assert sender.book("normal").as_list() == [5, 5, 0, 0, 0, 0, 0]


def test_a_program_that_does_not_poll_for_longer_than_the_lease_is_stalled_and_not_gone() -> None:
    with (
        RunningBroker(quick_sessions()) as broker,
        ServerAdapter("a", broker=broker.address) as sender,
        ServerAdapter("b", broker=broker.address) as sleeper,
    ):
        got: list[int] = []
        sleeper.on("t")(lambda event: got.append(event.payload))
        sender.send("t", 0, to="server:b", flush=True)
        attachment = broker.broker.core.registry.attachments["server:b"]
        until(lambda: attachment.away_since is not None, sender, what="its lease is over")
        for number in range(1, 4):
            sender.send("t", number, to="server:b", flush=True)
        for number in range(20):
            sleeper.send("t", number, to="server:a", flush=True)
        sender.on("t")(lambda event: None)
        until(lambda: not sender.in_flight and not sleeper.in_flight, sender, sleeper, what="all are settled")
        assert got == list(range(4))
        assert sleeper.state == "up"


def test_a_program_that_does_not_poll_for_longer_than_the_grace_period_is_there_and_one_that_died_is_not() -> (
    None
):
    with (
        RunningBroker(quick_sessions(grace_s=0.5)) as broker,
        ServerAdapter("a", broker=broker.address) as sender,
        ServerAdapter("b", broker=broker.address) as sleeper,
    ):
        dead = ServerAdapter("c", broker=broker.address)
        dead.connect()
        got: list[int] = []
        sleeper.on("t")(lambda event: got.append(event.payload))
        attachments = broker.broker.core.registry.attachments
        attachment = attachments["server:b"]
        until(lambda: attachment.stalled is not None, sender, what="it counts as stalled")
        dead.links.hang_up(0.0)
        until(lambda: "server:c" not in attachments, sender, what="the dead one is gone")
        assert attachments["server:b"] is attachment
        for number in range(3):
            sender.send("t", number, to="server:b")
        until(lambda: not sender.in_flight, sender, sleeper, what="all are settled")
        assert got == [0, 1, 2]
        assert attachment.stalled is None
        dead.close(0.0)


def test_a_refused_change_of_state_is_logged(broker: RunningBroker, caplog: pytest.LogCaptureFixture) -> None:
    with ServerAdapter("a", broker=broker.address) as server:
        server.join("room", "player:nobody")
        until(lambda: not server.requests_pending, server, what="the request is answered")
        until(lambda: "was refused" in caplog.text, server, what="the refusal is logged")
        assert "putting player:nobody into group room was refused: no session of player:nobody" in caplog.text
