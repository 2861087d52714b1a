"""A logger whose one sink keeps the bytes it is given, for tests of what comes before a sink.

The shipper here is a stand-in as well, so that a test sees what was handed over when, and whether
it was urgent; shippers have tests of their own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from metalscope.export_options import Audience
from metalscope.log_options import LoggingOptions, LogSinkOptions
from metalscope.logs.formats.choosing import line_maker
from metalscope.logs.logger import MetalProductionLogger
from metalscope.logs.record import LogRecord, Severity
from metalscope.logs.running import RunningSink
from metalscope.logs.sinks.base import LogSink
from metalscope.sanitizing import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.sending.shipping.base import Batch
from metalscope.sink_status import SinkStatus


class JsonSink(LogSink):
    """Makes JSON lines of records, and keeps the records."""

    def __init__(self) -> None:
        self._line = line_maker("json", {})
        self.records: list[LogRecord] = []
        self.refuses: type[Exception] | None = None

    def encode(self, record: LogRecord) -> bytes:
        if self.refuses is not None and record.body == "refused":
            raise self.refuses
        self.records.append(record)
        return self._line(record).encode()

    def send(self, batch: Batch) -> None:
        raise AssertionError(batch)


@dataclass
class KeepingShipper:
    """Keeps what it is given; ``given`` is set each time, ``urgent`` when that was urgent."""

    name: str
    lines: list[bytes] = field(default_factory=list)
    given: threading.Event = field(default_factory=threading.Event)
    urgent: threading.Event = field(default_factory=threading.Event)
    closed: bool = False
    flushes: bool = True

    def put(self, records: Sequence[bytes], *, urgent: bool = False) -> None:
        assert not self.closed
        self.lines += records
        if urgent:
            self.urgent.set()
        self.given.set()

    def keep(self, timeout: float) -> bool:
        return True

    def flush(self, timeout: float) -> bool:
        return self.flushes

    def status(self) -> SinkStatus:
        return SinkStatus(self.name, delivered=len(self.lines))

    def close(self, timeout: float) -> None:
        self.closed = True


@dataclass
class Logged:
    """A logger, and all that came out of it."""

    log: MetalProductionLogger
    sink: JsonSink
    shipper: KeepingShipper
    errors: list[tuple[str, BaseException]]

    def lines(self) -> list[dict[str, Any]]:
        """The lines so far, as the objects they hold."""
        assert self.log.flush(30)
        return [json.loads(line) for line in self.shipper.lines]

    def line(self) -> dict[str, Any]:
        """The only line."""
        [one] = self.lines()
        return one

    def messages(self) -> list[str]:
        return [one["message"] for one in self.lines()]

    def record(self) -> LogRecord:
        """The only record."""
        assert self.log.flush(30)
        [one] = self.sink.records
        return one


def running(
    name: str = "kept",
    *,
    severity: Severity = Severity.DEBUG,
    audience: Audience = Audience.INTERNAL,
) -> tuple[RunningSink, JsonSink, KeepingShipper]:
    sink, shipper = JsonSink(), KeepingShipper(name)
    options = LogSinkOptions(type="stdout", name=name)
    return RunningSink(options, sink, shipper, audience, severity), sink, shipper


def logged(**options: Any) -> Logged:
    """A logger with these options and one sink; it keeps debug records where nothing is said."""
    one, sink, shipper = running()
    errors: list[tuple[str, BaseException]] = []
    log = logger_with([one], errors, **{"level": "debug", **options})
    return Logged(log, sink, shipper, errors)


def logger_with(
    sinks: Sequence[RunningSink], errors: list[tuple[str, BaseException]], **options: Any
) -> MetalProductionLogger:
    return MetalProductionLogger(
        LoggingOptions(**options),
        sanitizer=Sanitizer(SanitizingOptions()),
        sinks=sinks,
        on_error=lambda room, error: errors.append((room, error)),
    )
