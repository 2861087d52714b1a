"""Log records as messages of RFC 5424, "The Syslog Protocol", or of RFC 3164 before it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from metalscope.logs.formats.json_text import json_text
from metalscope.logs.record import Severity

if TYPE_CHECKING:
    from metalscope.logs.record import LogRecord

__all__ = ["FACILITIES", "LEAST_BYTES", "MessageForm", "without_controls"]

LEAST_BYTES: Final = 480
"""What every receiver takes (RFC 5424, 6.1)."""

# RFC 5424, table 1, by the names of syslog.conf.
FACILITIES: Final = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7,
    "uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11,
    **{f"local{number}": 16 + number for number in range(8)},
}  # fmt: skip

# RFC 5424, table 2.
_SEVERITIES: Final = {
    Severity.CRITICAL: 2,
    Severity.ERROR: 3,
    Severity.WARNING: 4,
    Severity.INFO: 6,
    Severity.DEBUG: 7,
}

# Not those of the locale.
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOM: Final = b"\xef\xbb\xbf"
_CUT: Final = "…".encode()
_LONGEST_NAME: Final = 32
_ROOM_FOR_OMITTED: Final = len(' omitted="10000"')

# As octal numbers, which RFC 5424, 6.4, has as its example and receivers do themselves.
_CONTROLS: Final = {code: f"#{code:03o}" for code in (*range(32), 127)}
_CONTROLS_IN_LINES: Final = {code: text for code, text in _CONTROLS.items() if code not in (9, 10)}
_NO_HEADER_TEXT: Final = re.compile(r"[^!-~]")
_NO_TAG: Final = re.compile(r"[^0-9A-Za-z._-]")
_NO_NAME: Final = re.compile(r'[^!-~]|[="\]]')
_SPECIAL: Final = re.compile(r'["\\\]]')
_ESCAPES: Final = str.maketrans({'"': '\\"', "\\": "\\\\", "]": "\\]"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageForm:
    """How messages are made: what is in the header of each, and how long they may be.

    ``facility`` is its number, ``limit`` the most bytes of a message. With ``multiline`` line
    breaks and tabs stay as they are. Without ``bom`` none is put before text beyond ASCII. With
    ``old`` it is one of RFC 3164, with the structured data at its end.
    """

    facility: int
    host: str
    app: str
    sd_id: str
    limit: int
    multiline: bool = False
    bom: bool = True
    old: bool = False

    def message(self, record: LogRecord, text: str) -> bytes:
        """The message that says ``text``, with all else of the record as its structured data.

        Where it would be too long, the last parameters are left out, which ``omitted`` counts, and
        then the end of the text, in whose place is an ellipsis.
        """
        event = "" if self.old else _header_text(record.event, 32)
        head = self._head_before(record) if self.old else self._head(record, event)
        said = _utf8(without_controls(text, multiline=self.multiline))
        # RFC 5424, 6.4: text of ASCII alone is right without it.
        mark = _BOM if self.bom and not self.old and not said.isascii() else b""
        room = self.limit - len(head) - len(f"[{self.sd_id}] ") - len(mark)
        data = self._data(record, event, room - min(len(said), room // 2))
        said = _cut(said, self.limit - len(head + data + mark) - 1)
        return head + said + b" " + data if self.old else head + data + b" " + mark + said

    def _head(self, record: LogRecord, event: str) -> bytes:
        return (
            f"<{self._priority(record)}>1 {_timestamp(record.timestamp_ns)} "
            f"{_header_text(self.host, 255)} {_header_text(self.app, 48)} {os.getpid()} {event} "
        ).encode("ascii")

    def _head_before(self, record: LogRecord) -> bytes:
        # RFC 3164, 4.1.2: local time, and a day of one digit with a space before it.
        at = time.localtime(record.timestamp_ns // 10**9)
        moment = f"{_MONTHS[at.tm_mon - 1]} {at.tm_mday:2d} {time.strftime('%H:%M:%S', at)}"
        # To a socket of this host messages go without its name, as from syslog(3).
        host = f" {_header_text(self.host, 255)}" if self.host else ""
        app = _NO_TAG.sub("_", self.app[:_LONGEST_NAME]) or "-"
        return f"<{self._priority(record)}>{moment}{host} {app}[{os.getpid()}]: ".encode("ascii")

    def _priority(self, record: LogRecord) -> int:
        return self.facility * 8 + _SEVERITIES[record.severity]

    def _data(self, record: LogRecord, event: str, room: int) -> bytes:
        parts: list[bytes] = []
        names: set[str] = set()
        omitted = 0
        room -= _ROOM_FOR_OMITTED
        for name, value in _parameters(record, event):
            clean = without_controls(_value_text(value), multiline=self.multiline)
            own = _own_name(name, names)
            if _SPECIAL.search(clean):
                clean = clean.translate(_ESCAPES)
            part = _utf8(f' {own}="{clean}"')
            if omitted or len(part) > room:
                omitted += 1
                continue
            names.add(own)
            room -= len(part)
            parts.append(part)
        if omitted:
            parts.append(f' omitted="{omitted}"'.encode())
        return b"[" + self.sd_id.encode("ascii") + b"".join(parts) + b"]"


def without_controls(text: str, *, multiline: bool) -> str:
    """The text with ``#000`` for NUL and so on: they could forge lines where it is shown."""
    if text.isprintable():
        return text
    return text.translate(_CONTROLS_IN_LINES if multiline else _CONTROLS)


def _parameters(record: LogRecord, event: str) -> Iterator[tuple[str, Any]]:
    """By name, the most needed first, as the last are left out of a long message."""
    if record.correlation_id is not None:
        yield "correlation_id", record.correlation_id
    if record.trace_id is not None:
        yield "trace_id", record.trace_id
    if record.span_id is not None:
        yield "span_id", record.span_id
    yield "sequence", record.sequence
    yield "logger", record.logger
    if record.thread:
        yield "thread", record.thread
    if record.event and record.event != event:
        yield "event", record.event
    if record.exception is not None:
        yield "exception.type", record.exception.type
        yield "exception.message", record.exception.message
    yield from record.attributes.items()
    if record.exception is not None and record.exception.stacktrace is not None:
        yield "exception.stacktrace", record.exception.stacktrace


def _timestamp(nanoseconds: int) -> str:
    # RFC 5424, 6.2.3: six digits of a second at most.
    moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _header_text(text: str, most: int) -> str:
    # PRINTUSASCII; "-" is NILVALUE.
    return _NO_HEADER_TEXT.sub("_", text[:most]) or "-"


def _own_name(name: str, taken: set[str]) -> str:
    """A PARAM-NAME (RFC 5424, 6.3.3) that none before has."""
    own = clean = _NO_NAME.sub("_", name[:_LONGEST_NAME]) or "_"
    number = 1
    while own in taken:
        number += 1
        end = f"~{number}"
        own = clean[: _LONGEST_NAME - len(end)] + end
    return own


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _utf8(text: str) -> bytes:
    # What is no character, half of a surrogate pair, has no form in UTF-8.
    return text.encode("utf-8", "replace")


def _cut(text: bytes, room: int) -> bytes:
    if len(text) <= room:
        return text
    return text[: max(0, room - len(_CUT))].decode("utf-8", "ignore").encode() + _CUT
