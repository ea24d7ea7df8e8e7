"""Lines about what is refused."""

import io

from lanebus.cli.output import Out
from lanebus.cli.refusals import MOST_SHOWN, refusal_text, show_refusals

ROW = {
    "topic": "wave",
    "reason": "no_handler",
    "sender": "player:1",
    "receiver": "server:a",
    "count": 1,
    "last_ago_s": 3.0,
}


def test_a_refusal_says_who_sent_what_to_whom_and_why() -> None:
    out = Out("table", io.StringIO())
    assert refusal_text(out, ROW) == "1 event of wave from player:1 to server:a: no_handler, 3.000 s ago"
    nobody = ROW | {"receiver": "", "count": 2_000, "reason": "no_service"}
    assert refusal_text(out, nobody) == "2000 events of wave from player:1: no_service, 3.000 s ago"


def test_the_first_few_are_shown_and_what_waits_for_a_handler() -> None:
    stream = io.StringIO()
    waits = {"receiver": "server:a", "sender": "player:2", "topic": "nod", "events": 3}
    show_refusals(Out("table", stream), [ROW] * (MOST_SHOWN + 1), [waits])
    lines = stream.getvalue().splitlines()
    assert len(lines) == MOST_SHOWN + 1
    assert lines[-1] == "no handler: 3 events of nod from player:2 at server:a"
