"""The command `lanebus why`: one verdict for one peer, with what it is made from; and why its sessions ended."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.styles import QUALITY_STYLES
from lanebus.wire.lanes import LANE_NAMES

_SENTENCES: Final = {
    "away": "{} is away",
    "network": "the network of {} is the cause",
    "throttled": "{} is throttled",
    "backlog": "{} has a backlog",
    "shaped": "{} is shaped",
    "refused": "events of {} are refused",
    "handler": "the program of {} is the cause",
    "receiver": "{} waits for somebody else",
    "broker": "the broker is the cause, and not {}",
    "violations": "{} breaks rules",
    "fine": "{} is fine",
}
"""What each cause is, to be followed by what speaks for it."""
_BAD: Final = "bold red"
_MOST_SHARE: Final = 10.0
"""More than ten times what is tolerable is too much, whatever it is."""


@click.command(
    epilog="Causes: away (no connection), network, throttled and shaped (held to a limit), backlog (what waits at "
    "itself, as a sender), handler (its own program), receiver (somebody whom it sends to), refused (with topic and "
    "reason), broker, violations. Behind each stands how much of what is tolerable it takes; from 100 % on it is a "
    "cause. Figures are of the last minute, or of now."
)
@click.argument("peer", metavar="NAME")
@control_options
@output_option
def why(peer: str, server: str, timeout_s: float, output_format: Format) -> None:
    """Say why a peer's events are late or missing, or why its session has ended.

    NAME is a full name such as player:42; a name without a role is a player's. The first line is the verdict; all that
    was found follows, the gravest first, then the sessions of that name that have ended. The broker remembers the last
    10,000 of all names.
    """
    with ControlClient(server, timeout_s=timeout_s) as client:
        result = client.request("why", peer=peer if ":" in peer else f"player:{peer}")
    out = Out(output_format)
    if out.is_json:
        out.json(result)
        return
    name, closed = str(result["name"]), result["closed"]
    if result["session"] is not None:
        show_verdict(out, result)
        if closed:
            out.line()
            out.line(f"Earlier sessions of {name}:")
            _show_table(out, closed)
        return
    last = closed[0]
    ago = out.time(last["ended_ago_s"], unit=True)
    out.line(
        Text.assemble(
            styled(f"{name} is gone", _BAD),
            styled(f": its session ended {ago} ago: {last['reason']}", ""),
        )
    )
    _show_facts(out, _closed_facts(out, last))
    if len(closed) > 1:
        out.line()
        _show_table(out, closed)


def show_verdict(out: Out, result: Mapping[str, Any]) -> None:
    """Print the verdict of a peer that has a session, with what it is made from."""
    name, verdicts, session = str(result["name"]), result["verdicts"], result["session"]
    first = verdicts[0]
    style = "bold green" if first["cause"] == "fine" else _BAD
    sentence = _SENTENCES.get(first["cause"], "{}: " + str(first["cause"])).format(name)
    out.line(Text.assemble(styled(sentence, style), styled(f": {first['text']}", "")))
    via = f", via {session['via']}" if session["via"] else ""
    out.line(f"  {session['role']}, its session began {out.time(session['connected_s'], unit=True)} ago{via}")
    found = [verdict for verdict in verdicts if verdict["cause"] != "fine"]
    if len(found) < len(verdicts) or len(found) > 1:
        _show_causes(out, found)


def _show_causes(out: Out, found: Sequence[Mapping[str, Any]]) -> None:
    # Lines and no table: a table would cut the evidence where it is too long for the terminal.
    for verdict in found:
        style = _BAD if verdict["share"] >= 1.0 else "yellow"
        share = f"{verdict['share']:.0%}" if verdict["share"] < _MOST_SHARE else ">999%"
        head = f"  {verdict['cause']:<11}{share:>6}  "
        out.line(Text.assemble(styled(head, style), styled(str(verdict["text"]), "")))


def _closed_facts(out: Out, last: Mapping[str, Any]) -> list[tuple[str, str]]:
    via = f", via {last['via']}" if last["via"] else ""
    facts = [("lasted", f"{out.time(last['lasted_s'], unit=True)}, as a {last['role']}{via}")]
    if last["lost_reason"]:
        before = f", {out.time(last['away_s'], unit=True)} before its end" if last["away_s"] else ""
        facts.append(("links lost", f"{last['lost_reason']}{before}"))
    rtt = "" if last["rtt_ms"] is None else f", last round trip {out.ms(last['rtt_ms'])} ms"
    reason = f" ({last['quality_reason']})" if last["quality_reason"] else ""
    longest = out.time(last["longest_outage_s"], unit=True)
    facts += [
        ("connection", f"{last['quality']}{reason}{rtt}"),
        (
            "outages",
            f"{out.count(last['outages'])}, the longest {longest}; {out.things(last['resumes'], 'reconnect')}",
        ),
        ("sent", _sent(out, last)),
        ("got", _got(out, last)),
    ]
    return facts


def _sent(out: Out, last: Mapping[str, Any]) -> str:
    books = [last["books"][lane] for lane in LANE_NAMES]
    in_flight = sum(book["in_flight"] for book in books)
    ends = [
        f"{out.count(sum(book['delivered'] for book in books))} delivered",
        *(f"{out.count(count)} {reason}" for reason, count in last["reasons"].items()),
        *([f"{out.count(in_flight)} still under way"] if in_flight else []),
    ]
    return f"{out.things(last['events_in'], 'event')}, {out.size(last['bytes_in'], unit=True)}: {', '.join(ends)}"


def _got(out: Out, last: Mapping[str, Any]) -> str:
    extra = []
    if last["resent"]:
        extra.append(f"{out.count(last['resent'])} again")
    if last["dropped"]:
        extra.append(f"{out.count(last['dropped'])} dropped")
    if last["held_bytes"]:
        age = out.time(last["oldest_age_s"], unit=True)
        oldest = f", the oldest for {age}" if last["oldest_age_s"] else ""
        extra.append(f"{out.size(last['held_bytes'], unit=True)} not settled{oldest}")
    head = f"{out.things(last['events_out'], 'part')}, {out.size(last['bytes_out'], unit=True)}"
    return f"{head}: {', '.join(extra)}" if extra else head


def _show_facts(out: Out, facts: Sequence[tuple[str, str]]) -> None:
    for name, value in facts:
        out.fact(name, value)


def _show_table(out: Out, closed: Sequence[Mapping[str, Any]]) -> None:
    table = new_table(["ENDED", "LASTED", "VIA", "CONNECTION", "SENT", "GOT", "REASON"], text_columns=7)
    for each in closed:
        quality = str(each["quality"])
        lost = f" ({each['lost_reason']})" if each["lost_reason"] and each["away_s"] else ""
        row: list[str | Text] = [
            f"{out.time(each['ended_ago_s'])} ago",
            out.time(each["lasted_s"]),
            str(each["via"] or "-"),
            styled(quality, QUALITY_STYLES.get(quality, "")),
            out.count(each["events_in"]),
            out.count(each["events_out"]),
            f"{each['reason']}{lost}",
        ]
        add_rows(table, [row])
    out.table(table)
