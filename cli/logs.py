"""What a process of the command logs to standard error: text for people and the journal, or JSON for shippers."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Final, Literal, TextIO

from lanebus.cli.text import escape

_JOURNAL_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)
"""The least severe level of each of syslog's priorities."""


class TextFormatter(logging.Formatter):
    """One record a line: `12:30:01.250 info broker: text`; for the journal `<6>broker: text`."""

    def __init__(self, *, journal: bool) -> None:
        """Write for the journal, which stamps lines itself and reads their priority from a prefix, or for people."""
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The record's line; a traceback follows on lines of its own."""
        source = record.name.removeprefix("lanebus.")
        body = f"{source}: {escape(record.getMessage())}"
        if self._journal:
            prefix = f"<{_priority(record.levelno)}>"
        else:
            stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
            prefix = f"{stamp}.{int(record.msecs):03d} {record.levelname.lower()} "
        lines = [body]
        if record.exc_info:
            lines += [escape(line) for line in self.formatException(record.exc_info).splitlines()]
        return "\n".join(prefix + line for line in lines)


class JsonFormatter(logging.Formatter):
    """One record a line, as an object: `time` (seconds since 1970), `level`, `logger`, `message`, `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        fields: dict[str, object] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_up_logging(
    level: str, log_format: Literal["text", "json"], environ: Mapping[str, str], stream: TextIO | None = None
) -> None:
    """Send what lanebus logs to `stream`, standard error by default.

    `level` is the least severe level written: `debug`, `info`, `warning` or `error`. `environ` tells whether the
    journal reads the stream (JOURNAL_STREAM), and with it the form of `text`.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(
        JsonFormatter() if log_format == "json" else TextFormatter(journal="JOURNAL_STREAM" in environ)
    )
    logger = logging.getLogger("lanebus")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    # A closed standard error is no reason for a traceback at every line.
    logging.raiseExceptions = False


def _priority(level: int) -> int:
    return next(priority for least, priority in _JOURNAL_PRIORITIES if level >= least)
