"""A planted secret comes out of no sink, in no format, whichever way it went in."""

from __future__ import annotations

from functools import cache
from tempfile import gettempdir
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import planted
from metalscope.correlating import correlation
from metalscope.export_options import Audience
from metalscope.log_options import LoggingOptions, LogSinkOptions
from metalscope.logs.logger import MetalProductionLogger
from metalscope.logs.record import Severity
from metalscope.logs.registry import create_sink, sink_options_of
from metalscope.logs.running import RunningSink
from metalscope.logs.sinks.base import LogSink
from metalscope.sanitizing import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.sink_status import SinkStatus
from metalscope.traces.chrome_events import TraceEvents
from metalscope.traces.otlp import encode as encode_span
from metalscope.traces.span import FinishedSpan, SpanEvent

FORMATS = ("text", "json", "ecs", "otel")
NOWHERE = f"file://{gettempdir()}/never-written.log"
SINKS: tuple[dict[str, Any], ...] = (
    *(
        {"type": "file", "endpoint": f"file://{gettempdir()}/never-written.log", "format": one}
        for one in FORMATS
    ),
    {"type": "stdout"},
    {"type": "elasticsearch", "endpoint": "http://127.0.0.1:9200"},
    {"type": "opensearch", "endpoint": "http://127.0.0.1:9201"},
    {"type": "splunk", "endpoint": "http://127.0.0.1:8088", "api_key": "token-of-ours"},
    {"type": "loki", "endpoint": "http://127.0.0.1:3100"},
    {"type": "otlp", "endpoint": "http://127.0.0.1:4318"},
    {"type": "syslog", "endpoint": "udp://127.0.0.1:514"},
)


class Bytes:
    """Keeps what would be shipped."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def put(self, records: Any, *, urgent: bool = False) -> None:
        self.records += records

    def flush(self, timeout: float) -> bool:
        return True

    def status(self) -> SinkStatus:
        return SinkStatus("bytes")

    def close(self, timeout: float) -> None: ...


@cache
def sinks() -> tuple[tuple[LogSinkOptions, LogSink], ...]:
    options = LoggingOptions(
        sinks=tuple(
            LogSinkOptions(name=f"{number} {one['type']}", **one)
            for number, one in enumerate(SINKS)
        )
    )
    return tuple((one, create_sink(one, options, {})) for one in sink_options_of(options))


def logged(say: Any, audience: Audience) -> dict[str, bytes]:
    """What each sink would be sent of what ``say`` logs."""
    shippers = {one.name: Bytes() for one, _ in sinks()}
    logger = MetalProductionLogger(
        LoggingOptions(enable_stack_trace_logging=True, level="debug"),
        sanitizer=Sanitizer(SanitizingOptions(), secrets=[planted.KNOWN]),
        sinks=[
            RunningSink(one, sink, shippers[one.name], audience, Severity.DEBUG)  # type: ignore[arg-type]
            for one, sink in sinks()
        ],
        on_error=lambda room, error: (_ for _ in ()).throw(AssertionError(room)),
    )
    say(logger)
    assert logger.flush(30)
    logger.close(0)
    found = {name: b"\n".join(shipper.records) for name, shipper in shippers.items()}
    assert all(found.values()), found
    return found


def assert_it_is_nowhere(secret: str, found: dict[str, bytes]) -> None:
    for name, data in found.items():
        text = data.decode("utf-8", "backslashreplace")
        for form in (secret, secret.replace("\n", "\\n"), secret.replace("\n", "#012")):
            assert form not in text, (name, form)


audiences = st.sampled_from(Audience)


@given(planted.placed_in_text(), audiences)
def test_in_what_is_said_and_in_the_id_of_the_work(one: planted.Planted, audience: Audience):
    def say(logger: MetalProductionLogger) -> None:
        with correlation(one.holder):
            logger.warning(one.holder, logger=one.holder, said=one.holder)
            logger.log(Severity.INFO, "event", event=one.holder, thread=one.holder)

    assert_it_is_nowhere(one.secret, logged(say, audience))


@given(planted.placed_in_fields(), audiences)
def test_in_fields_at_any_depth(one: planted.Planted, audience: Audience):
    def say(logger: MetalProductionLogger) -> None:
        logger.log(Severity.INFO, "fields", attributes=one.holder)

    assert_it_is_nowhere(one.secret, logged(say, audience))


@given(planted.placed_in_exceptions(), audiences)
def test_in_exceptions_their_causes_and_their_stacks(one: planted.Planted, audience: Audience):
    def say(logger: MetalProductionLogger) -> None:
        try:
            one.holder()
        except Exception as error:
            logger.log(Severity.ERROR, "failed", error=error, attributes={"error": error})

    assert_it_is_nowhere(one.secret, logged(say, audience))


@given(planted.placed_in_text(), audiences)
def test_in_a_span_on_its_way_to_a_collector_or_a_file(one: planted.Planted, audience: Audience):
    text, fields = one.holder, {"a": one.holder}
    span = FinishedSpan(
        1, 2, 0, text, 1, 2, attributes=fields, error=text, events=(SpanEvent(1, text, fields),),
        trace_state=text, correlation_id=text, thread_name=text,
    )  # fmt: skip
    clean = Sanitizer(SanitizingOptions(), secrets=[planted.KNOWN]).span(span, audience)
    events = TraceEvents(1, "app", 0)
    events.plan([clean])
    file = "\n".join(events.of(clean)).encode()
    assert_it_is_nowhere(one.secret, {"otlp": encode_span(clean), "file": file})
