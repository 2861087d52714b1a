"""MetalProductionReport: a snapshot with its analysis, as text, Markdown or data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from metalscope.amounts import ABSENT, amount, number
from metalscope.analysis import (
    ErrorAnalysis,
    OperationSummary,
    PerformanceAnalysis,
    ReportThresholds,
    Trend,
    analyse_errors,
    analyse_performance,
    analyse_trends,
    recommend,
)
from metalscope.health_analysis import HealthAnalysis, analyse_health
from metalscope.performance_score import PerformanceScore
from metalscope.report_alerts import ALERTS_HEAD, alert_rows
from metalscope.report_counters import (
    COUNTERS_HEAD,
    DEVICES_HEAD,
    counter_rows,
    device_rows,
)
from metalscope.report_health import (
    ANOMALIES_HEAD,
    BREAKERS_HEAD,
    COMPONENTS_HEAD,
    OBJECTIVES_HEAD,
    PREDICTIONS_HEAD,
    anomaly_rows,
    breaker_rows,
    component_rows,
    health_lines,
    objective_rows,
    prediction_rows,
)
from metalscope.snapshot import MetalTelemetrySnapshot, ResourceMetrics

__all__ = ["MetalProductionReport", "ReportThresholds"]


@dataclass(frozen=True)
class MetalProductionReport:
    """What happened, how well it went, and what to look at."""

    snapshot: MetalTelemetrySnapshot
    performance: PerformanceAnalysis
    errors: ErrorAnalysis
    trends: tuple[Trend, ...]
    recommendations: tuple[str, ...]
    health: HealthAnalysis

    @classmethod
    def of(
        cls, snapshot: MetalTelemetrySnapshot, thresholds: ReportThresholds | None = None
    ) -> Self:
        """Analyse a snapshot."""
        thresholds = thresholds or ReportThresholds()
        performance = analyse_performance(snapshot, thresholds)
        errors = analyse_errors(snapshot)
        return cls(
            snapshot=snapshot,
            performance=performance,
            errors=errors,
            trends=analyse_trends(snapshot.recent.points),
            recommendations=recommend(snapshot, performance, errors, thresholds),
            health=analyse_health(snapshot),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data; the snapshot's ``schema_version`` covers it."""
        return {
            "schema_version": self.snapshot.schema_version,
            "snapshot": self.snapshot.to_dict(),
            "performance": self.performance.to_dict(),
            "errors": self.errors.to_dict(),
            "health": self.health.to_dict(),
            "resources": [resource.to_dict() for resource in self.snapshot.resources],
            "trends": [trend.to_dict() for trend in self.trends],
            "recommendations": list(self.recommendations),
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """``to_dict()`` as strict JSON text."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def to_text(self) -> str:
        """The report for a terminal, in plain characters, ending in a newline."""
        parts = ["Metal production report", "=" * 23, ""]
        for title, body in self._sections():
            parts += [title, "-" * len(title), *_as_text(body), ""]
        return "\n".join(parts)

    def to_markdown(self) -> str:
        """The report as GitHub-flavoured Markdown, ending in a newline."""
        parts = ["# Metal production report", ""]
        for title, body in self._sections():
            parts += [f"## {title}", "", *_as_markdown(body), ""]
        return "\n".join(parts)

    def _sections(self) -> Iterable[tuple[str, _Body]]:
        yield "Summary", _pairs(self._summary())
        yield "Where the time goes", _operations_table(self.performance.busiest)
        yield "Errors", self._errors_table()
        yield "Resources", _resources_table(self.snapshot.resources)
        counters, system = self.snapshot.counters, self.snapshot.system
        if counters is not None:
            yield "Performance counters", _Body(COUNTERS_HEAD, counter_rows(counters))
        if system is not None and system.devices:
            yield "Devices", _Body(DEVICES_HEAD, device_rows(system.devices))
        yield "Trends", _trends_table(self.trends)
        if self.snapshot.alerts:
            yield "Alerts", _Body(ALERTS_HEAD, alert_rows(self.snapshot.alerts))
        yield from self._health_sections()
        yield (
            "Recommendations",
            _Body(lines=self.recommendations or ("Nothing stands out.",), bullets=True),
        )

    def _health_sections(self) -> Iterable[tuple[str, _Body]]:
        health = self.snapshot.health
        yield (
            "Health",
            _Body(COMPONENTS_HEAD, component_rows(health), tuple(health_lines(self.health))),
        )
        if health.anomalies:
            yield "Anomalies", _Body(ANOMALIES_HEAD, anomaly_rows(health))
        if health.breakers:
            yield "Circuit breakers", _Body(BREAKERS_HEAD, breaker_rows(health))
        if health.objectives:
            yield "Objectives", _Body(OBJECTIVES_HEAD, objective_rows(health))
        if health.predictions:
            yield "Predictions", _Body(PREDICTIONS_HEAD, prediction_rows(health))

    def _summary(self) -> Iterable[tuple[str, str]]:
        snapshot, performance = self.snapshot, self.performance
        system = snapshot.system
        categories = ", ".join(
            f"{n} {c.replace('_', ' ')}" for c, n in performance.categories.items()
        )
        yield "time", snapshot.timestamp.isoformat(timespec="seconds")
        yield "running for", f"{snapshot.uptime_seconds:.1f} s"
        if system is not None:
            yield "host", f"{system.host}, {system.os} {system.os_version}, {system.architecture}"
            yield "devices", ", ".join(f"{d.name} ({d.backend})" for d in system.devices) or ABSENT
        yield "health", snapshot.health_status.value
        yield "performance", _score(performance.score)
        yield "operations", f"{snapshot.total_operations} ({categories})"
        yield "errors", f"{snapshot.total_errors} ({snapshot.error_rate:.2%})"
        yield (
            "throughput",
            (
                f"{number(performance.operations_per_second)} operations/s, lately "
                f"{number(performance.recent_operations_per_second)}"
            ),
        )
        yield (
            "latency",
            (
                f"p50 {_ms(performance.p50_ms)}, p95 {_ms(performance.p95_ms)}, "
                f"p99 {_ms(performance.p99_ms)}"
            ),
        )

    def _errors_table(self) -> _Body:
        if not self.errors.sources:
            return _Body(lines=("No operation failed.",))
        return _Body(
            ("error", "severity", "operation", "kind", "failed", "of"),
            tuple(
                (
                    source.error.value,
                    source.error.severity.value,
                    source.name,
                    source.kind.value,
                    str(source.count),
                    str(source.of),
                )
                for source in self.errors.sources
            ),
        )


@dataclass(frozen=True, slots=True)
class _Body:
    """A table, or lines of text."""

    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()
    bullets: bool = False


def _pairs(pairs: Iterable[tuple[str, str]]) -> _Body:
    return _Body(("", ""), tuple(pairs))


def _operations_table(operations: Sequence[OperationSummary]) -> _Body:
    if not operations:
        return _Body(lines=("No operation was recorded.",))
    return _Body(
        ("operation", "kind", "device", "count", "errors", "share", "p50", "p95", "p99", "max"),
        tuple(
            (
                one.name,
                one.kind.value,
                one.device or ABSENT,
                str(one.executions),
                str(one.errors),
                f"{one.share:.1%}",
                _ms(one.p50_ms),
                _ms(one.p95_ms),
                _ms(one.p99_ms),
                _ms(one.max_ms),
            )
            for one in operations
        ),
    )


def _resources_table(resources: Sequence[ResourceMetrics]) -> _Body:
    if not resources:
        return _Body(lines=("No sensor gave a reading.",))
    return _Body(
        ("resource", "kind", "device", "now", "peak", "limit", "used"),
        tuple(
            (
                one.name,
                one.kind.value.replace("_", " "),
                one.device or ABSENT,
                amount(one.current, one.unit),
                amount(one.peak, one.unit),
                amount(one.limit, one.unit),
                ABSENT if one.utilization_percent is None else f"{one.utilization_percent:.1f} %",
            )
            for one in resources
        ),
    )


def _trends_table(trends: Sequence[Trend]) -> _Body:
    return _Body(
        ("what", "trend", "earlier", "later", "unit"),
        tuple(
            (one.what, one.direction, number(one.earlier), number(one.later), one.unit)
            for one in trends
        ),
    )


def _as_text(body: _Body) -> list[str]:
    mark = "- " if body.bullets else ""
    lines = [mark + _one_line(line) for line in body.lines]
    rows = [tuple(_one_line(cell) for cell in row) for row in body.rows]
    if any(body.head):
        rows.insert(0, body.head)
    widths = (
        [max(len(row[column]) for row in rows) for column in range(len(body.head))] if rows else []
    )
    lines += [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return lines


def _as_markdown(body: _Body) -> list[str]:
    mark = "- " if body.bullets else ""
    lines = [mark + _escape(line) for line in body.lines]
    if body.head:
        if lines:
            lines.append("")
        lines.append("| " + " | ".join(body.head) + " |")
        lines.append("|" + " --- |" * len(body.head))
        lines += ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in body.rows]
    return lines


def _one_line(text: str) -> str:
    """Kernel names are foreign text: no line break or control character reaches the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _escape(text: str) -> str:
    plain = _one_line(text).replace("\\", "\\\\").replace("|", "\\|")
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("`", "\\`")


def _ms(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.3g} ms" if value < 100 else f"{value:.0f} ms"


def _score(score: PerformanceScore) -> str:
    if score.overall is None:
        return ABSENT
    parts = ", ".join(f"{p.name} {p.score:.0f}" for p in score.parts if p.score is not None)
    unknown = ", ".join(part.name for part in score.parts if part.score is None)
    return f"{score.overall:.0f} of 100 ({parts}{f'; unknown: {unknown}' if unknown else ''})"
