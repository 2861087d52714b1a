"""The forms of a line: what each says, by their own specifications, whatever it is to say."""

from __future__ import annotations

import json
import logging
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.logs.formats.choosing import line_maker
from metalscope.logs.formats.ecs import ECS_VERSION
from metalscope.logs.formats.json import RESERVED, renamed
from metalscope.logs.formats.json_text import json_text, without_surrogates
from metalscope.logs.formats.otel import SEVERITY_TEXT
from metalscope.logs.record import LoggedException, LogRecord, Severity

RESOURCE: dict[str, str | int] = {
    "service.name": "shop",
    "service.version": "1.2",
    "service.instance.id": "m1:17",
    "deployment.environment.name": "test",
    "host.name": "m1",
    "host.arch": "arm64",
    "os.type": "darwin",
    "process.pid": 17,
}

SLOW = LogRecord(
    1_795_867_200_123_456_789,
    7,
    Severity.WARNING,
    "execute attention took 120 ms",
    event="metal.operation.slow",
    attributes={"metal.operation.name": "attention", "metal.operation.duration_ms": 120.5},
    correlation_id="order-17",
    trace_id="0af7651916cd43dd8448eb211c80319c",
    span_id="b7ad6b7169203331",
    sampled=True,
    thread="MainThread",
)
FAILED = LogRecord(
    1_795_867_200_123_456_789,
    8,
    Severity.ERROR,
    "order failed",
    logger="app.orders",
    attributes={"customer": "c 1", "items": [1, 2], "message": "taken", "ok": False, "none": None},
    exception=LoggedException("app.OutOfStock", "no more", "Traceback:\n  here\napp.OutOfStock"),
    thread="worker",
)


def the_line(form: Any, record: LogRecord) -> Any:
    return json.loads(line_maker(form, RESOURCE)(record))


def test_text_is_for_a_person() -> None:
    line = line_maker("text", RESOURCE)
    assert line(SLOW) == (
        "2026-11-28T12:00:00.123Z WARNING  metal.operation.slow  execute attention took 120 ms"
        "  metal.operation.name=attention metal.operation.duration_ms=120.5  [order-17]"
    )
    assert line(FAILED) == (
        "2026-11-28T12:00:00.123Z ERROR    app.orders  order failed"
        '  customer="c 1" items=[1,2] message=taken ok=false none=null'
        "  app.OutOfStock: no more"
        "\n    Traceback:\n      here\n    app.OutOfStock"
    )


def test_text_is_coloured_for_a_terminal_only() -> None:
    assert "\x1b[33mWARNING" in line_maker("text", {}, colour=True)(SLOW)
    assert "\x1b" not in line_maker("text", {})(SLOW)


def test_json_is_flat_and_has_our_names() -> None:
    assert the_line("json", SLOW) == {
        "timestamp": "2026-11-28T12:00:00.123456Z",
        "severity": "warning",
        "message": "execute attention took 120 ms",
        "event": "metal.operation.slow",
        "logger": "metalscope",
        "thread": "MainThread",
        "correlation_id": "order-17",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "sampled": True,
        "metal.operation.name": "attention",
        "metal.operation.duration_ms": 120.5,
        "sequence": 7,
        "service_name": "shop",
        "service_version": "1.2",
        "service_instance_id": "m1:17",
        "environment": "test",
        "host_name": "m1",
        "process_pid": 17,
    }
    failed = the_line("json", FAILED)
    assert failed["message"] == "order failed"
    assert failed["message_"] == "taken"
    assert failed["exception_type"] == "app.OutOfStock"
    assert failed["exception_stacktrace"].startswith("Traceback:\n")


def test_ecs_has_the_fields_of_the_schema() -> None:
    assert the_line("ecs", SLOW) == {
        "@timestamp": "2026-11-28T12:00:00.123Z",
        "log.level": "warning",
        "message": "execute attention took 120 ms",
        "ecs.version": ECS_VERSION,
        "log": {"logger": "metalscope"},
        "event": {
            "kind": "event",
            "module": "metalscope",
            "dataset": "metalscope.log",
            "action": "metal.operation.slow",
            "sequence": 7,
            "severity": 13,
        },
        "process": {"pid": 17, "thread": {"name": "MainThread"}},
        "trace": {"id": "0af7651916cd43dd8448eb211c80319c"},
        "span": {"id": "b7ad6b7169203331"},
        "metalscope.correlation_id": "order-17",
        "metal.operation.name": "attention",
        "metal.operation.duration_ms": 120.5,
        "service": {
            "name": "shop",
            "version": "1.2",
            "node": {"name": "m1:17"},
            "environment": "test",
        },
        "host": {
            "name": "m1",
            "hostname": "m1",
            "architecture": "arm64",
            "os": {"type": "macos"},
        },
    }
    failed = the_line("ecs", FAILED)
    assert failed["error"] == {
        "type": "app.OutOfStock",
        "message": "no more",
        "stack_trace": "Traceback:\n  here\napp.OutOfStock",
    }
    assert failed["labels"] == {
        "customer": "c 1", "items": ["1", "2"], "message": "taken", "ok": "false",
    }  # fmt: skip


def flat(fields: dict[str, Any], path: str = "") -> dict[str, type]:
    found: dict[str, type] = {}
    for name, value in fields.items():
        here = f"{path}.{name}" if path else name
        found |= flat(value, here) if isinstance(value, dict) else {here: type(value)}
    return found


def test_ecs_agrees_with_elastics_own_formatter() -> None:
    """In names and types, of what both of them say of a failed line."""
    import ecs_logging

    try:
        raise ValueError("no more")
    except ValueError:
        theirs = logging.makeLogRecord(
            {"name": "app", "levelno": 40, "levelname": "ERROR", "msg": "failed",
             "exc_info": sys.exc_info()}
        )  # fmt: skip
    elastic = json.loads(ecs_logging.StdlibFormatter().format(theirs))
    ours = the_line("ecs", FAILED)
    # Where in the source it is, and the text before its arguments are put in, we do not keep.
    left_out = ("log.origin", "log.original", "process.name", "process.thread.id")
    for name, kind in flat(elastic).items():
        if not name.startswith(left_out):
            assert flat(ours)[name] is kind, name
    assert list(ours)[:3] == list(elastic)[:3] == ["@timestamp", "log.level", "message"]
    assert ours["log.level"] == elastic["log.level"]


def test_a_field_is_not_said_twice_in_ecs() -> None:
    """Nested and with dots at once, which Elasticsearch refuses."""
    for record in (SLOW, FAILED):
        fields = the_line("ecs", record)
        names = list(flat(fields))
        assert len(names) == len(set(names))
        assert not [one for one in names if any(other.startswith(one + ".") for other in names)]


def test_otel_has_the_fields_of_the_data_model() -> None:
    line = the_line("otel", SLOW)
    assert int(line.pop("ObservedTimestamp")) > SLOW.timestamp_ns - 10**18
    assert line == {
        "Timestamp": "1795867200123456789",
        "SeverityText": "WARN",
        "SeverityNumber": 13,
        "Body": "execute attention took 120 ms",
        "EventName": "metal.operation.slow",
        "TraceId": "0af7651916cd43dd8448eb211c80319c",
        "SpanId": "b7ad6b7169203331",
        "TraceFlags": 1,
        "InstrumentationScope": {
            "Name": "metalscope",
            "Version": line["InstrumentationScope"]["Version"],
        },
        "Attributes": {
            "metal.operation.name": "attention",
            "metal.operation.duration_ms": 120.5,
            "metalscope.correlation_id": "order-17",
            "metalscope.sequence": 7,
            "thread.name": "MainThread",
        },
        "Resource": RESOURCE,
    }
    failed = the_line("otel", FAILED)
    assert failed["Attributes"]["exception.type"] == "app.OutOfStock"
    assert failed["InstrumentationScope"] == {"Name": "app.orders"}
    assert "TraceId" not in failed


def test_otel_agrees_with_opentelemetrys_own_record() -> None:
    from opentelemetry._logs import LogRecord as TheirRecord
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.resources import Resource

    theirs = json.loads(
        ReadableLogRecord(TheirRecord(timestamp=1, body="x"), Resource({})).to_json()
    )
    # The data model's names, as Python spells them; counting what was dropped is the SDK's own.
    ours = {
        "".join("_" + one.lower() if one.isupper() else one for one in name).lstrip("_")
        for name in the_line("otel", SLOW)
    }
    assert set(theirs) - {"dropped_attributes"} == ours - {"instrumentation_scope"}
    for one in Severity:
        assert SeverityNumber(one.value).name == SEVERITY_TEXT[one]


@pytest.mark.parametrize("form", ["json", "ecs", "otel"])
def test_what_is_unknown_is_not_said(form: Any) -> None:
    line = line_maker(form, {})(LogRecord(1, 0, Severity.INFO, "x"))
    for word in ("null", "correlation", "trace", "exception", '"error"', "service", "host"):
        assert word not in line.replace("TraceFlags", ""), word


ANY_TEXT = st.text(st.characters(), max_size=20)
HOSTILE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.binary(max_size=5),
        st.sampled_from([10**40, -(2**63), 2**63, "\ud800", "a\ud83d", "\n\r\x85\u2028\x1b[31m"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner),
        st.dictionaries(st.one_of(ANY_TEXT, st.integers(), st.none()), inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip
RECORDS = st.builds(
    LogRecord,
    timestamp_ns=st.integers(-(10**20), 10**21),
    sequence=st.integers(0, 2**40),
    severity=st.sampled_from(Severity),
    body=ANY_TEXT,
    event=st.one_of(st.just(""), ANY_TEXT),
    logger=ANY_TEXT,
    attributes=st.dictionaries(
        st.one_of(ANY_TEXT, st.sampled_from(sorted(RESERVED)), st.just("metal.x")),
        HOSTILE,
        max_size=5,
    ),
    correlation_id=st.one_of(st.none(), ANY_TEXT),
    trace_id=st.one_of(st.none(), ANY_TEXT),
    span_id=st.one_of(st.none(), ANY_TEXT),
    exception=st.one_of(
        st.none(), st.builds(LoggedException, ANY_TEXT, ANY_TEXT, st.one_of(st.none(), ANY_TEXT))
    ),
    thread=ANY_TEXT,
)


def strictly(line: str) -> Any:
    def refuse(word: str) -> Any:
        raise AssertionError(word)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    return json.loads(line, parse_constant=refuse, object_pairs_hook=once)


@pytest.mark.parametrize("form", ["json", "ecs", "otel"])
@given(record=RECORDS)
def test_a_line_is_one_strict_json_object_whatever_it_is_to_say(
    form: Any, record: LogRecord
) -> None:
    line = line_maker(form, RESOURCE)(record)
    assert line.startswith("{")
    assert line.endswith("}")
    assert "\n" not in line
    assert "\r" not in line
    found = strictly(line.encode().decode())
    said = found["Body"] if form == "otel" else found["message"]
    assert said == without_surrogates(record.body)
    if form == "json":
        assert len(found) >= len(record.attributes) + 5


@given(record=RECORDS, colour=st.booleans())
def test_a_line_of_text_cannot_be_forged(record: LogRecord, colour: bool) -> None:
    first, *others = line_maker("text", {}, colour=colour)(record).split("\n")
    first.encode()
    stack = record.exception.stacktrace if record.exception else None
    assert len(others) == len((stack or "").splitlines())
    assert all(one.startswith("    ") for one in others)
    if not colour:
        assert "".join([first, *others]).isprintable()


@given(value=HOSTILE)
def test_json_text_says_what_json_would(value: Any) -> None:
    text = without_surrogates(json_text(value))
    strictly(text)
    try:
        expected = json.dumps(value, allow_nan=False, ensure_ascii=False)
        expected.encode()
    except (TypeError, ValueError):
        return
    if '"null":' in expected:  # json.dumps's name for None as a key
        return
    if all(not isinstance(one, int) or abs(one) < 2**63 for one in leaves(value)):
        assert json.loads(text) == json.loads(expected)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves(one)]
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in leaves(one)]
    return [value]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, '"NaN"'), (math.inf, '"Infinity"'), (-math.inf, '"-Infinity"'),
        (2**63, f'"{2**63}"'), (2**63 - 1, str(2**63 - 1)), (True, "true"),
        (Severity.INFO, "9"), ({1}, "[1]"),
    ],
)  # fmt: skip
def test_what_json_has_no_number_for_is_text(value: Any, text: str) -> None:
    assert json_text(value) == text


def test_a_number_too_long_for_python_to_write_is_told_by_its_length() -> None:
    assert json_text(10**5000) == '"a whole number of 16610 bits"'


@given(st.dictionaries(st.text("ab_", max_size=4), st.integers(), max_size=8))
def test_names_that_are_taken_are_changed_to_free_ones(attributes: dict[str, int]) -> None:
    reserved = frozenset({"a", "b", "a_"})
    free = renamed(attributes, reserved)
    assert reserved.isdisjoint(free)
    assert list(free.values()) == list(attributes.values())
    assert all(free[name] == value for name, value in attributes.items() if name not in reserved)
