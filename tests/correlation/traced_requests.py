"""A tracer whose spans are at hand, and headers of a caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.urls import clear_url_caches
from django.utils.functional import empty

from metalscope.correlating import current_correlation_id, current_span
from metalscope.trace_options import TracesOptions
from metalscope.traces.span import FinishedSpan
from metalscope.traces.tracer import Tracer

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
CALLER = {
    "X-Correlation-ID": "order-17",
    "traceparent": f"00-{TRACE}-{SPAN}-01",
    "tracestate": "congo=1",
}


class Spans(list[FinishedSpan]):
    """Takes spans."""

    def take(self, span: FinishedSpan) -> None:
        """Take one."""
        self.append(span)


def tracer_into(spans: Spans, **options: object) -> Tracer:
    """One that keeps all."""
    settings = {"enabled": True, "sample_ratio": 1.0} | options
    return Tracer(TracesOptions.model_validate(settings), on_error=_fail, sinks=[spans])


def _fail(room: str, error: BaseException) -> None:
    raise AssertionError(room) from error


def here() -> dict[str, str | bool | None]:
    """The id and the span of what runs now."""
    span = current_span()
    return {
        "id": current_correlation_id(),
        "trace": span and span.trace_id_text,
        "span": span and span.span_id_text,
        "sampled": span and span.sampled,
        "state": span and span.trace_state,
    }


@contextmanager
def django_of(*urls: Any) -> Iterator[None]:
    """Django with these URLs, whatever other tests have made of it."""
    before = settings._wrapped
    settings._wrapped = empty
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=type("urls", (), {"urlpatterns": [*urls]}),
        SECRET_KEY="of tests",
    )
    django.setup()
    clear_url_caches()
    try:
        yield
    finally:
        settings._wrapped = before
        clear_url_caches()
