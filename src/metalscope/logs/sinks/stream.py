"""The standard output and the standard error as log sinks."""

from __future__ import annotations

import io
import os
import sys
import time
from typing import TYPE_CHECKING, Final, TextIO

from metalscope.logs.sinks.base import LogSink
from metalscope.sending.http.deadline import remaining
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from metalscope.logs.record import LogRecord
    from metalscope.logs.sinks.base import SinkContext
    from metalscope.sending.shipping.base import Batch

__all__ = ["StderrSink", "StdoutSink", "is_terminal"]

_PAUSE: Final = 0.01
"""Seconds until a reader that is slow is tried again, where the program made its output
non-blocking."""


def is_terminal(name: str) -> bool:
    """Whether ``stdout`` or ``stderr`` shows colours, and nobody asked for none (no-color.org)."""
    stream: TextIO | None = getattr(sys, name)
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


class _StreamSink(LogSink):
    """Writes lines to what ``sys`` has under ``name`` at that moment.

    What the encoding of the stream has no sign for is escaped. Where nobody reads any more, lines
    are let go of. No settings.
    """

    name: str

    def __init__(self, context: SinkContext) -> None:
        Settings(context.options, ())
        self._line = context.line
        self._begun = ("", 0)

    def encode(self, record: LogRecord) -> bytes:
        """Its line."""
        return self._line(record).encode(errors="backslashreplace") + b"\n"

    def send(self, batch: Batch) -> ExportResult | None:
        """Write the lines; what the program itself has written comes before them."""
        stream: TextIO | None = getattr(sys, self.name)
        if stream is None:
            said = f"the program has no {self.name}"
            return ExportResult.rejected(Reason.CONFIGURATION, said)
        try:
            descriptor = _descriptor(stream)
            if descriptor is None:
                text = b"".join(batch.records).decode(errors="backslashreplace")
                stream.write(_in(stream, text).decode(stream.encoding or "utf-8"))
                stream.flush()
            else:
                stream.flush()
                self._write(descriptor, stream, batch)
        except BrokenPipeError:
            return ExportResult.rejected(Reason.RESET, f"nobody reads {self.name} any more")
        except TimeoutError:
            return ExportResult.retry(Reason.TIMEOUT, f"whoever reads {self.name} is too slow")
        except ValueError as error:
            return ExportResult.rejected(
                Reason.CONFIGURATION, f"{self.name} cannot be written: {error}"
            )
        except OSError as error:
            why = error.strerror or type(error).__name__
            return ExportResult.retry(Reason.DISK, f"{self.name} cannot be written: {why}")
        return None

    def _write(self, descriptor: int, stream: TextIO, batch: Batch) -> None:
        # Past the program's own buffer: what a broken pipe left there would change how it ends.
        data = _in(stream, b"".join(batch.records).decode(errors="backslashreplace"))
        written = self._begun[1] if self._begun[0] == batch.id else 0
        try:
            while written < len(data):
                try:
                    written += os.write(descriptor, data[written:])
                except BlockingIOError:
                    remaining()
                    time.sleep(_PAUSE)
        finally:
            self._begun = (batch.id, written)


class StdoutSink(_StreamSink):
    """Lines to the standard output."""

    name = "stdout"


class StderrSink(_StreamSink):
    """Lines to the standard error."""

    name = "stderr"


def _in(stream: TextIO, text: str) -> bytes:
    try:
        return text.encode(stream.encoding or "utf-8", errors="backslashreplace")
    except LookupError:
        return text.encode(errors="backslashreplace")


def _descriptor(stream: TextIO) -> int | None:
    """That of a real stream; ``None`` where somebody put something else in its place."""
    if isinstance(stream, io.TextIOWrapper) and isinstance(stream.buffer, io.BufferedWriter):
        return stream.fileno()
    return None
