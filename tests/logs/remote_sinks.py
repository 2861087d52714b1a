"""What sinks of other hosts are made from, and records to send them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from metalscope.log_options import LogSinkOptions
from metalscope.logs.formats.choosing import line_maker
from metalscope.logs.record import LoggedException, LogRecord, Severity
from metalscope.logs.sinks.base import SinkContext
from metalscope.sending.http.transport import HttpTransport
from metalscope.sending.shipping.base import Batch

RESOURCE: dict[str, str | int] = {
    "service.name": "trainer",
    "service.instance.id": "gpu-7:4242",
    "host.name": "gpu-7.example",
    "process.pid": 4242,
}
AT_NS = 1_764_360_000_123_456_789
"""2025-11-28T20:00:00.123456789Z"""

HOSTILE = (
    'two\nlines, a tab\t, NUL \0 and \x1b[31m; "quotes" \\ [brackets] <html> %s {x} 𝄞 é…'
    " \u2028 \ud800"
)
"""Of everything that has broken a log."""


def sink_context(
    type: str,  # noqa: A002 - the name of the option
    endpoint: str | None = None,
    **options: Any,
) -> SinkContext:
    """A context of these options; its lines and its HTTP are the product's."""
    made = LogSinkOptions(
        type=type, endpoint=endpoint, **{"timeout": timedelta(seconds=5), **options}
    )
    form = made.format or "json"
    return SinkContext(
        options=made,
        resource=RESOURCE,
        line=line_maker(form, RESOURCE),
        json_line=line_maker("json" if form == "text" else form, RESOURCE),
        open_http=partial(HttpTransport.of, made, timeout=made.timeout),
    )


def record(body: str = "matmul was slow", **fields: Any) -> LogRecord:
    """A record with something in every field, but for the exception."""
    return LogRecord(
        **{
            "timestamp_ns": AT_NS,
            "sequence": 17,
            "severity": Severity.WARNING,
            "body": body,
            "event": "metal.operation.slow",
            "logger": "trainer.step",
            "attributes": {"metal.operation.name": "matmul", "metal.operation.duration_ms": 131.5},
            "correlation_id": "order-17",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "b7ad6b7169203331",
            "sampled": True,
            "thread": "MainThread",
            **fields,
        }
    )


def failed(**fields: Any) -> LogRecord:
    """The same with an exception."""
    said = LoggedException(
        "metalscope.errors.DeviceLostError", HOSTILE, 'Traceback:\n  File "a.py", line 1\nIt broke'
    )
    return record(exception=said, severity=Severity.ERROR, **fields)


def batch(*records: bytes) -> Batch:
    return Batch("batch-1", records)
