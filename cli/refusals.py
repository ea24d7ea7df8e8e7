"""Lines about what is refused, for all commands that show it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from lanebus.cli.output import Out, styled

MOST_SHOWN: Final = 5
"""Topics that are named; JSON has all that the broker remembers."""
_LATELY_S: Final = 60.0
"""What is older is no news."""


def show_refusals(
    out: Out, refused: Sequence[Mapping[str, Any]], unhandled: Sequence[Mapping[str, Any]]
) -> None:
    """Print a line for each topic that was refused, and for each that waits for a handler."""
    for row in refused[:MOST_SHOWN]:
        style = "bold red" if row["last_ago_s"] <= _LATELY_S else "yellow"
        out.line(Text.assemble(styled("refused: ", style), styled(refusal_text(out, row), "")))
    for row in unhandled[:MOST_SHOWN]:
        text = f"{out.things(row['events'], 'event')} of {row['topic']} from {row['sender']} at {row['receiver']}"
        out.line(Text.assemble(styled("no handler: ", "bold yellow"), styled(text, "")))


def refusal_text(out: Out, row: Mapping[str, Any]) -> str:
    """What was refused, of whom, by whom, why and when."""
    sender = f" from {row['sender']}" if row["sender"] else ""
    to = f" to {row['receiver']}" if row["receiver"] else ""
    ago = out.time(row["last_ago_s"], unit=True)
    return f"{out.things(row['count'], 'event')} of {row['topic']}{sender}{to}: {row['reason']}, {ago} ago"
