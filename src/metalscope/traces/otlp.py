"""Spans by OTLP: each as the bytes of one message, and their sender."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from metalscope.attributes import CORRELATION_ID
from metalscope.errors import MissingExtraError
from metalscope.sending.otlp.sender import OtlpSender
from metalscope.sending.otlp.service import traces_service
from metalscope.sending.otlp.values import key_values, legible
from metalscope.traces.span import Decision, FinishedSpan, SpanEvent, SpanKind, SpanLink

try:
    from opentelemetry.proto.trace.v1 import trace_pb2 as otlp
except ImportError as missing:
    raise MissingExtraError("sending spans by OTLP", "otlp", cause=str(missing)) from missing

if TYPE_CHECKING:
    from metalscope.trace_options import SpanExporterOptions

__all__ = ["KEPT_FOR", "OtlpSpanSender", "encode"]

KEPT_FOR: Final = "metalscope.kept_for"
"""The attribute that says why a span is kept of a trace that is not: ``slow``, for one."""

_KINDS: Final = {
    SpanKind.INTERNAL: otlp.Span.SPAN_KIND_INTERNAL,
    SpanKind.SERVER: otlp.Span.SPAN_KIND_SERVER,
    SpanKind.CLIENT: otlp.Span.SPAN_KIND_CLIENT,
}
_SAMPLED: Final = 1
"""W3C Trace Context, "Trace Flags"; the low bits of a span's flags in OTLP."""


def encode(span: FinishedSpan) -> bytes:
    """One span as a serialized ``opentelemetry.proto.trace.v1.Span``.

    Beside its own attributes it has the thread's (OpenTelemetry semantic conventions, "General
    thread attributes"), the correlation id, and :data:`KEPT_FOR`, where there are any.
    """
    message = otlp.Span(
        trace_id=_trace_id(span.trace_id),
        span_id=_span_id(span.span_id),
        parent_span_id=_span_id(span.parent_id) if span.parent_id else b"",
        trace_state=legible(span.trace_state),
        flags=_SAMPLED if span.decision is Decision.SAMPLED else 0,
        name=legible(span.name),
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=key_values(_attributes(span)),
        events=[_event(one) for one in span.events],
        links=[_link(one) for one in span.links],
    )
    if span.failed:
        # Trace API, "Set Status": a description goes with an error alone; else it stays unset.
        message.status.code = otlp.Status.STATUS_CODE_ERROR
        message.status.message = legible(span.error)
    return message.SerializeToString()


def _attributes(span: FinishedSpan) -> dict[str, Any]:
    found = dict(span.attributes)
    if span.thread:
        found.setdefault("thread.id", span.thread)
    if span.thread_name:
        found.setdefault("thread.name", span.thread_name)
    if span.correlation_id is not None:
        found.setdefault(CORRELATION_ID, span.correlation_id)
    if span.decision is not Decision.SAMPLED:
        found.setdefault(KEPT_FOR, span.decision.value)
    return found


def _event(event: SpanEvent) -> otlp.Span.Event:
    return otlp.Span.Event(
        time_unix_nano=event.time_ns,
        name=legible(event.name),
        attributes=key_values(event.attributes),
    )


def _link(link: SpanLink) -> otlp.Span.Link:
    return otlp.Span.Link(
        trace_id=_trace_id(link.trace_id),
        span_id=_span_id(link.span_id),
        attributes=key_values(link.attributes),
    )


def _trace_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


class OtlpSpanSender(OtlpSender):
    """Sends spans to one collector: batches of what :func:`encode` made.

    Args:
        options: to where, and how.
        resource: who speaks, by OpenTelemetry's resource conventions.

    Raises:
        ConfigurationError: an option cannot be used.
        MissingExtraError: a library of ``metalscope[otlp]`` is not installed.
    """

    def __init__(self, options: SpanExporterOptions, *, resource: Mapping[str, Any]) -> None:
        super().__init__(
            traces_service(),
            options,
            protocol=options.protocol,
            compress=options.compress,
            timeout=options.timeout,
            resource=resource,
        )
