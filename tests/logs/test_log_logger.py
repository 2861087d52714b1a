"""What a caller of MetalProductionLogger finds in the record, and what it costs never to log."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from logger_kit import Logged, logged, logger_with, running

from metalscope.correlating import CURRENT_SPAN, SpanContext, UnsampledContext, correlation
from metalscope.export_options import Audience
from metalscope.logs.record import Severity


@pytest.fixture
def kept() -> Logged:
    return logged()


def test_a_record_says_what_was_said_and_who_and_where(kept: Logged) -> None:
    kept.log.warning("slow", event="request.slow", logger="app.web", took_ms=12.5, tries=[1, 2])
    line = kept.line()
    assert line["message"] == "slow"
    assert line["severity"] == "warning"
    assert line["event"] == "request.slow"
    assert line["logger"] == "app.web"
    assert line["took_ms"] == 12.5
    assert line["tries"] == [1, 2]
    assert line["thread"] == threading.current_thread().name
    assert line["timestamp"].endswith("Z")
    assert "trace_id" not in line
    assert "correlation_id" not in line


def test_each_method_has_its_severity(kept: Logged) -> None:
    log = kept.log
    for say in (log.debug, log.info, log.warning, log.error, log.critical, log.exception):
        say("said")
    said = [one["severity"] for one in kept.lines()]
    assert said == ["debug", "info", "warning", "error", "critical", "error"]
    assert dict(log.counts) == {"debug": 1, "info": 1, "warning": 1, "error": 2, "critical": 1}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_what_is_milder_than_the_level_is_not_kept(level: str) -> None:
    kept = logged(level=level)
    for severity in Severity:
        kept.log.log(severity, severity.text)
    for say in (kept.log.debug, kept.log.info, kept.log.warning, kept.log.error):
        say("by its method")
    assert all(one.severity >= Severity.of(level) for one in kept.sink.records)
    of_log = [one["message"] for one in kept.lines() if one["message"] != "by its method"]
    assert of_log == [one.text for one in Severity if one >= Severity.of(level)]


def test_a_record_no_sink_would_take_is_not_kept() -> None:
    errors: list[tuple[str, BaseException]] = []
    one, _, _ = running("strict", severity=Severity.ERROR)
    log = logger_with([one], errors, level="debug")
    log.warning("too mild")
    assert not log.counts


def test_each_sink_gets_what_is_grave_enough_for_it() -> None:
    errors: list[tuple[str, BaseException]] = []
    mild, _, all_lines = running("mild")
    grave, _, few_lines = running("grave", severity=Severity.ERROR)
    log = logger_with([mild, grave], errors)
    log.info("one")
    log.error("two")
    assert log.flush(30)
    assert len(all_lines.lines) == 2
    assert [b"two" in line for line in few_lines.lines] == [True]


def test_ids_are_those_that_are_current(kept: Logged) -> None:
    token = CURRENT_SPAN.set(SpanContext(0xABC, 0xDEF))
    try:
        with correlation("order-17"):
            kept.log.info("within")
    finally:
        CURRENT_SPAN.reset(token)
    record = kept.record()
    assert record.correlation_id == "order-17"
    assert record.trace_id == f"{0xABC:032x}"
    assert record.span_id == f"{0xDEF:016x}"
    assert record.sampled


def test_ids_that_are_given_stand_before_the_current_ones(kept: Logged) -> None:
    with correlation("current"):
        kept.log.log(
            Severity.INFO,
            "given",
            correlation_id="given",
            trace=UnsampledContext(1, 2),
            at_ns=5_000,
        )
        kept.log.log(Severity.INFO, "as text", ids=("ab" * 16, None))
    kept.lines()
    first, second = kept.sink.records
    assert (first.correlation_id, first.trace_id, first.sampled) == ("given", f"{1:032x}", False)
    assert first.timestamp_ns == 5_000
    assert (second.correlation_id, second.trace_id, second.span_id) == ("current", "ab" * 16, None)


def test_opentelemetrys_span_is_taken_where_there_is_none_of_ours(kept: Logged) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s") as span:
        kept.log.info("within")
    context = span.get_span_context()
    record = kept.record()
    assert record.trace_id == f"{context.trace_id:032x}"
    assert record.span_id == f"{context.span_id:016x}"
    assert record.sampled


def test_no_correlation_ids_where_the_options_say_so() -> None:
    kept = logged(enable_correlation_tracking=False)
    with correlation("order-17"):
        kept.log.info("within")
    assert kept.record().correlation_id is None


def test_attributes_are_as_they_were_when_it_was_logged(kept: Logged) -> None:
    inner = [1]
    sizes: dict[str, Any] = {"a": inner, "b": {"c": {1}}}
    given = {"dotted.name": inner}
    kept.log.log(Severity.INFO, "made", sizes=sizes, attributes=given)
    inner.append(2)
    sizes["b"]["c"].add(2)
    given["dotted.name"] = []
    line = kept.line()
    assert line["sizes"] == {"a": [1], "b": {"c": [1]}}
    assert line["dotted.name"] == [1]


def test_an_endless_argument_is_cut(kept: Logged) -> None:
    endless: list[Any] = []
    endless.append(endless)
    kept.log.info("said", endless=endless, long=list(range(1_000_000)))
    kept.line()
    assert len(kept.shipper.lines[0]) < 50_000


def test_an_array_is_told_by_its_shape_and_not_held(kept: Logged) -> None:
    import weakref

    import numpy as np

    array = np.zeros((3, 4), dtype=np.float32)
    gone = weakref.ref(array)
    kept.log.info("made", weights=array, mean=np.float64(0.5))
    del array
    assert gone() is None
    line = kept.line()
    assert "(3, 4)" in line["weights"]
    assert "float32" in line["weights"]
    assert line["mean"] == 0.5


class Odd:
    """Whatever is asked of it, it raises."""

    def __str__(self) -> str:
        raise RuntimeError("odd")

    __repr__ = __str__


def test_no_odd_object_reaches_the_caller_or_stops_the_log(kept: Logged) -> None:
    kept.log.info(Odd(), odd=Odd(), inside=[Odd()])  # type: ignore[arg-type]
    kept.log.info("after")
    assert kept.messages()[1] == "after"
    assert not kept.errors


def test_what_is_of_another_type_than_it_should_be_is_told_as_well_as_it_can_be(
    kept: Logged,
) -> None:
    odd: Any = kept.log
    odd.log("warning", "by name")
    odd.log(14, "by number", at_ns=1.5e18, correlation_id=17, event=ValueError, logger=3)
    odd.log(None, "by nothing", attributes=[1])
    odd.bind(a=1).log("error", "bound")
    odd.info("failed", error="timeout")
    lines = {line["message"]: line for line in kept.lines()}
    said = [line["severity"] for line in lines.values()]
    assert said == ["warning", "warning", "info", "error", "info"]
    assert lines["by number"]["correlation_id"] == "17"
    assert lines["failed"]["error"] == "timeout"
    assert "exception_type" not in lines["failed"]
    assert [type(error) for _, error in kept.errors] == [TypeError]


def test_a_bound_logger_adds_what_is_bound(kept: Logged) -> None:
    tags = ["a"]
    log = kept.log.bind(tenant="t1", tags=tags)
    tags.append("b")
    log.info("one", tenant="t2")
    log.bind(user=7).unbind("tenant").log(Severity.ERROR, "two")
    log.debug("three")
    one, two, three = kept.lines()
    assert (one["tenant"], one["tags"]) == ("t2", ["a"])
    assert two["user"] == 7
    assert "tenant" not in two
    assert three["tenant"] == "t1"


def test_a_bound_logger_looks_at_the_level_first() -> None:
    kept = logged(level="error")
    kept.log.bind(a=1).warning("no")
    kept.log.bind(a=1).log(Severity.INFO, "no")
    assert not kept.log.counts


def test_an_attribute_may_have_any_name(kept: Logged) -> None:
    names: Any = {"self": 1, "message": 2, "severity": 3, "": 4}
    kept.log.info("said", **names)
    line = kept.line()
    assert line["message"] == "said"
    assert (line["self"], line["message_"], line["severity_"], line[""]) == (1, 2, 3, 4)


def test_each_audience_has_one_sanitized_variant() -> None:
    errors: list[tuple[str, BaseException]] = []
    inside, in_sink, _ = running("inside")
    also, also_sink, _ = running("also")
    outside, out_sink, _ = running("outside", audience=Audience.EXTERNAL)
    log = logger_with([inside, also, outside], errors)
    log.info("said", tenant="t1")
    assert log.flush(30)
    assert in_sink.records[0] is also_sink.records[0]
    assert in_sink.records[0].attributes["tenant"] == "t1"
    assert "tenant" not in out_sink.records[0].attributes
    assert not errors


def test_a_secret_does_not_come_out(kept: Logged) -> None:
    kept.log.info("login", password="hunter2-hunter2", nested={"api_key": "abcdefgh12345678"})
    kept.lines()
    assert b"hunter2" not in kept.shipper.lines[0]
    assert b"abcdefgh" not in kept.shipper.lines[0]


def test_to_log_loads_nothing_that_was_not_asked_for() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from logger_kit import logged\n"
        "kept = logged(); kept.log.info('said'); kept.lines()\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert "metalscope.logs.formats.json" in loaded
    for name in ("structlog", "opentelemetry", "elasticsearch", "multiprocessing.util"):
        assert name not in loaded
    for name in ("handler", "processor", "formats.ecs", "formats.text", "formats.otel"):
        assert f"metalscope.logs.{name}" not in loaded
