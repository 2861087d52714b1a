"""ChromeTraceFile: finished spans in a file that Perfetto and its like open."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from metalscope.errors import ConfigurationError
from metalscope.export_options import Audience
from metalscope.fork import reset_in_child
from metalscope.moments import utc_now
from metalscope.sending.result import Reason
from metalscope.sink_status import SinkStatus
from metalscope.traces.buffer import ROOM, SpanBuffer
from metalscope.traces.chrome_events import TraceEvents
from metalscope.traces.chrome_file import TraceFile

if TYPE_CHECKING:
    from metalscope.sanitizing.sanitizer import Sanitizer
    from metalscope.traces.span import FinishedSpan

__all__ = ["ChromeTraceFile"]


class ChromeTraceFile:
    """A span sink that writes a file in Chrome's Trace Event Format, as an array of events.

    A trace that was there is overwritten. The file can be read at any time, also when the program
    was killed: the format lets an array lack its end. Spans are written on a thread of their own;
    :meth:`take` only puts one in a buffer. A process forked from this one, or one that finds the
    file in use by another, writes a file of its own, with its process id before the suffix.

    Args:
        path: the file.
        max_bytes: most bytes of it; further spans are counted and left.
        on_error: told of what goes wrong.
        sanitizer: cleans spans before they are written, if any.
        max_spans: most spans that wait to be written.
        flush_interval: longest time one waits.
        option: the option ``path`` is of, as errors name it.

    Raises:
        ConfigurationError: the file cannot be written, or what is there is no trace.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 256 * 1024**2,
        on_error: Callable[[str, BaseException], None],
        sanitizer: Sanitizer | None = None,
        max_spans: int = 10_000,
        flush_interval: timedelta = timedelta(seconds=5),
        option: str = "traces.file",
    ) -> None:
        self._given = Path(path).expanduser()
        self._max_bytes = max_bytes
        self._on_error = on_error
        self._sanitizer = sanitizer
        self._process = os.getpid()
        self._file: TraceFile | None = None
        self._closed = False
        self.start_at_zero()
        try:
            self._file = self._open()
        except OSError as error:
            raise ConfigurationError(
                f"{option} = {self._given}: must be a file this process can write "
                f"({error.strerror or error})"
            ) from error
        self._buffer = SpanBuffer(
            "metalscope-trace-file",
            self._write,
            limit=max_spans,
            interval=flush_interval.total_seconds(),
            on_error=on_error,
        )
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Begin a file of one's own, when there is something to write."""
        self._events: TraceEvents | None = None
        if self._file is not None:
            self._file.let_go()
        self._file = None
        self._delivered = 0
        self._dropped: Counter[str] = Counter()
        self._failures = 0
        self._last_success: datetime | None = None
        self._last_error = ""

    @property
    def path(self) -> Path:
        """The file this process writes."""
        return self._given if self._file is None else self._file.path

    @property
    def dropped(self) -> int:
        """Spans that are not in the file: there was no room, or it could not be written."""
        return self._buffer.dropped + sum(self._dropped.values())

    def take(self, span: FinishedSpan) -> None:
        """Have a span written; never waits."""
        self._buffer.take(span)

    def status(self) -> tuple[SinkStatus, ...]:
        """How the file is doing."""
        return (
            SinkStatus(
                name="trace_file",
                type="chrome",
                signal="traces",
                delivered=self._delivered,
                failures={Reason.DISK.value: self._failures} if self._failures else {},
                dropped=self._all_dropped(),
                waiting=self._buffer.waiting,
                last_success=self._last_success,
                last_error=self._last_error,
            ),
        )

    def flush(self, timeout: float | None = None) -> bool:
        """Write what waits; whether that was done within so many s."""
        return self._buffer.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Write what waits for so many s, and end the file. Idempotent."""
        if not self._buffer.close(timeout) or self._closed:
            return
        self._closed = True
        if self._file is not None:
            lost = self._all_dropped()
            said = self._events.left_out(lost) if lost and self._events is not None else ""
            self._file.end(said)

    def _all_dropped(self) -> dict[str, int]:
        dropped = dict(self._dropped)
        if self._buffer.dropped:
            dropped[Reason.QUEUE_FULL.value] = self._buffer.dropped
        return dropped

    def _open(self) -> TraceFile:
        own = self._given.with_stem(f"{self._given.stem}.{os.getpid()}")
        if os.getpid() != self._process:
            return TraceFile(own, self._max_bytes)
        try:
            return TraceFile(self._given, self._max_bytes)
        except BlockingIOError:
            return TraceFile(own, self._max_bytes)

    def _write(self, spans: Sequence[FinishedSpan]) -> None:
        before = self._dropped.total()
        try:
            added = self._added(spans)
        except OSError as error:
            self._failures += 1
            lost_already = self._dropped.total() - before
            why = f"{self.path.name}: {error.strerror or error}"
            self._lost(Reason.DISK, why, len(spans) - lost_already)
            self._on_error(ROOM, error)
            return
        self._delivered += added
        if added == len(spans):
            self._last_success, self._last_error = utc_now(), ""

    def _added(self, spans: Sequence[FinishedSpan]) -> int:
        file, events = self._begun(min(span.start_ns for span in spans))
        clean = [span for one in spans if (span := self._cleaned(one)) is not None]
        made = [(span, self._made(events, span)) for span in events.plan(clean)]
        # The outer ones first, of those that begin at once too: it is how viewers tell.
        made.reverse()
        made.sort(key=lambda pair: events.place(pair[0]))
        added = 0
        for _, texts in made:
            if texts and file.add(texts):
                added += 1
            elif texts:
                self._lost(Reason.DISK, f"{file.path.name} has reached max_file_bytes")
        file.commit()
        return added

    def _begun(self, first_ns: int) -> tuple[TraceFile, TraceEvents]:
        if self._file is None:
            self._file, self._events = self._open(), None
        if self._events is None:
            # Not earlier: a script has its name by now.
            events = TraceEvents(os.getpid(), _process_name(), first_ns)
            self._file.add(events.header())
            self._file.commit()
            self._events = events
        return self._file, self._events

    def _cleaned(self, span: FinishedSpan) -> FinishedSpan | None:
        if self._sanitizer is None:
            return span
        try:
            return self._sanitizer.span(span, Audience.INTERNAL)
        except Exception as error:  # noqa: BLE001 - one that cannot be written is not the others'
            self._spoilt(error)
            return None

    def _made(self, events: TraceEvents, span: FinishedSpan) -> list[str]:
        try:
            return list(events.of(span))
        except Exception as error:  # noqa: BLE001 - the same
            self._spoilt(error)
            return []

    def _spoilt(self, error: Exception) -> None:
        why = f"{type(error).__name__} was raised; the log says more"
        self._lost(Reason.EXPORTER_ERROR, why)
        self._on_error(ROOM, error)

    def _lost(self, reason: Reason, why: str, count: int = 1) -> None:
        self._dropped[reason.value] += count
        self._last_error = why


def _process_name() -> str:
    return os.path.basename(sys.argv[0]) or "python"  # noqa: PTH119 - any text may be there
