"""Panels of operations: how many, how they ended, how long they took."""

from __future__ import annotations

from typing import Final

from metalscope import semconv
from metalscope.dashboards.levels import Levels
from metalscope.dashboards.model import Panel, Query
from metalscope.dashboards.promql import failing_share, increase, per_second, quantile

__all__ = ["latency_panels", "operation_panels"]

_OPERATION: Final = ("kind", "name")


def operation_panels(levels: Levels) -> tuple[Panel, ...]:
    """Throughput, failures, bytes."""
    return (
        Panel(
            title="Throughput",
            about="Operations a second, by kind and name.",
            queries=(
                Query(expr=per_second(semconv.OPERATIONS, *_OPERATION), legend="{{kind}} {{name}}"),
            ),
            unit="ops",
            low=0,
            stacked=True,
        ),
        Panel(
            title="Error rate",
            about="Share of operations that failed, by kind and name; the dashed lines are where "
            "failing may raise an alert, and where it degrades health.",
            queries=(
                Query(
                    expr=failing_share(semconv.ERRORS, semconv.OPERATIONS, *_OPERATION),
                    legend="{{kind}} {{name}}",
                ),
            ),
            unit="percentunit",
            levels=levels.errors(),
            low=0,
            runbook="MetalKernelFailures",
        ),
        Panel(
            title="Errors by type",
            about="Operations that failed, a second, by type of error.",
            queries=(Query(expr=per_second(semconv.ERRORS, "type"), legend="{{type}}"),),
            unit="ops",
            low=0,
            stacked=True,
            width=8,
        ),
        Panel(
            title="Operations by speed",
            about="fast < 1 ms, normal < 10 ms, slow up to 100 ms, very_slow; exact counts.",
            queries=(
                Query(
                    expr=per_second(semconv.OPERATIONS_BY_CATEGORY, "category"),
                    legend="{{category}}",
                ),
            ),
            unit="ops",
            low=0,
            stacked=True,
            width=8,
        ),
        Panel(
            title="Bytes moved or allocated",
            about="Bytes of operations that gave them, a second, by kind.",
            queries=(Query(expr=per_second(semconv.OPERATION_BYTES, "kind"), legend="{{kind}}"),),
            unit="binBps",
            low=0,
            stacked=True,
            width=8,
        ),
    )


def latency_panels(levels: Levels) -> tuple[Panel, ...]:
    """How long operations take, as a whole and the slowest of them."""
    duration = semconv.OPERATION_DURATION
    slow = quantile(0.95, duration, *_OPERATION)
    return (
        Panel(
            title="Latency distribution",
            about="How many operations took how long, over time. The cells are the histogram's "
            "own buckets.",
            kind="heatmap",
            queries=(
                Query(
                    expr=increase(duration, "le", window="$__rate_interval", part="_bucket"),
                    legend="{{le}}",
                    buckets=True,
                ),
            ),
            unit="ms",
            runbook="MetalLatencyAnomaly",
        ),
        Panel(
            title="p50, p95, p99",
            about="Half, 95 and 99 of 100 operations took no longer; interpolated within one "
            "bucket. The dashed line is what counts as slow.",
            queries=tuple(
                Query(expr=quantile(part, duration), legend=name)
                for part, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ),
            unit="ms",
            levels=levels.latency(),
            logarithmic=True,
            runbook="MetalSlowOperations",
        ),
        Panel(
            title="p95 by operation",
            about="The ten slowest of the operations that are chosen.",
            queries=(Query(expr=f"topk(10, {slow})", legend="{{kind}} {{name}}"),),
            unit="ms",
            levels=levels.latency(),
            logarithmic=True,
        ),
        Panel(
            title="Time on the device",
            about="Seconds a second that the device itself says it was busy with operations; "
            "empty where it says nothing.",
            queries=(
                Query(expr=per_second(semconv.OPERATION_GPU_TIME, "name"), legend="{{name}}"),
            ),
            unit="percentunit",
            low=0,
            stacked=True,
        ),
    )
