"""What the demo makes of a broker's answers and its children's reports: figures and the picture."""

import io

import pytest
from rich.console import Console
from tests.cli.demo_samples import gathered, peers, report, status, unit

from lanebus.cli.demo_fault import FaultFigures, State
from lanebus.cli.demo_figures import Figures, Gatherer, Saving
from lanebus.cli.demo_reports import FloodCounts, Silence
from lanebus.cli.demo_screen import line, news_of_faults, screen
from lanebus.wire.lanes import LANES, Lane

# The figures.


def test_rates_need_two_samples() -> None:
    figures = gathered(1.0).figures(1.0, 30.0)
    assert {lane.events_in_per_s for lane in figures.lanes} == {None}
    assert figures.broker_cpu is None
    assert figures.players[0].events_per_s is None


def test_rates_are_those_of_the_last_while() -> None:
    gatherer = gathered(1.0, 2.0, 3.0, 4.0)
    gatherer.add_status(5.0, status(4.0))
    gatherer.add_status(6.0, status(4.0))
    figures = gatherer.figures(6.0, 30.0)
    assert figures.lanes[Lane.NORMAL].events_in_per_s == 0.0


def test_rates_of_steady_traffic() -> None:
    figures = gathered(1.0, 2.0, 3.0).figures(3.0, 30.0)
    lane = figures.lanes[Lane.CRITICAL]
    assert lane.events_in_per_s == pytest.approx(100)
    assert lane.events_out_per_s == pytest.approx(1000)
    assert lane.batches_in_per_s == pytest.approx(20)
    assert lane.batches_out_per_s == pytest.approx(100)
    assert figures.broker_cpu == pytest.approx(0.25)
    assert figures.players[0].events_per_s == pytest.approx(110)


def test_savings_count_control_messages_against_batching() -> None:
    gatherer = gathered(1.0)
    messages = gatherer.messages()
    assert messages.without == 3 * (100 + 1000)
    assert messages.actual == 3 * (20 + 100) + 2 * 100
    assert messages.share == pytest.approx(1 - 560 / 3300)
    sizes = gatherer.bytes()
    assert sizes.without == 3 * 1100 * 90
    assert sizes.actual == 3 * 1100 * 30 + 2 * 1000


def test_nothing_saved_of_nothing() -> None:
    assert Saving(without=0, actual=0).share is None


def test_latencies_of_server_and_bots_count_together() -> None:
    gatherer = gathered(1.0)
    gatherer.add_server(1.1, report(latencies_ms=[1.0] * 50))
    gatherer.add_bots(1.1, report(latencies_ms=[9.0] * 51))
    figures = gatherer.figures(1.1, 30.0)
    for lane in figures.lanes:
        assert lane.p50_ms == pytest.approx(9.0, rel=0.07)
    assert [histogram.count for histogram in gatherer.latency] == [101] * len(LANES)


def test_the_screen_forgets_old_latencies_and_the_report_does_not() -> None:
    gatherer = gathered(1.0)
    gatherer.add_bots(1.1, report(latencies_ms=[9.0] * 10))
    gatherer.add_bots(8.0, report(latencies_ms=[2.0] * 10))
    assert gatherer.figures(8.0, 30.0).lanes[0].p99_ms == pytest.approx(2.0, rel=0.07)
    assert gatherer.latency[0].quantile_us(0.99) == pytest.approx(9000, rel=0.07)


def test_a_beginning_forgets_what_was_before() -> None:
    gatherer = gathered(1.0, 2.0)
    gatherer.add_bots(2.0, report(latencies_ms=[900.0]))
    gatherer.begin()
    assert gatherer.latency[0].count == 0
    assert gatherer.figures(2.0, 30.0).lanes[0].p99_ms is None
    gatherer.add_server(3.0, report(ticks=90))
    assert gatherer.tick_rate() == pytest.approx(30.0)


def test_figures_go_on_where_another_broker_begins_its_own() -> None:
    gatherer = gathered(1.0, 2.0)
    before = gatherer.messages()
    gatherer.add_status(3.0, status(0.5, epoch="e2"))
    assert gatherer.restarts == 1
    assert gatherer.messages().without == before.without + 3 * (50 + 500)
    assert gatherer.cpu_share() == pytest.approx((2.0 + 0.5) * 0.25 / (3.0 + 1.5))
    assert gatherer.figures(3.0, 30.0).lanes[Lane.NORMAL].events_in_per_s is None
    gatherer.add_status(4.0, status(1.5, epoch="e2"))
    assert gatherer.figures(4.0, 30.0).lanes[Lane.NORMAL].events_in_per_s == pytest.approx(100)


def test_what_comes_during_a_fault_is_not_among_the_calm_latencies() -> None:
    gatherer = gathered(1.0)
    gatherer.add_bots(1.1, report(latencies_ms=[2.0]))
    gatherer.is_disturbed = True
    gatherer.add_bots(1.2, report(latencies_ms=[2000.0]))
    gatherer.is_disturbed = False
    gatherer.add_bots(1.3, report(latencies_ms=[3.0]))
    assert gatherer.latency[0].count == 3
    assert gatherer.calm_latency[0].count == 2
    assert gatherer.calm_latency[0].max_us < 4000


def test_processes_of_bots_count_together() -> None:
    gatherer = gathered(1.0)
    gatherer.add_bots(1.0, report(connected=5, in_flight=7, resent=2, late_s=3.0, witness="player:ivy"))
    gatherer.add_bots(1.0, report(connected=1, in_flight=1, resent=1, late_s=4.0), "one")
    assert (gatherer.connected, gatherer.in_flight, gatherer.resent, gatherer.late_s) == (6, 8, 3, 4.0)


def test_silences_are_taken_once() -> None:
    gatherer = gathered(1.0)
    silence = Silence("player:ivy", 1.0, 2.0)
    gatherer.add_bots(2.0, report(silences=[silence]))
    assert gatherer.take_silences() == [silence]
    assert gatherer.take_silences() == []


def test_without_reports_there_is_no_tick_rate() -> None:
    assert Gatherer().tick_rate() == 0.0


def test_books_add_up_over_both_sides() -> None:
    gatherer = Gatherer()
    gatherer.add_server(
        1.0, report(accepted=100, delivered=98, unsettled={"low arena.chat: refused nobody": 2})
    )
    gatherer.add_bots(1.0, report(accepted=10, delivered=9, unsettled={"low arena.chat: refused nobody": 1}))
    assert [(book.accepted, book.in_flight) for book in gatherer.sent()] == [(110, 3)] * len(LANES)
    assert gatherer.in_flight == 9
    assert gatherer.unsettled() == {"low arena.chat: refused nobody": 3}


def test_players_are_ranked_and_joined_with_what_the_broker_knows() -> None:
    first, second = gathered(1.0, 2.0).players()
    assert (first.name, first.score, first.rtt_ms, first.quality) == ("rook", 90, 0.42, "excellent")
    assert second.name == "ivy"


def test_a_player_unknown_to_the_broker_is_shown_all_the_same() -> None:
    gatherer = gathered(1.0)
    gatherer.add_server(2.0, report(units=[unit("nemo", 5)]))
    (player,) = gatherer.players()
    assert (player.rtt_ms, player.quality, player.events_per_s) == (None, "", None)


def test_news_are_kept_in_order() -> None:
    assert gathered(1.0, 2.0).figures(2.0, 30.0).news == ["news at 1", "news at 2"]


def test_the_others_of_a_flood_are_not_in_its_process() -> None:
    gatherer = gathered(1.0)
    gatherer.flooder = "the process of koda"
    gatherer.begin()
    gatherer.add_bots(1.1, report(latencies_ms=[2.0] * 10))
    gatherer.add_bots(1.1, report(latencies_ms=[90.0]), gatherer.flooder)
    gatherer.is_disturbed = gatherer.is_flooded = True
    gatherer.add_server(1.2, report(latencies_ms=[3.0] * 10))
    gatherer.add_bots(1.2, report(latencies_ms=[90.0]), gatherer.flooder)
    gatherer.is_flooded = False
    gatherer.add_server(1.3, report(latencies_ms=[900.0]))
    seen = gatherer.flood("player:koda")
    assert seen.calm_p99_ms == pytest.approx(2.0, rel=0.07)
    assert seen.p99_ms == pytest.approx(3.0, rel=0.07)


def test_a_flood_is_put_together_from_both_ends() -> None:
    gatherer = gathered(1.0)
    assert gatherer.flood("player:ivy").counts == FloodCounts()
    gatherer.flooder = "the process of ivy"
    sent = FloodCounts(tried=900, sent=80, held=20)
    gatherer.add_bots(1.1, report(flood=sent), gatherer.flooder)
    gatherer.add_server(1.1, report(flood=FloodCounts(handled=60, last_s=1.05, longest_wait_ms=70.0)))
    held = [{"lane": "normal", "limit": "up_bytes_per_s", "wait_s": 0.2}]
    gatherer.add_peers(1.2, [{**peers(1.2, ["ivy"])[0], "throttled": held}])
    seen = gatherer.flood("player:ivy")
    assert seen.limit == "up_bytes_per_s"
    assert seen.counts == FloodCounts(
        tried=900, sent=80, held=20, handled=60, last_s=1.05, longest_wait_ms=70.0
    )


# The picture.


FAULTS = (
    FaultFigures(
        state=State.OVER,
        text="bot22 flooded 4.0 s, all 651 handled; others' critical p99 10.8 ms (was 9.6)",
        deed="bot22 stops flooding, 140 events held back",
    ),
    FaultFigures(
        state=State.OVER,
        text="bot23 was stopped for 4.0 s: 2,311 events waited, caught up in 310 ms",
        deed="bot23 may go on (SIGCONT)",
    ),
    FaultFigures(
        state=State.ACTIVE,
        text="broker killed (SIGKILL) 0.8 s ago: senders keep 1,145 events for it",
        deed="the broker is killed (SIGKILL)",
    ),
)


def crowd(players: int, faults: tuple[FaultFigures, ...] = ()) -> Figures:
    """Figures in the middle of a match of so many players."""
    gatherer = gathered(1.0, 2.0)
    units = [unit(f"bot{index}", 10 * index, health=index * 7 % 101) for index in range(players)]
    news = ["bot1 shot bot2", "bot2: \x1b[31mlucky shot, bot1"]
    gatherer.add_server(2.5, report(units=units, tick_rate=29.9, shots=[(1, 1.0, 1.0), (1, 60.0, 30.0)]))
    gatherer.add_bots(2.5, report(connected=players, latencies_ms=[0.25, 3.0, 250.0], news=news))
    return gatherer.figures(12.0, 30.0, faults, 0.8 if faults else None)


def drawn(figures: Figures, width: int, height: int) -> list[str]:
    """The picture's rows as text."""
    stream = io.StringIO()
    Console(file=stream, width=width, height=height).print(screen(figures, width, height))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("size", [(100, 35), (80, 24), (200, 60), (120, 20)])
@pytest.mark.parametrize("players", [0, 1, 24, 60])
@pytest.mark.parametrize("faults", [(), FAULTS], ids=["calm", "hurt"])
def test_the_picture_fits_its_terminal(
    size: tuple[int, int], players: int, faults: tuple[FaultFigures, ...]
) -> None:
    rows = drawn(crowd(players, faults), *size)
    assert len(rows) <= size[1]
    assert max(map(len, rows)) <= size[0]
    assert "…" not in "".join(rows)


def test_everybody_stands_on_a_screen_of_100_by_39() -> None:
    text = "\n".join(drawn(crowd(24, FAULTS), 100, 39))
    assert all(f" bot{index} " in text for index in range(24))
    assert "more" not in text


def test_a_smaller_screen_says_how_many_it_leaves_out() -> None:
    text = "\n".join(drawn(crowd(24, FAULTS), 80, 24))
    assert " bot23 " in text
    assert "+ 13 more" in text


def test_a_dead_broker_has_no_rates_and_the_counts_stay() -> None:
    rows = drawn(crowd(24, FAULTS), 80, 24)
    assert "broker DEAD 0.8 s" in rows[0]
    assert "…" not in rows[0]
    (critical,) = (row for row in rows if row.strip().startswith("critical"))
    assert critical.split()[1:5] == ["-"] * 4
    assert any("0 events sent" in row for row in rows)
    assert any("✗ broker killed (SIGKILL) 0.8 s ago: senders keep 1,145 events" in row for row in rows)
    assert any("✓ bot23 was stopped for 4.0 s" in row for row in rows)


def test_a_player_for_whom_much_waits_is_shown_with_it() -> None:
    gatherer = gathered(1.0, 2.0)
    gatherer.add_peers(2.1, [{**peers(2.1, ["ivy"])[0], "queued_events": 1200, "unsettled_events": 34}])
    assert any("1,234 wait" in row for row in drawn(gatherer.figures(2.1, 30.0), 80, 24))


def flooding(players: int) -> Figures:
    """Figures in the middle of a match in which the player with the fewest points is throttled."""
    gatherer = gathered(1.0, 2.0)
    units = [unit(f"bot{index}", 10 * index) for index in range(players)]
    gatherer.add_server(2.5, report(units=units))
    held = [{"lane": "normal", "limit": "events_per_s", "wait_s": 0.2}]
    gatherer.add_peers(2.6, [{**peers(2.6, ["bot0"])[0], "throttled": held}])
    return gatherer.figures(5.0, 30.0)


def test_a_player_that_is_throttled_is_shown_with_its_limit_where_there_is_room() -> None:
    (row,) = (row for row in drawn(flooding(3), 80, 24) if " bot0 " in row)
    assert "THROTTLED events_per_s" in row
    (row,) = (row for row in drawn(flooding(3), 100, 39) if " bot0 " in row)
    assert "THROTTLED" in row
    assert "events_per_s" not in row


def test_a_player_in_trouble_is_shown_though_others_are_left_out() -> None:
    rows = drawn(flooding(60), 80, 24)
    (row,) = (row for row in rows if " bot0 " in row)
    assert row.split()[0] == "60"
    assert " bot59 " in "".join(rows)
    assert len(rows) <= 24
    shown = sum(" bot" in row for row in rows)
    assert f"+ {60 - shown} more" in rows[-1]


def test_lines_tell_of_each_step_of_a_fault_once() -> None:
    coming = tuple(FaultFigures(state=State.COMING, text="soon", deed="") for _ in FAULTS)
    quiet, hurt = crowd(3, coming), crowd(3, FAULTS)
    assert news_of_faults(None, quiet) == []
    assert news_of_faults(quiet, hurt) == [
        f" 12 s  ! {FAULTS[0].text}",
        f" 12 s  ! {FAULTS[1].text}",
        " 12 s  ! the broker is killed (SIGKILL)",
    ]
    assert news_of_faults(hurt, hurt) == []
    assert news_of_faults(None, crowd(3)) == []


def test_columns_stand_under_each_other() -> None:
    rows = drawn(crowd(3), 80, 24)
    (names,) = (row for row in rows if "p50" in row)
    for lane in LANES:
        (row,) = (row for row in rows if row.strip().startswith(lane.label))
        assert len(row.rstrip()) == len(names.rstrip())


def test_control_characters_of_a_chat_do_not_reach_the_terminal() -> None:
    text = "\n".join(drawn(crowd(3), 100, 35))
    assert "\x1b" not in text
    assert "bot2: \\x1b[31mlucky" in text


def test_the_arena_shows_players_shots_and_news() -> None:
    text = "\n".join(drawn(crowd(3), 100, 35))
    assert "★" in text
    assert "bot1 shot bot2" in text


@pytest.mark.parametrize(
    ("elapsed_s", "words"), [(None, "starting"), (0.0, "30 s left"), (29.9, "1 s left"), (30.0, "settling")]
)
def test_the_header_says_how_far_the_match_is(elapsed_s: float | None, words: str) -> None:
    figures = gathered(1.0).figures(elapsed_s, 30.0)
    assert words in drawn(figures, 80, 24)[0]


def test_of_many_rooms_the_one_is_shown_that_the_news_come_from() -> None:
    gatherer = gathered(1.0)
    units = [unit("ivy", 5, room=2), unit("rook", 9, room=1)]
    gatherer.add_server(2.0, report(units=units, shots=[(1, 2.0, 3.0), (2, 4.0, 5.0)]))
    gatherer.add_bots(2.0, report(witness="player:ivy"))
    figures = gatherer.figures(2.0, 30.0)
    assert (figures.room, figures.rooms, figures.shots) == (2, 2, [(4.0, 5.0)])
    text = "\n".join(drawn(figures, 100, 35))
    assert " room 2 of 2 " in text
    assert text.count("★") == 1
    assert "●" not in text


def test_the_line_holds_the_figures() -> None:
    text = line(crowd(24))
    assert "24 players  29.9 ticks/s" in text
    assert "critical 3.1/244 ms" in text or "critical 3.0/250 ms" in text or "critical 2.9" in text
    assert "\n" not in text
    assert line(gathered(1.0).figures(None, 30.0)).startswith("start  ")
