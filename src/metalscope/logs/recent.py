"""RecentRecords: the latest records of the log in memory, for the page."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from metalscope.export_options import Audience
from metalscope.fork import reset_in_child
from metalscope.logs.record import LogRecord, Severity
from metalscope.tail_room import Room, is_small

__all__ = ["MOST_OF_ONE", "MOST_SELECTED", "RecentRecords", "Selected"]

MOST_OF_ONE: Final = 32_768
"""Characters that are kept of one record."""

MOST_SELECTED: Final = 4 * 1024 * 1024
"""Characters of all records that are given at once, but for the one that passes it."""

_SHORT: Final = 4096
"""Characters; a body of so many, with small attributes and no exception, is kept as it is."""


class Sanitizes(Protocol):
    """What is asked of a :class:`~metalscope.sanitizing.Sanitizer`."""

    def record(self, record: LogRecord, audience: Audience) -> LogRecord:
        """As ``audience`` may see it."""
        ...


@dataclass(frozen=True, slots=True)
class Selected:
    """Records with their numbers, oldest first.

    ``last`` is up to where was looked: what came later is found by ``after=last``. It is 0 where
    nothing was logged yet. ``forgotten`` is how many records there is no room for any more.
    """

    records: tuple[tuple[int, LogRecord], ...]
    last: int
    forgotten: int


class RecentRecords:
    """Keeps the latest records as they may be seen inside, each numbered from 1 in its order here.

    The thread that makes lines of records feeds it: who logs does nothing for it. Of a record at
    most :data:`MOST_OF_ONE` characters are kept, and :data:`~metalscope.tail_room.MOST_TEXT` of one
    text; what is longer is cut, with a mark. A process forked from this one begins with none.

    Args:
        limit: most records.
        sanitizer: makes of them what may be seen outside.
    """

    audience: Final = Audience.INTERNAL
    """For whom the records are sanitized that it is given."""

    def __init__(self, limit: int, sanitizer: Sanitizes) -> None:
        self.limit: Final = limit
        self._sanitizer = sanitizer
        self._drain: Callable[[float], object] | None = None
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Have no records."""
        self._lock = threading.Lock()
        self._kept: deque[LogRecord] = deque(maxlen=self.limit)
        self._last = 0

    def drained_by(self, drain: Callable[[float], object]) -> None:
        """Have this called by :meth:`catch_up`: it waits, in s, for the records that are due."""
        self._drain = drain

    def take(self, records: Sequence[LogRecord | None]) -> None:
        """Keep these, which are sanitized; ``None`` is one that could not be."""
        there = [_bounded(record) for record in records if record is not None]
        with self._lock:
            self._kept.extend(there)
            self._last += len(there)

    def catch_up(self, timeout: float) -> None:
        """Wait, in s, for what was logged before now; it may be in the log's buffer yet."""
        if self._drain is not None:
            self._drain(timeout)

    @property
    def forgotten(self) -> int:
        """How many records were let go of since the start."""
        with self._lock:
            return self._last - len(self._kept)

    def select(
        self,
        *,
        severity: Severity = Severity.DEBUG,
        correlation_id: str | None = None,
        trace_id: str | None = None,
        contains: str = "",
        after: int = 0,
        limit: int | None = None,
        audience: Audience = Audience.INTERNAL,
    ) -> Selected:
        """Those of the records that fit, as ``audience`` may see them.

        Args:
            severity: milder ones do not fit.
            correlation_id: of the work they belong to.
            trace_id: of the trace they belong to, in hexadecimal digits.
            contains: a text that one of their texts, or of their attributes, contains; whether in
                upper or lower case is all the same.
            after: the number after which they come: of those the first are given. Without it, or
                where there is no such number here yet, as after a new start, the latest are.
            limit: most of them; there are fewer where they have more than :data:`MOST_SELECTED`
                characters.
            audience: they are looked at as it may see them, so that it finds nothing else.
        """
        with self._lock:
            kept, last = list(self._kept), self._last
        first = last - len(kept) + 1
        forward = 0 < after <= last
        ordered = list(enumerate(kept, first))
        if forward:
            del ordered[: max(0, after + 1 - first)]
        else:
            ordered.reverse()
        most = self.limit if limit is None else limit
        wanted = contains.casefold()
        found: list[tuple[int, LogRecord]] = []
        looked_at, left = last, MOST_SELECTED
        for number, record in ordered:
            if record.severity < severity or (trace_id and record.trace_id != trace_id):
                continue
            seen = record
            if audience != self.audience:
                seen = self._sanitizer.record(record, audience)
            if correlation_id is not None and seen.correlation_id != correlation_id:
                continue
            if wanted and not _contains(seen, wanted):
                continue
            found.append((number, seen))
            left -= _size(seen)
            if len(found) >= most or left <= 0:
                if forward:
                    looked_at = number
                break
        if not forward:
            found.reverse()
        return Selected(tuple(found), looked_at, first - 1)


def _bounded(record: LogRecord) -> LogRecord:
    if record.exception is None and len(record.body) < _SHORT and is_small(record.attributes):
        return record
    room = Room(MOST_OF_ONE)
    exception = record.exception
    body = room.text(record.body)
    if exception is not None:
        trace = exception.stacktrace
        exception = replace(
            exception,
            message=room.text(exception.message),
            stacktrace=None if trace is None else room.text(trace),
        )
    return replace(
        record, body=body, exception=exception, attributes=room.fields(record.attributes)
    )


def _contains(record: LogRecord, wanted: str) -> bool:
    return any(wanted in text.casefold() for text in _texts(record))


def _size(record: LogRecord) -> int:
    trace = None if record.exception is None else record.exception.stacktrace
    return len(trace or "") + sum(map(len, _texts(record)))


def _texts(record: LogRecord) -> Iterable[str]:
    yield record.body
    yield record.event
    yield record.logger
    if record.exception is not None:
        yield record.exception.type
        yield record.exception.message
    yield from _texts_in(record.attributes)


def _texts_in(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(inner)
    elif value is not None:
        yield str(value)
