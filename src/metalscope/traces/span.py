"""Span: one operation or request within a trace, by OpenTelemetry's data model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from metalscope.correlating import SpanContext

__all__ = [
    "MOST_EVENTS",
    "Decision",
    "FinishedSpan",
    "Span",
    "SpanEvent",
    "SpanKind",
    "SpanLink",
    "error_text",
]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

MOST_EVENTS: Final = 128
"""Most events, and most links, of one span: OpenTelemetry's default limit ("Span Limits")."""


class SpanKind(StrEnum):
    """OpenTelemetry's kinds of span, as far as there are any here."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


class Decision(StrEnum):
    """Why a span was kept."""

    SAMPLED = "sampled"
    """Its trace is."""
    SLOW = "slow"
    FAILED = "failed"
    AROUND = "around"
    """Something within it was slow or failed."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened within a span, at a Unix time in ns."""

    time_ns: int
    name: str
    attributes: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class SpanLink:
    """Another span this one belongs with."""

    trace_id: int
    span_id: int
    attributes: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


# Not frozen, as such a one takes six times as long to make: nobody changes it.
@dataclass(slots=True)
class FinishedSpan:
    """A span that is over. Times are Unix times in ns; ids are whole numbers, 0 for no parent.

    ``error`` is what went wrong, in one sentence; empty where nothing did. ``thread`` is the
    thread's number, ``thread_name`` its name; ``decision`` is why it was kept.
    """

    trace_id: int
    span_id: int
    parent_id: int
    name: str
    start_ns: int
    end_ns: int
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    error: str = ""
    failed: bool = False
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    trace_state: str = ""
    decision: Decision = Decision.SAMPLED
    correlation_id: str | None = None
    thread: int = 0
    thread_name: str = ""

    @property
    def duration_ns(self) -> int:
        """How long it took, in ns."""
        return self.end_ns - self.start_ns


class Span:
    """A span that goes on; made by the tracer, finished once."""

    __slots__ = (
        "attributes", "context", "error", "events", "failed", "keep", "kind", "links", "name",
        "parent_id", "start_ns",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        context: SpanContext,
        *,
        parent_id: int,
        start_ns: int,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] = _NOTHING,
    ) -> None:
        self.name = name
        self.context = context
        self.parent_id = parent_id
        self.start_ns = start_ns
        self.kind = kind
        self.attributes: dict[str, Any] = dict(attributes)
        self.events: tuple[SpanEvent, ...] = ()
        self.links: tuple[SpanLink, ...] = ()
        self.error = ""
        self.failed = False
        self.keep: Decision | None = None
        """Why it is kept although its trace is not sampled."""
        context.live = self

    def set_attribute(self, name: str, value: Any) -> None:
        """Say something of it: text, a number, a truth value, or a list of these."""
        self.attributes[name] = value

    def add_event(
        self, name: str, attributes: Mapping[str, Any] = _NOTHING, *, at_ns: int | None = None
    ) -> None:
        """Say that something happened within it, now or at a Unix time in ns.

        Past :data:`MOST_EVENTS` they are left out.
        """
        if len(self.events) < MOST_EVENTS:
            at = time.time_ns() if at_ns is None else at_ns
            self.events += (SpanEvent(at, name, dict(attributes)),)

    def add_link(
        self, trace_id: int, span_id: int, attributes: Mapping[str, Any] = _NOTHING
    ) -> None:
        """Say that another span belongs with it. Past :data:`MOST_EVENTS` they are left out."""
        if len(self.links) < MOST_EVENTS:
            self.links += (SpanLink(trace_id, span_id, dict(attributes)),)

    def set_error(self, error: BaseException | str) -> None:
        """Mark it as failed."""
        self.failed = True
        self.error = error if isinstance(error, str) else error_text(error)


def error_text(error: BaseException) -> str:
    """An exception in one line: its type, and what it says."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - its own __str__ raised
        return type(error).__name__
