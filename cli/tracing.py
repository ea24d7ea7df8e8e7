"""The command `lanebus trace`: what travels between the broker and one peer, as it happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click
import msgspec
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.exits import CliError
from lanebus.cli.output import Format, Out, output_option, styled
from lanebus.cli.seconds import between
from lanebus.cli.styles import LANE_STYLES

POLL_S: Final = 0.1
"""Time between two questions while there is little to tell."""
MOST_S: Final = 86_400.0

_MARK_STYLES: Final = {"<": "cyan", ">": "green", "=": "bold", "!": "bold red"}
_HEX_BYTES: Final = 64

Line = Mapping[str, Any]


@click.command(
    epilog="< comes from the peer, > goes to it, = is a state, ! an error; times are seconds since the trace began. A "
    "batch has its number, its events with their topics, the size of its frame, and the age of its oldest event since "
    "it was sent; behind a gateway, the peer's own events and their size alone. At most four traces are on at once. A "
    "trace costs the broker a second look at each frame of the peer, and nothing once it is over."
)
@click.argument("peer", metavar="NAME")
@click.option(
    "--for",
    "for_s",
    callback=between(0.1, MOST_S),
    default="30s",
    show_default=True,
    metavar="TIME",
    help="How long: 30s, 5m, 1h.",
)
@click.option("--payloads", is_flag=True, help="Also show what events carry, at most 1 KiB of each.")
@control_options
@output_option
def trace(
    peer: str, for_s: float, payloads: bool, server: str, timeout_s: float, output_format: Format
) -> None:
    """Follow every frame and change of state of one peer, until Ctrl-C or the end of --for.

    NAME is a full name such as player:42; a name without a role is a player's. It need not be attached yet. With
    -o json each line is an object.
    """
    out = Out(output_format)
    tally = Tally()
    full_name = peer if ":" in peer else f"player:{peer}"
    with ControlClient(server, timeout_s=timeout_s) as client:
        try:
            for line in follow(client, full_name, for_s, payloads=payloads):
                tally.count(line)
                if out.is_json:
                    out.json_line(plain(line))
                else:
                    show(out, line)
        finally:
            # The first line says how the peer is when the trace begins; without it there was no trace.
            if tally.lines and not out.is_json:
                click.echo(tally.text(out), err=True)


def follow(
    client: ControlClient,
    peer: str,
    for_s: float,
    *,
    payloads: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:
    """The lines of a trace as the broker writes them, and one of its own where some were lost.

    Raises:
        CliError: as `ControlClient.request`; a broker that ends takes the trace with it.
    """
    until = clock() + for_s
    number = client.request("trace", peer=peer, payloads=payloads)["trace"]
    try:
        while True:
            # Asked once more at the end: what came in the last moment belongs to it.
            is_last = clock() >= until
            answer = client.request("trace_read", trace=number)
            if answer["lost"]:
                text = f"{answer['lost']} lines lost: more happened than could be read"
                yield {"at_s": None, "mark": "!", "what": "trace", "text": text, "lost": answer["lost"]}
            yield from answer["lines"]
            if is_last:
                return
            if not answer["left"]:
                sleep(min(POLL_S, max(0.0, until - clock())))
    finally:
        with contextlib.suppress(CliError):
            client.request("trace_end", trace=number)


class Tally:
    """What a trace has shown, summed."""

    def __init__(self) -> None:
        self._frames = {"<": 0, ">": 0}
        self._bytes = {"<": 0, ">": 0}
        self._lost = 0
        self.lines = 0

    def count(self, line: Line) -> None:
        """Count one line."""
        self.lines += 1
        mark = line["mark"]
        if mark in self._frames:
            self._frames[mark] += 1
            self._bytes[mark] += line["bytes"]
        self._lost += line.get("lost", 0)

    def text(self, out: Out) -> str:
        """All of it in one line."""
        came, went = (
            f"{out.things(self._frames[mark], 'frame')} {way} ({out.size(self._bytes[mark], unit=True)})"
            for mark, way in (("<", "in"), (">", "out"))
        )
        lost = f", {out.things(self._lost, 'line')} lost" if self._lost else ""
        return f"{came}, {went}{lost}"


def show(out: Out, line: Line) -> None:
    """Write one line for people, and one for each payload."""
    at = "" if line["at_s"] is None else f"{line['at_s']:.4f}"
    lane = str(line.get("lane", ""))
    events, age_ms = line.get("events"), line.get("age_ms")
    figures = [
        f"#{line['number']}" if events else "",
        f"{events} ev" if events else "",
        out.size(line["bytes"]) if "bytes" in line else "",
        f"{age_ms:.1f} ms" if age_ms is not None else "",
    ]
    widths = (6, 6, 8, 9)
    style = _MARK_STYLES[line["mark"]]
    out.row(
        Text.assemble(
            styled(f"{at:>9} ", "dim"),
            styled(f"{line['mark']} {line['what']:<9}", style),
            styled(f"{lane:<9}", LANE_STYLES.get(lane, "")),
            styled("".join(f" {each:>{width}}" for each, width in zip(figures, widths, strict=True)), ""),
            styled(f"  {line['text']}", ""),
        )
    )
    for topic, size_bytes, beginning in line.get("payloads", ()):
        text = f"{'':>12}{topic} {out.size(size_bytes, unit=True)}  {payload_text(size_bytes, beginning)}"
        out.row(styled(text, "dim"))


def payload_text(size_bytes: int, beginning: bytes) -> str:
    """A payload as JSON where it is MessagePack and whole, else its first bytes in hexadecimal."""
    if len(beginning) == size_bytes:
        try:
            return msgspec.json.encode(msgspec.msgpack.decode(beginning)).decode()
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
            pass
    return f"{beginning[:_HEX_BYTES].hex(' ')}{' ...' if size_bytes > _HEX_BYTES else ''}"


def plain(line: Line) -> Line:
    """A line as JSON can hold it: payloads as text."""
    if "payloads" not in line:
        return line
    payloads = [
        {"topic": topic, "bytes": size_bytes, "payload": payload_text(size_bytes, beginning)}
        for topic, size_bytes, beginning in line["payloads"]
    ]
    return {**line, "payloads": payloads}
