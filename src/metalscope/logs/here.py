"""The span that is current where a record is made."""

from __future__ import annotations

import sys
from typing import Any, Final

from metalscope.correlating import CURRENT_SPAN, SpanContext, UnsampledContext

__all__ = ["current_trace", "opentelemetry_trace"]

_API: Final = "opentelemetry.trace"


def current_trace() -> SpanContext | None:
    """Our current span, else that of OpenTelemetry, if the program has loaded it."""
    span = CURRENT_SPAN.get()
    if span is not None or _API not in sys.modules:
        return span
    return opentelemetry_trace()


def opentelemetry_trace() -> SpanContext | None:
    """OpenTelemetry's current span as ours are; it is never imported here."""
    api: Any = sys.modules.get(_API)
    try:
        context = api.get_current_span().get_span_context()
        if not context.is_valid:
            return None
        kind = SpanContext if context.trace_flags.sampled else UnsampledContext
        return kind(context.trace_id, context.span_id)
    except Exception:  # noqa: BLE001 - half imported by another thread, or not as we know it
        return None
