"""Series of values fed to expressions, moment by moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from metalscope.alerts.expression import Expression, compile_expression
from metalscope.alerts.expression.samples import Samples
from metalscope.histogram import DurationHistogram
from metalscope.operation import OperationKind
from metalscope.snapshot import (
    CustomMetric,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceKind,
    ResourceMetrics,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = 15.0

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]


def custom(name: str, value: float, kind: Kind = "gauge", **labels: str) -> CustomMetric:
    return CustomMetric(name, kind, tuple(sorted(labels.items())), value)


def snapshot(
    seconds: float,
    *metrics: CustomMetric,
    started: float = -1000.0,
    operations: Sequence[OperationMetrics] = (),
    resources: Sequence[ResourceMetrics] = (),
) -> MetalTelemetrySnapshot:
    """What is known so many seconds after :data:`BEGIN`."""
    return MetalTelemetrySnapshot(
        BEGIN + timedelta(seconds=seconds),
        BEGIN + timedelta(seconds=started),
        operations=tuple(operations),
        resources=tuple(resources),
        custom=tuple(sorted(metrics, key=lambda one: (one.name, one.labels))),
    )


def kernel(name: str = "attention", **outcomes: int) -> OperationMetrics:
    """Runs of one kernel, 5 ms each, by how they ended."""
    return OperationMetrics(
        OperationKind.EXECUTE,
        name,
        "m1",
        tuple(
            OutcomeMetrics(outcome, DurationHistogram.from_durations([5_000_000] * count))
            for outcome, count in outcomes.items()
        ),
    )


def memory(current: float, *, pool: str = "mlx", limit: float | None = None) -> ResourceMetrics:
    return ResourceMetrics(ResourceKind.GPU_MEMORY, pool, "m1", current, limit=limit)


def when(seconds: float) -> float:
    """The moment so many seconds after :data:`BEGIN`, as expressions are asked."""
    return BEGIN.timestamp() + seconds


class Asked:
    """Expressions with the samples they need."""

    def __init__(self, *texts: str, max_series: int = 20_000) -> None:
        self.expressions = [compile_expression(text) for text in texts]
        self.samples = Samples(self.expressions, max_series=max_series)

    def take(self, taken: MetalTelemetrySnapshot) -> None:
        self.samples.take(taken)

    def answer(
        self, at: float | None = None, expression: Expression | None = None
    ) -> dict[Labels, float]:
        """What the first expression gives at a moment, or now."""
        latest = self.samples.latest
        assert latest is not None
        moment = latest if at is None else when(at)
        return dict((expression or self.expressions[0]).evaluate(self.samples, moment))

    def number(self, at: float | None = None) -> float | None:
        """The value of the one series there is; ``None`` where there is none."""
        answer = self.answer(at)
        assert len(answer) <= 1, answer
        return next(iter(answer.values()), None)


def gauge_asked(text: str, values: Iterable[float | None]) -> Asked:
    """An expression, after the gauge ``depth`` had these values each 15 s."""
    asked = Asked(text)
    for place, value in enumerate(values):
        known = [] if value is None else [custom("depth", value)]
        asked.take(snapshot(place * STEP, *known))
    return asked


def counter_asked(text: str, values: Iterable[float | None], *, started: float = -1000.0) -> Asked:
    """An expression, after the counter ``work_total`` had these values each 15 s."""
    asked = Asked(text)
    for place, value in enumerate(values):
        known = [] if value is None else [custom("work", value, "counter")]
        asked.take(snapshot(place * STEP, *known, started=started))
    return asked


def one(mapping: Mapping[Labels, float]) -> float:
    (value,) = mapping.values()
    return value
