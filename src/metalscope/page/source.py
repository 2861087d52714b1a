"""The one interface of where the page's past comes from, and what it is asked and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

from metalscope.errors import MetalscopeError
from metalscope.history.answers import Reading

__all__ = [
    "MEASURES",
    "QUANTILES",
    "Described",
    "Durations",
    "HostState",
    "Line",
    "Lines",
    "Measure",
    "OperationRow",
    "Operations",
    "PageSource",
    "SourceError",
    "TimeRange",
    "Wanted",
]

Measure = Literal[
    "operations", "errors", "error_rate", "duration_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms",
    "p999_ms", "resource", "custom",
]  # fmt: skip

MEASURES: Final[tuple[Measure, ...]] = (
    "operations", "errors", "error_rate", "duration_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms",
    "p999_ms", "resource", "custom",
)  # fmt: skip

QUANTILES: Final[Mapping[str, float]] = MappingProxyType(
    {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999}
)
"""The measures that are quantiles of durations, by the share of durations below them."""


class SourceError(MetalscopeError):
    """The past cannot be read now; the text says why and holds no secret."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From ``since`` until before ``until``, in steps of ``step``; both with a zone."""

    since: datetime
    until: datetime
    step: timedelta


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines.

    ``measure``: ``operations`` and ``errors`` are a second, ``error_rate`` is 0..1, durations are
    ms, ``resource`` is in the unit of its kind, ``custom`` as the program recorded it. ``kind``,
    ``name`` and ``device`` are patterns in which ``*`` stands for any text and ``?`` for any
    character. ``by`` is whether operations are given together, or each, or together by host;
    readings are given each always. ``host`` is one of a fleet, all where it is empty. ``reading``
    is which of the readings in a step. Of more than ``limit`` lines those that are highest on
    average are given.
    """

    measure: Measure
    by: Literal["all", "operation", "host"] = "all"
    kind: str = "*"
    name: str = "*"
    device: str = "*"
    host: str = ""
    reading: Reading = "mean"
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One series: a value a step, ``None`` where nothing is known.

    ``kind``, ``name`` and ``device`` are empty for all operations together, ``host`` where there is
    but one. ``unit`` is ``/s``, ``ratio``, ``ms``, that of a reading, or empty. ``ceiling`` is what
    a reading cannot pass. ``labels`` are those of a query's answer.
    """

    values: Sequence[float | None]
    kind: str = ""
    name: str = ""
    device: str = ""
    host: str = ""
    unit: str = ""
    ceiling: float | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "device": self.device,
            "host": self.host,
            "unit": self.unit,
            "ceiling": self.ceiling,
            "labels": dict(self.labels),
            "values": list(self.values),
        }


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of the same steps: the first begins at ``start`` s since the epoch, each is ``step`` s
    long. ``omitted`` is how many lines there are beyond those asked for.
    """

    start: float
    step: float
    lines: tuple[Line, ...] = ()
    omitted: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "start": self.start,
            "step": self.step,
            "lines": [line.to_dict() for line in self.lines],
            "omitted": self.omitted,
        }


@dataclass(frozen=True, slots=True)
class OperationRow:
    """What operations of one kind and name did on one device in some time; ms, bytes, counts.

    ``failures`` counts those that failed by the name of their error. Quantiles are of the
    operations that went well and were timed, ``None`` where none were; ``max_ms`` is no less than
    the longest. ``gpu_ms`` is the device's own time for one of them on average.
    """

    kind: str = ""
    name: str = ""
    device: str = ""
    host: str = ""
    operations: float = 0
    errors: float = 0
    failures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    mean_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    max_ms: float | None = None
    nbytes: float | None = None
    gpu_ms: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "device": self.device,
            "host": self.host,
            "operations": self.operations,
            "errors": self.errors,
            "failures": dict(self.failures),
            "mean_ms": self.mean_ms,
            "p50_ms": self.p50_ms,
            "p90_ms": self.p90_ms,
            "p95_ms": self.p95_ms,
            "p99_ms": self.p99_ms,
            "p999_ms": self.p999_ms,
            "max_ms": self.max_ms,
            "nbytes": self.nbytes,
            "gpu_ms": self.gpu_ms,
        }


@dataclass(frozen=True, slots=True)
class Operations:
    """All operations of some time together, and each, the busiest first.

    ``covered_seconds`` is how long of it telemetry ran; ``None`` where the source cannot say.
    ``omitted`` is how many rows there are beyond those asked for.
    """

    total: OperationRow | None = None
    rows: tuple[OperationRow, ...] = ()
    covered_seconds: float | None = None
    omitted: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "covered_seconds": self.covered_seconds,
            "total": None if self.total is None else self.total.to_dict(),
            "operations": [row.to_dict() for row in self.rows],
            "omitted": self.omitted,
        }


@dataclass(frozen=True, slots=True)
class Durations:
    """How long operations took, step by step, as a heat map is drawn of it.

    ``edges_ms`` ascend. Cell ``n`` holds durations above edge ``n - 1`` up to edge ``n``; the one
    after the last edge those above it. ``cells`` are ``(step, cell, count)``, without those of 0.
    """

    start: float
    step: float
    steps: int
    edges_ms: tuple[float, ...] = ()
    cells: tuple[tuple[int, int, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "start": self.start,
            "step": self.step,
            "steps": self.steps,
            "edges_ms": list(self.edges_ms),
            "cells": [list(cell) for cell in self.cells],
        }


@dataclass(frozen=True, slots=True)
class HostState:
    """One host of a fleet as it is now; what is not known is ``None``.

    ``error_rate`` is 0..1, over the last minutes, as ``operations`` a second and durations are.
    ``components`` is each component's status; ``alerts`` the firing ones, as (rule, severity).
    """

    host: str
    operations: float | None = None
    error_rate: float | None = None
    mean_ms: float | None = None
    p99_ms: float | None = None
    memory_bytes: float | None = None
    gpu_percent: float | None = None
    power_watts: float | None = None
    health: str | None = None
    components: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    alerts: tuple[tuple[str, str], ...] = ()
    version: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "host": self.host,
            "operations": self.operations,
            "error_rate": self.error_rate,
            "mean_ms": self.mean_ms,
            "p99_ms": self.p99_ms,
            "memory_bytes": self.memory_bytes,
            "gpu_percent": self.gpu_percent,
            "power_watts": self.power_watts,
            "health": self.health,
            "components": dict(self.components),
            "alerts": [list(alert) for alert in self.alerts],
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Described:
    """What a source is: ``history`` or ``prometheus``, and where, without what is secret.

    ``first`` and ``last`` are the moments it knows of, ``None`` where it cannot say or knows none.
    ``hosts`` are those of a fleet, in order.
    """

    source: Literal["history", "prometheus"]
    address: str = ""
    first: datetime | None = None
    last: datetime | None = None
    hosts: tuple[str, ...] = ()


class PageSource(Protocol):
    """Where the past comes from. Any thread may ask; each method may take as long as reading does.

    All methods raise :class:`SourceError` where it cannot be read, and :class:`ValueError` where
    what is asked for makes no sense.
    """

    def describe(self) -> Described:
        """What this is."""
        ...

    def lines(self, wanted: Wanted, within: TimeRange) -> Lines:
        """The lines that are wanted, the highest first."""
        ...

    def operations(self, since: datetime, until: datetime, *, host: str, limit: int) -> Operations:
        """What ran, at most ``limit`` rows of it."""
        ...

    def durations(self, wanted: Wanted, within: TimeRange) -> Durations:
        """How long the operations took that ``wanted`` names; its measure does not count."""
        ...

    def hosts(self) -> tuple[HostState, ...]:
        """The hosts of a fleet as they are now; empty where the source is of one process."""
        ...

    def query(self, text: str, within: TimeRange, *, limit: int) -> Lines:
        """What the source answers to a query in its own language.

        Raises:
            ValueError: the source has no language, or does not understand the query.
        """
        ...
