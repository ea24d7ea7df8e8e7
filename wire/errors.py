"""Every error one side can tell the other: its number, and the one exception that peer input can raise."""

from __future__ import annotations

from enum import IntEnum


class ErrorNumber(IntEnum):
    """The number that an `error` message carries.

    1xx frame, 2xx state, 3xx hello and registration, 4xx content, 5xx request.
    """

    SHORT_FRAME = 101
    BAD_MAGIC = 102
    UNKNOWN_VERSION = 103
    UNKNOWN_KIND = 104
    UNKNOWN_FLAGS = 105
    FRAME_TOO_LARGE = 106
    BAD_BODY = 107
    BAD_COMPRESSION = 108
    SEVERAL_FRAMES = 109
    WRONG_LANE = 110

    NOT_LEGAL_HERE = 201
    NO_SESSION = 202
    OLD_INCARNATION = 203
    BATCH_GAP = 204
    WINDOW_EXCEEDED = 205
    UNKNOWN_SESSION_INDEX = 206
    BAD_ACK = 207
    FLOOD = 208

    BAD_NAME = 301
    NO_COMMON_VERSION = 302
    FENCED = 303
    FULL = 304
    DRAINING = 305
    BUSY = 306
    COOLING_DOWN = 307
    DEPENDENCY_CYCLE = 311

    BAD_TOPIC = 401
    BAD_DESTINATION = 402
    EVENT_TOO_LARGE = 403
    BATCH_TOO_LARGE = 404
    NOT_ALLOWED = 405
    TOO_MANY_VIOLATIONS = 406

    UNKNOWN_PEER = 501
    UNKNOWN_SERVICE = 502
    TOO_MANY = 503
    NAME_IN_USE = 504

    @property
    def label(self) -> str:
        """The name used in counters and logs, for example ``bad_magic``."""
        return self.name.lower()


class ProtocolError(Exception):
    """The other side broke the protocol; the only exception that decoding peer input raises.

    Attributes:
        number: which rule was broken.
        detail: what was found, for a person.
    """

    def __init__(self, number: ErrorNumber, detail: str) -> None:
        super().__init__(f"{number.label} ({number.value}): {detail}")
        self.number = number
        self.detail = detail
