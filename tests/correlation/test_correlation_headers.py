"""Ids and spans into headers and environment variables, and out of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import requests.structures
import starlette.datastructures
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from metalscope.correlating import (
    CURRENT_SPAN,
    SpanContext,
    UnsampledContext,
    correlation,
    current_correlation_id,
    current_span,
    within,
)
from metalscope.propagation import Incoming, environment, extract, from_environment, inject
from metalscope.propagation.headers import header_of
from metalscope.trace_options import TracesOptions
from metalscope.traces.tracer import Tracer

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def told(span: SpanContext | None) -> tuple[str, str, bool] | None:
    return span and (span.trace_id_text, span.span_id_text, span.sampled)


def fails(room: str, error: BaseException) -> None:
    raise AssertionError(room) from error


@pytest.fixture
def tracer() -> Tracer:
    return Tracer(TracesOptions(enabled=True, sample_ratio=1.0), on_error=fails)


def test_nothing_is_put_where_there_is_nothing() -> None:
    assert inject({}) == {}
    assert extract({}) == Incoming(None, None)


def test_what_is_put_in_comes_out() -> None:
    for kind in (SpanContext, UnsampledContext):
        here = kind(17, 4, trace_state="congo=1")
        with within("order-17", here):
            headers = inject({"Accept": "*/*"})
        assert headers == {
            "Accept": "*/*",
            "X-Correlation-ID": "order-17",
            "traceparent": f"00-{17:032x}-{4:016x}-0{int(kind.sampled)}",
            "tracestate": "congo=1",
        }
        found = extract(headers)
        assert found.correlation_id == "order-17"
        assert told(found.parent) == told(here)
        assert found.parent is not None
        assert found.parent.trace_state == "congo=1"


@pytest.mark.parametrize(
    "kind",
    [
        dict,
        httpx.Headers,
        requests.structures.CaseInsensitiveDict,
        starlette.datastructures.Headers,
        lambda headers: list(headers.items()),
        lambda headers: [(name, value.encode()) for name, value in headers.items()],
    ],
)
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_headers_are_found_in_whatever_case_and_mapping(kind: Any, spell: Any) -> None:
    headers = {"Accept": "*/*", "X-Correlation-ID": "a", "traceparent": PARENT, "tracestate": "b=1"}
    found = extract(kind({spell(name): value for name, value in headers.items()}))
    assert found.correlation_id == "a"
    assert told(found.parent) == (PARENT[3:35], PARENT[36:52], True)
    assert found.parent is not None
    assert found.parent.trace_state == "b=1"


@pytest.mark.parametrize(
    ("headers", "correlation_id"),
    [
        ({"X-Request-ID": "r"}, "r"),
        ({"X-Request-ID": "r", "X-Correlation-ID": "c"}, "c"),
        ({"X-Correlation-ID": ""}, None),
        ({"X-Correlation-ID": " \t"}, None),
        ({"X-Correlation-ID": " a b "}, "a b"),
        ({"X-Correlation-ID": "a\r\nSet-Cookie: x"}, "aSet-Cookie: x"),
        ({"X-Correlation-ID": "a\x1b[31mé\x7f\u202e"}, "a[31m"),
        ({"X-Correlation-ID": "a" * 1000}, "a" * 128),
        ({"Correlation-ID": "a"}, None),
    ],
)
def test_an_id_is_what_can_be_printed_of_it(
    headers: Mapping[str, str], correlation_id: str | None
) -> None:
    assert extract(headers).correlation_id == correlation_id


def test_lists_of_one_header_are_one_and_two_parents_are_none() -> None:
    both = [("traceparent", PARENT), ("tracestate", "a=1"), ("TraceState", "b=2")]
    found = extract(both)
    assert found.parent is not None
    assert found.parent.trace_state == "a=1,b=2"
    assert extract([*both, ("traceparent", PARENT)]) == Incoming(None, None)
    assert extract([("X-Correlation-ID", "a"), ("X-Correlation-ID", "b")]).correlation_id == "a"


@given(
    st.dictionaries(
        st.sampled_from(["traceparent", "tracestate", "X-Correlation-ID", "x-request-id", "a"]),
        st.text(),
    )
)
def test_no_header_raises_anything(headers: dict[str, str]) -> None:
    found = extract(headers)
    text = found.correlation_id
    assert text is None or (text.isascii() and text.isprintable() and 0 < len(text) <= 128)


@given(st.text(min_size=1, max_size=128))
def test_whatever_the_id_is_it_fits_a_header(text: str) -> None:
    with correlation(text) as correlation_id:
        value = inject({})["X-Correlation-ID"]
    assert value.isascii()
    assert value.isprintable()
    if correlation_id.isascii():
        assert value == correlation_id


def test_ids_that_differ_stay_different_in_headers() -> None:
    assert header_of("заказ-1") == "%D0%B7%D0%B0%D0%BA%D0%B0%D0%B7-1"
    assert header_of("заказ-1") != header_of("товар-1")
    assert header_of("50%") == "50%"


# -- OpenTelemetry beside -----------------------------------------------------------------------


@pytest.fixture
def theirs() -> Any:
    return TracerProvider().get_tracer("test")


def test_a_span_of_opentelemetry_is_the_parent_where_there_is_none_of_ours(theirs: Any) -> None:
    with theirs.start_as_current_span("work") as span:
        ids = span.get_span_context()
        assert inject({}) == {"traceparent": f"00-{ids.trace_id:032x}-{ids.span_id:016x}-01"}
    assert inject({}) == {}


def test_so_is_one_that_it_does_not_keep() -> None:
    off = TracerProvider(sampler=ALWAYS_OFF).get_tracer("test")
    with off.start_as_current_span("work"):
        assert inject({})["traceparent"].endswith("-00")


def test_its_tracestate_goes_with_it() -> None:
    state = trace.TraceState([("a", "1"), ("b", "2")])
    ids = trace.SpanContext(1, 2, is_remote=True, trace_state=state)
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(ids)))
    try:
        assert inject({})["tracestate"] == "a=1,b=2"
    finally:
        context.detach(token)


def test_of_ours_and_theirs_it_is_the_inner_one(tracer: Tracer, theirs: Any) -> None:
    def parent() -> str:
        return inject({})["traceparent"][36:52]

    with within(None, SpanContext(5, 6)):
        assert parent() == f"{6:016x}"
        with theirs.start_as_current_span("outer") as outer:
            assert parent() == f"{outer.get_span_context().span_id:016x}", "within the request"
            with tracer.span("ours") as ours:
                assert parent() == ours.context.span_id_text
                with theirs.start_as_current_span("inner") as inner:
                    assert parent() == f"{inner.get_span_context().span_id:016x}"
                assert parent() == ours.context.span_id_text


# -- the environment ----------------------------------------------------------------------------


@pytest.fixture
def clean() -> Iterator[None]:
    with within(None, None):
        yield


def test_a_child_process_takes_up_what_its_parent_hands_on() -> None:
    source = (
        "from metalscope.propagation import from_environment\n"
        "from metalscope.correlating import current_correlation_id, current_span\n"
        "from_environment().take_up()\n"
        "print(current_correlation_id(), current_span(), current_span().trace_state)\n"
    )
    span = UnsampledContext(17, 4, trace_state="congo=1")
    with within("nightly", span):
        done = subprocess.run(
            [sys.executable, "-c", source],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert done.stdout == f"nightly {span!r} congo=1\n"


def test_the_environment_stays_what_it_was_besides(clean: None) -> None:
    before = {"PATH": "/bin", "TRACEPARENT": PARENT, "TRACESTATE": "a=1"}
    assert environment(before) == before
    with within("a", SpanContext(1, 2)):
        assert environment(before) == {
            "PATH": "/bin",
            "TRACEPARENT": f"00-{1:032x}-{2:016x}-01",
            "METALSCOPE_CORRELATION_ID": "a",
        }
    assert len(before) == 3


def test_taking_up_nothing_changes_nothing() -> None:
    span = SpanContext(1, 2)
    with within("a", span):
        from_environment({"TRACEPARENT": "garbage"}).take_up()
        assert (current_correlation_id(), CURRENT_SPAN.get()) == ("a", span)
        with from_environment({"TRACEPARENT": PARENT}).within():
            assert told(current_span()) == (PARENT[3:35], PARENT[36:52], True)
            assert current_correlation_id() is None
