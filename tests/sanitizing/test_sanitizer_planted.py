"""A planted secret never comes out, whatever it stands in, for any audience, in any mode."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planted
from metalscope.export_options import Audience
from metalscope.logs.record import LoggedException, LogRecord, Severity
from metalscope.sanitizing.sanitizer import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.traces.span import FinishedSpan, SpanEvent, SpanLink
from planted import KNOWN, Planted

SANITIZERS = [
    Sanitizer(SanitizingOptions(mode=mode, external_fields=("*",)), secrets=[KNOWN])
    for mode in ("redact", "hash")
] + [
    Sanitizer(SanitizingOptions(keep=("*",)), secrets=[KNOWN]),
    Sanitizer(SanitizingOptions(keys=("*_note",), patterns={"t": "T-[0-9]+"}), secrets=[KNOWN]),
]  # fmt: skip
FULL = [one for one in SANITIZERS if one is not SANITIZERS[2]]
"""Those that keep no field."""

PRIVATE = ("e-mail", "ipv4", "ipv6", "hex", "card")
"""What a field that is kept may hold."""

examples = settings(suppress_health_check=[HealthCheck.too_slow])


def shown(fields: Any) -> str:
    """As JSON, escaped and not."""
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False)
    return text + text.replace("\\\\", "\\").replace('\\"', '"').replace("\\n", "\n")


@examples
@given(planted.placed_in_text(), st.sampled_from(FULL))
def test_in_a_text(one: Planted, sanitizer: Sanitizer) -> None:
    text = sanitizer.text(one.holder)
    assert one.secret not in text, one
    assert sanitizer.text(text) == text


@examples
@given(planted.placed_in_fields(), st.sampled_from(SANITIZERS), st.sampled_from(Audience))
def test_in_fields(one: Planted, sanitizer: Sanitizer, audience: Audience) -> None:
    fields = sanitizer.attributes(one.holder, audience)
    if sanitizer in FULL or not one.where.removeprefix("value: ").startswith(PRIVATE):
        assert one.secret not in shown(fields), one
    assert sanitizer.attributes(fields, audience) == fields


@examples
@given(planted.placed_in_exceptions(), st.sampled_from(FULL), st.sampled_from(Audience))
def test_in_an_exception(one: Planted, sanitizer: Sanitizer, audience: Audience) -> None:
    try:
        one.holder()
    except Exception as error:
        exception = LoggedException(
            type(error).__name__, str(error), "".join(traceback.format_exception(error))
        )
        said = {"error": error}
    record = LogRecord(1, 1, Severity.ERROR, "failed", exception=exception, attributes=said)
    clean = sanitizer.record(record, audience)
    assert one.secret not in repr(clean).replace("\\\\", "\\"), one
    assert clean.exception is not None
    assert one.secret not in f"{clean.exception.message}{clean.exception.stacktrace}"
    assert one.secret not in shown(clean.attributes)
    assert sanitizer.record(clean, audience) == clean


@examples
@given(planted.placed_in_text(), st.sampled_from(FULL), st.sampled_from(Audience))
def test_in_every_part_of_a_record_and_of_a_span(
    one: Planted, sanitizer: Sanitizer, audience: Audience
) -> None:
    text, fields = one.holder, {"a": one.holder}
    record = LogRecord(
        1, 1, Severity.INFO, text, text, text, fields, text, exception=LoggedException(text, text),
        thread=text,
    )  # fmt: skip
    clean = sanitizer.record(record, audience)
    parts = [clean.body, clean.event, clean.logger, clean.correlation_id or "", clean.thread]
    assert clean.exception is not None
    parts += [clean.exception.type, clean.exception.message, shown(clean.attributes)]
    assert not [part for part in parts if one.secret in part], one

    span = FinishedSpan(
        1, 2, 0, text, 1, 2, attributes=fields, error=text, events=(SpanEvent(1, text, fields),),
        links=(SpanLink(1, 2, fields),), trace_state=text, correlation_id=text, thread_name=text,
    )  # fmt: skip
    done = sanitizer.span(span, audience)
    (event,), (link,) = done.events, done.links
    parts = [done.name, done.error, event.name, done.trace_state, done.correlation_id or ""]
    parts += [shown(part.attributes) for part in (done, event, link)] + [done.thread_name]
    assert not [part for part in parts if one.secret in part], one
    assert sanitizer.span(done, audience) == done


@examples
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_the_same_when_it_is_sanitized_again(one: str, other: str) -> None:
    for sanitizer in FULL:
        once = sanitizer.text(f"{one} token={other} {one}@{other}.org")
        assert sanitizer.text(once) == once
        once.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@examples
@given(st.dictionaries(st.text(), JSON), st.sampled_from(FULL), st.sampled_from(Audience))
def test_any_fields_become_json_and_are_the_same_when_sanitized_again(
    fields: dict[str, Any], sanitizer: Sanitizer, audience: Audience
) -> None:
    once = sanitizer.attributes(fields, audience)
    json.dumps(once, allow_nan=False).encode()
    assert sanitizer.attributes(once, audience) == once
    record = LogRecord(1, 1, Severity.INFO, "said", attributes=fields)
    assert dict(sanitizer.record(record, audience).attributes) == once


@pytest.mark.parametrize("mode", ["redact", "hash"])
def test_a_secret_is_not_in_the_repr_of_a_sanitizer_or_its_options(mode: str) -> None:
    options = SanitizingOptions(mode=mode, hash_key=KNOWN)  # type: ignore[arg-type]
    sanitizer = Sanitizer(options, secrets=[KNOWN])
    sanitizer.add_secret("hunter2hunter2")
    assert repr(sanitizer) == f"<Sanitizer {mode}, knows 2 secrets>"
    for part in (sanitizer, options, *vars(sanitizer).values()):
        assert KNOWN not in repr(part)
        assert "hunter2" not in str(part)
