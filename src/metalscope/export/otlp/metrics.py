"""The snapshot as OpenTelemetry's metrics data, by the names it has everywhere else.

A unit is sent only where a collector that appends units to names (OpenTelemetry specification,
"Prometheus and OpenMetrics Compatibility", "Metric Metadata") finds it there already: the names
dashboards use stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeVar

from metalscope._version import __version__
from metalscope.attributes import CORRELATION_ID
from metalscope.errors import MissingExtraError
from metalscope.export.news import is_same_process
from metalscope.export.otlp.hardware import UP_DOWN_COUNTERS
from metalscope.export_options import HistogramForm, Temporality
from metalscope.families import Distribution, Family, LabelValues
from metalscope.moments import microseconds
from metalscope.semconv import Metric, Unit

try:
    from opentelemetry.sdk.metrics import Exemplar
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError as missing:
    raise MissingExtraError("OpenTelemetry metrics", "otlp", cause=str(missing)) from missing

if TYPE_CHECKING:
    from metalscope.export.view import MetricView
    from metalscope.histogram import DurationHistogram
    from metalscope.snapshot import Exemplar as SnapshotExemplar
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["SCOPE", "UNITS", "ZeroedDataPoint", "metrics_data", "nanoseconds"]

SCOPE: Final = "metalscope"
"""The name of the instrumentation scope; its version is that of the snapshot's metalscope."""

UNITS: Final[Mapping[Unit, str]] = {
    "": "",
    "bytes": "By",
    # Annotations, which are no units: "ms" would be appended to the name as "milliseconds", and
    # "By/s" as "per_second" once more, as it is looked for among the parts between underscores.
    "bytes_per_second": "{bytes_per_second}",
    "celsius": "Cel",
    "hertz": "Hz",
    "joules": "J",
    "ms": "{ms}",
    "percent": "%",
    "ratio": "1",
    "rpm": "rpm",
    "seconds": "s",
    "watts": "W",
}
"""Units as UCUM has them (OpenTelemetry semantic conventions, "General metric semantic
conventions", "Units"), where normalising a name by them leaves it as it is."""

_INT64: Final = 1 << 63
_NO_BUCKETS: Final = sdk.Buckets(0, ())

T = TypeVar("T")


@dataclass(frozen=True)
class ZeroedDataPoint(sdk.ExponentialHistogramDataPoint):
    """A point of an exponential histogram that says how wide its zero bucket is.

    The SDK's own has no place for it, OTLP has: durations up to ``zero_threshold`` ms are in
    ``zero_count`` (metrics data model, "Zero Count and Zero Threshold").
    """

    zero_threshold: float = 0.0


@dataclass(frozen=True, slots=True)
class _Span:
    """The time a point is of, ns since the epoch, and how it is to be counted."""

    start: int
    end: int
    temporality: sdk.AggregationTemporality
    exemplars_after: datetime | None


def metrics_data(
    snapshot: MetalTelemetrySnapshot,
    view: MetricView,
    *,
    temporality: Temporality = Temporality.CUMULATIVE,
    histograms: HistogramForm = HistogramForm.CLASSIC,
    since: MetalTelemetrySnapshot | None = None,
    more: Callable[[MetalTelemetrySnapshot], Iterable[Family]] | None = None,
) -> sdk.MetricsData:
    """The snapshot as one resource with one scope.

    Counters are monotonic sums, gauges and infos gauges, durations histograms in ms. The same
    snapshots always give the same points in the same order.

    Args:
        snapshot: what is sent.
        view: which of its metrics, under which names.
        temporality: totals since the process started, or what came since ``since``.
        histograms: durations in classic buckets or in base-2 exponential ones of scale 3; both
            are exact. Custom histograms have classic buckets only.
        since: the last snapshot that arrived, for ``delta``. One of another process counts as
            none; then everything since the start is what came. So does, for one series, a value
            that has shrunk since.
        more: gives families that are sent after those of the view, such as those of
            :mod:`~metalscope.export.otlp.hardware`.
    """

    def families(of: MetalTelemetrySnapshot) -> Iterator[Family]:
        yield from view.families(of)
        if more is not None:
            yield from more(of)

    delta = temporality is Temporality.DELTA
    before = since if delta and since is not None and is_same_process(snapshot, since) else None
    span = _Span(
        nanoseconds(before.timestamp if before else snapshot.started_at),
        nanoseconds(snapshot.timestamp),
        sdk.AggregationTemporality.DELTA if delta else sdk.AggregationTemporality.CUMULATIVE,
        before.timestamp if before else None,
    )
    found: Iterable[Family] = families(snapshot)
    if delta:
        found = _differences(found, families(before) if before else ())
    metrics = [_metric(family, span, histograms) for family in found]
    system = snapshot.system
    scope = InstrumentationScope(SCOPE, system.metalscope if system else __version__)
    scoped = sdk.ScopeMetrics(scope, metrics, schema_url="")
    resource = Resource({name: _clean(value) for name, value in view.resource(snapshot).items()})
    return sdk.MetricsData([sdk.ResourceMetrics(resource, [scoped], schema_url="")])


def nanoseconds(moment: datetime) -> int:
    """Nanoseconds since the Unix epoch, exact to the datetime's microsecond."""
    return microseconds(moment) * 1000


# -- what came since -----------------------------------------------------------------------------


def _differences(now: Iterable[Family], before: Iterable[Family]) -> Iterator[Family]:
    earlier = {family.metric.name: family for family in before}
    for family in now:
        was = earlier.get(family.metric.name, Family(family.metric))
        if family.metric.type == "counter":
            # Of infinity there is no difference.
            finite = [(labels, value) for labels, value in family.values if isfinite(value)]
            values = _subtracted(finite, was.values, _grown)
            # Counted since boot: of what was there when telemetry began nobody knows the time.
            if family.metric.from_boot:
                known = {labels for labels, _ in was.values}
                values = [(labels, value) for labels, value in values if labels in known]
            if values:
                yield replace(family, values=values)
        elif family.metric.type == "histogram":
            yield replace(
                family,
                distributions=_subtracted(family.distributions, was.distributions, _recorded),
            )
        else:
            yield family


def _subtracted(
    now: Sequence[tuple[LabelValues, T]],
    before: Sequence[tuple[LabelValues, T]],
    subtract: Callable[[T, T], T],
) -> list[tuple[LabelValues, T]]:
    earlier = dict(before)
    return [
        (labels, subtract(value, earlier[labels]) if labels in earlier else value)
        for labels, value in now
    ]


def _grown(now: float, before: float) -> float:
    return now - before if now >= before else now


def _recorded(now: Distribution, before: Distribution) -> Distribution:
    if now.durations is not None and before.durations is not None:
        durations = now.durations.since(before.durations)
        # Its extremes are bounds, not durations that were measured.
        durations = replace(durations, min_ns=None, max_ns=None)
        return Distribution(
            durations.classic(), durations.count, durations.total_ms, durations, now.exemplars
        )
    bounds = [bound for bound, _ in now.buckets]
    counts = [(bound, count) for bound, count in now.buckets] + [(float("inf"), now.count)]
    earlier = [count for _, count in before.buckets] + [before.count]
    if bounds != [bound for bound, _ in before.buckets]:
        return now
    grown = [(bound, count - was) for (bound, count), was in zip(counts, earlier, strict=True)]
    if any(high < low for (_, low), (_, high) in pairwise([(0.0, 0), *grown])):
        return now
    total = None if now.sum is None or before.sum is None else now.sum - before.sum
    return Distribution(grown[:-1], grown[-1][1], total)


# -- the points ----------------------------------------------------------------------------------


def _metric(family: Family, span: _Span, histograms: HistogramForm) -> sdk.Metric:
    metric = family.metric
    return sdk.Metric(metric.name, metric.help, _unit(metric), _data(family, span, histograms))


def _unit(metric: Metric) -> str:
    # A metric that was renamed need not have the unit in its name any more. Names with dots are
    # of the semantic conventions, and meant to be normalised.
    if not metric.unit or "." in metric.name or f"_{metric.stem}".endswith(f"_{metric.unit}"):
        return UNITS[metric.unit]
    return f"{{{metric.unit}}}"


def _data(
    family: Family, span: _Span, histograms: HistogramForm
) -> sdk.Sum | sdk.Gauge | sdk.Histogram | sdk.ExponentialHistogram:
    metric = family.metric
    if metric.type != "histogram":
        points = [
            # Without a list of exemplars for each.
            sdk.NumberDataPoint(
                _attributes(metric, labels), span.start, span.end, _number(value), ()
            )
            for labels, value in family.values
        ]
        if metric.type == "counter":
            return sdk.Sum(points, span.temporality, is_monotonic=True)
        if metric.name in UP_DOWN_COUNTERS:
            # They have no differences: of what goes up and down the current value is sent.
            return sdk.Sum(points, sdk.AggregationTemporality.CUMULATIVE, is_monotonic=False)
        return sdk.Gauge(points)
    if histograms is HistogramForm.EXPONENTIAL:
        drawn = [
            _exponential(metric, labels, distribution, distribution.durations, span)
            for labels, distribution in family.distributions
            if distribution.durations is not None
        ]
        if len(drawn) == len(family.distributions):
            return sdk.ExponentialHistogram(drawn, span.temporality)
    return sdk.Histogram(
        [_classic(metric, *series, span) for series in family.distributions], span.temporality
    )


def _classic(
    metric: Metric, labels: LabelValues, distribution: Distribution, span: _Span
) -> sdk.HistogramDataPoint:
    cumulative = [0, *(count for _, count in distribution.buckets), distribution.count]
    low, high = _extremes(distribution)
    return sdk.HistogramDataPoint(
        attributes=_attributes(metric, labels),
        start_time_unix_nano=span.start,
        time_unix_nano=span.end,
        count=distribution.count,
        sum=distribution.sum,  # type: ignore[arg-type] # optional in OTLP, and left out where None
        bucket_counts=[high - low for low, high in pairwise(cumulative)],
        explicit_bounds=[bound for bound, _ in distribution.buckets],
        min=low,  # type: ignore[arg-type] # the same
        max=high,  # type: ignore[arg-type] # the same
        exemplars=list(_exemplars(distribution.exemplars, span)),
    )


def _exponential(
    metric: Metric,
    labels: LabelValues,
    distribution: Distribution,
    durations: DurationHistogram,
    span: _Span,
) -> ZeroedDataPoint:
    buckets = durations.exponential()
    low, high = _extremes(distribution)
    return ZeroedDataPoint(
        attributes=_attributes(metric, labels),
        start_time_unix_nano=span.start,
        time_unix_nano=span.end,
        count=distribution.count,
        sum=distribution.sum,  # type: ignore[arg-type] # as above
        scale=buckets.scale,
        zero_count=buckets.zero_count,
        positive=sdk.Buckets(buckets.offset, buckets.counts) if buckets.counts else _NO_BUCKETS,
        negative=_NO_BUCKETS,
        flags=0,
        min=low,  # type: ignore[arg-type] # as above
        max=high,  # type: ignore[arg-type] # as above
        exemplars=list(_exemplars(distribution.exemplars, span)),
        zero_threshold=buckets.zero_threshold_ms,
    )


def _extremes(distribution: Distribution) -> tuple[float | None, float | None]:
    durations = distribution.durations
    return (durations.min_ms, durations.max_ms) if durations else (None, None)


def _exemplars(exemplars: Iterable[SnapshotExemplar], span: _Span) -> Iterator[Exemplar]:
    for exemplar in exemplars:
        if span.exemplars_after is None or exemplar.timestamp > span.exemplars_after:
            correlation_id = exemplar.correlation_id
            yield Exemplar(
                {CORRELATION_ID: correlation_id} if correlation_id else {},
                float(exemplar.value_ms),
                nanoseconds(exemplar.timestamp),
                int(exemplar.span_id, 16),
                int(exemplar.trace_id, 16),
            )


def _attributes(metric: Metric, values: LabelValues) -> dict[str, str]:
    # An attribute of the semantic conventions that is not known is not there.
    return {
        label: _clean(value)
        for label, value in zip(metric.labels, values, strict=True)
        if value or "." not in label
    }


def _clean(value: Any) -> Any:
    # Protobuf takes valid UTF-8 only; a lone surrogate must not cost the whole message.
    if type(value) is str and value.isascii():
        return value  # nearly all of thousands, at every export
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _number(value: float) -> int | float:
    # Protobuf's sint64; NumPy's numbers count as float or int.
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return int(value)
    return float(value)
