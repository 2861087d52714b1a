"""The correlation id and the current span into HTTP headers, and out of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote

from metalscope.correlating import (
    CURRENT_ID,
    CURRENT_SPAN,
    MOST_ID_CHARACTERS,
    SpanContext,
    UnsampledContext,
    within,
)
from metalscope.propagation.traceparent import parse_traceparent, traceparent_of

__all__ = [
    "CORRELATION_ID",
    "REQUEST_ID",
    "TRACEPARENT",
    "TRACESTATE",
    "Incoming",
    "extract",
    "header_of",
    "incoming",
    "inject",
    "outgoing_span",
]

CORRELATION_ID: Final = "X-Correlation-ID"
REQUEST_ID: Final = "X-Request-ID"
"""Read where there is no ``X-Correlation-ID``."""
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_OPENTELEMETRY: Final = "opentelemetry.trace"
_LENGTHS: Final = frozenset(map(len, (CORRELATION_ID, REQUEST_ID, TRACEPARENT, TRACESTATE)))
_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))

Headers = TypeVar("Headers", bound=MutableMapping[str, str])


class Incoming(NamedTuple):
    """What a request brought with it; ``None`` for what it did not, or not in a form to be used."""

    correlation_id: str | None = None
    parent: SpanContext | None = None

    def within(self) -> within:
        """A context manager that has its block run in both."""
        return within(self.correlation_id, self.parent)

    def take_up(self) -> None:
        """Have all that follows in this context run in what there is of both."""
        if self.correlation_id is not None:
            CURRENT_ID.set(self.correlation_id)
        if self.parent is not None:
            CURRENT_SPAN.set(self.parent)


def extract(
    headers: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]],
) -> Incoming:
    """What the headers of a request, or of a message, bring; in whatever case their names are.

    Nothing is raised for what they say: a ``traceparent`` that is none is left out, and of an id
    at most 128 characters of printable ASCII are taken.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if len(name) in _LENGTHS:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            found.setdefault(name.lower(), []).append(text)
    if not found:
        return Incoming()
    ids = found.get("x-correlation-id") or found.get("x-request-id") or [""]
    return incoming(
        correlation_id=ids[0],
        # RFC 9110, 5.3: so two are one that is not valid, and lists are one list.
        traceparent=",".join(found.get(TRACEPARENT, ())),
        tracestate=",".join(found.get(TRACESTATE, ())),
    )


def incoming(*, correlation_id: str, traceparent: str, tracestate: str) -> Incoming:
    """The same from the values of the headers, empty for those that were not there."""
    parent = parse_traceparent(traceparent, tracestate) if traceparent else None
    return Incoming(_clean(correlation_id) or None, parent)


def inject(headers: Headers) -> Headers:
    """Put the current correlation id and span into the headers of a request; returns ``headers``.

    ``traceparent`` is that of :func:`outgoing_span`. Where there is no span, and where there is no
    id, nothing is put.
    """
    correlation_id = CURRENT_ID.get()
    if correlation_id:
        headers[CORRELATION_ID] = header_of(correlation_id)
    span = outgoing_span()
    if span is not None:
        headers[TRACEPARENT] = traceparent_of(span)
        if span.trace_state:
            headers[TRACESTATE] = span.trace_state
    return headers


def outgoing_span() -> SpanContext | None:
    """The span that what is asked of others belongs to: the innermost one that is current here.

    That is one of this library, or of OpenTelemetry where the program uses that; else what came
    with the request that is being served.
    """
    own = CURRENT_SPAN.get()
    api = sys.modules.get(_OPENTELEMETRY)
    if api is None:
        return own
    try:
        foreign = api.get_current_span()
        context = foreign.get_span_context()
        if not context.is_valid:
            return own
        live = None if own is None else own.live
        # One of ours knows what was current there when it began; another began within it.
        if live is not None and getattr(live, "foreign", foreign) is foreign:
            return own
        kind = SpanContext if context.trace_flags.sampled else UnsampledContext
        state = context.trace_state
        text = state.to_header() if state else ""
        return kind(context.trace_id, context.span_id, trace_state=text)
    except Exception:  # noqa: BLE001 - law: a request is not to fail because of us
        # Another thread may be half way through importing it.
        return own


def header_of(correlation_id: str) -> str:
    """The id as a header's value: in ASCII that can be printed.

    Other characters are written as percent signs and hexadecimal digits of their UTF-8, so that
    different ids stay different. No line break can come into a header by it.
    """
    if correlation_id.isascii() and correlation_id.isprintable():
        return correlation_id
    printable = "".join(filter(str.isprintable, correlation_id))
    return quote(printable, safe=_PRINTABLE, errors="replace")


def _clean(text: str) -> str:
    """An id from elsewhere, of at most 128 characters of printable ASCII."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(one for one in text if one.isascii() and one.isprintable())
    return text.strip()[:MOST_ID_CHARACTERS].rstrip()
