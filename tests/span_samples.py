"""Finished spans to be sent and written."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from metalscope.traces.span import Decision, FinishedSpan, SpanEvent, SpanKind, SpanLink

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
START = 1_764_000_000_123_456_789
MS = 1_000_000


def a_span(number: int = 1, **fields: Any) -> FinishedSpan:
    """One span of a ms, the next one after it."""
    begins = START + number * 2 * MS
    values: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": number,
        "parent_id": 0,
        "name": f"span {number}",
        "start_ns": begins,
        "end_ns": begins + MS,
        "thread": 7,
        "thread_name": "MainThread",
    }
    return FinishedSpan(**values | fields)


def full_span() -> FinishedSpan:
    """One with all there is, and a value of every kind that OTLP has a place for."""
    return FinishedSpan(
        trace_id=TRACE,
        span_id=0xB7AD6B7169203331,
        parent_id=0x00F067AA0BA902B7,
        name="execute matmul ∇",
        start_ns=START,
        end_ns=START + 12_345_678,
        kind=SpanKind.SERVER,
        attributes={
            "text": "äöü ✓",
            "empty": "",
            "yes": True,
            "no": False,
            "whole": -(2**63),
            "real": 0.1,
            "list": ["a", "b"],
            "numbers": [1, 2, 3],
            "nothing": [],
            "mapping": {"inner": 1.5, "deeper": {"x": [True]}},
        },
        error="out_of_memory: no room",
        failed=True,
        events=(
            SpanEvent(START + 5, "waited", {"queue": "gpu 0"}),
            SpanEvent(START + 6, "bare"),
        ),
        links=(SpanLink(TRACE + 1, 17, {"why": "batch"}), SpanLink(TRACE + 2, 18)),
        trace_state="vendor=a:b,other=c",
        decision=Decision.FAILED,
        correlation_id="order-17",
        thread=140_000_000_000_123,
        thread_name="worker-1",
    )


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF), max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_attributes = st.dictionaries(st.text(), _values, max_size=4)
_ids = st.integers(1, 2**64 - 1)
_moments = st.integers(START, START + 10**12)
_events = st.builds(SpanEvent, _moments, st.text(), _attributes)
_links = st.builds(SpanLink, _ids, _ids, _attributes)


@st.composite
def spans(draw: st.DrawFn) -> FinishedSpan:
    """Any span that a tracer could make, and some it could not."""
    start = draw(_moments)
    return FinishedSpan(
        trace_id=draw(st.integers(1, 2**128 - 1)),
        span_id=draw(_ids),
        parent_id=draw(st.just(0) | _ids),
        name=draw(st.text()),
        start_ns=start,
        end_ns=start + draw(st.integers(0, 10**11)),
        kind=draw(st.sampled_from(SpanKind)),
        attributes=draw(_attributes),
        error=draw(st.text()),
        failed=draw(st.booleans()),
        events=tuple(
            draw(st.lists(st.builds(SpanEvent, _moments, st.text(), _attributes), max_size=2))
        ),
        links=tuple(draw(st.lists(st.builds(SpanLink, _ids, _ids, _attributes), max_size=2))),
        decision=draw(st.sampled_from(Decision)),
        correlation_id=draw(st.none() | st.text()),
        thread=draw(st.integers(0, 3)),
        thread_name=draw(st.sampled_from(["", "MainThread", "worker"])),
    )
