"""Our metrics in an application's own OpenTelemetry pipeline.

The Python SDK has no metric producers (OpenTelemetry specification, "Metrics SDK",
"MetricProducer"), so ours are put beside the application's where both leave: around its exporter::

    exporter = MetalMetricExporter(OTLPMetricExporter(), telemetry)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)])
    exporter.keep_exporting(provider)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import MissingExtraError
from metalscope.export.otlp.metrics import metrics_data
from metalscope.export.view import MetricView
from metalscope.export_options import HistogramForm, SelectionOptions, Temporality

try:
    from opentelemetry.metrics import Observation
    from opentelemetry.sdk.metrics import Counter
    from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        MetricExporter,
        MetricExportResult,
        MetricsData,
    )
    from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
except ImportError as missing:
    raise MissingExtraError("OpenTelemetry metrics", "otlp", cause=str(missing)) from missing

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from metalscope.manager import MetalTelemetryManager
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MetalMetricExporter"]

_MARKER: Final = "metalscope.pipeline"

logger: Final = logging.getLogger("metalscope")


class MetalMetricExporter(MetricExporter):
    """Exports what it is given by ``inner``, and metalscope's metrics with it.

    They come as a scope of their own, ``metalscope``, under the application's resource: its
    service speaks. Totals or differences, classic or exponential buckets: as ``inner`` prefers
    for counters and histograms. What goes wrong with ours is logged and told to the manager, and
    the application's metrics go on alone.

    The SDK's reader exports only where the application has something new to export; after
    :meth:`keep_exporting` it always does.

    Args:
        inner: the application's exporter.
        telemetry: whose snapshots are exported.
        metrics: which metrics, and under which names; all where ``None``.
    """

    def __init__(
        self,
        inner: MetricExporter,
        telemetry: MetalTelemetryManager,
        *,
        metrics: SelectionOptions | None = None,
    ) -> None:
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)
        self._inner = inner
        self._get_snapshot: Callable[[], MetalTelemetrySnapshot] = telemetry.get_snapshot
        self._on_error: Callable[[str, BaseException], None] = telemetry.internal_error
        self._view = MetricView((metrics,) if metrics else ())
        self._temporality = _temporality(inner)
        self._histograms = _histograms(inner)
        self._since: MetalTelemetrySnapshot | None = None

    def keep_exporting(self, provider: MeterProvider) -> None:
        """Let the readers of ``provider`` export each time, for ours, also when it has nothing.

        An instrument is put in, and its points are taken out again before ``inner`` sees them;
        other exporters of the same provider do see them.
        """
        meter = provider.get_meter(_MARKER)
        meter.create_observable_gauge(_MARKER, [lambda _: [Observation(1)]])

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Export the application's metrics and ours together."""
        metrics_data = _without_marker(metrics_data)
        snapshot, both = self._with_ours(metrics_data)
        if snapshot is None:
            return self._inner.export(metrics_data, timeout_millis, **kwargs)
        try:
            result = self._inner.export(both, timeout_millis, **kwargs)
        except Exception as error:  # noqa: BLE001 - it may be ours that it cannot take
            self._tell(error)
            return self._inner.export(metrics_data, timeout_millis, **kwargs)
        if result is MetricExportResult.SUCCESS:
            self._since = snapshot
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Ask ``inner`` to."""
        return self._inner.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Shut ``inner`` down; the telemetry goes on."""
        self._inner.shutdown(timeout_millis, **kwargs)

    def _with_ours(self, theirs: MetricsData) -> tuple[MetalTelemetrySnapshot | None, MetricsData]:
        try:
            snapshot = self._get_snapshot()
            ours = metrics_data(
                snapshot,
                self._view,
                temporality=self._temporality,
                histograms=self._histograms,
                since=self._since,
            )
            if not theirs.resource_metrics:
                return snapshot, ours
            # Into their resource, and not beside it: encoders keep one entry a resource.
            first, *rest = theirs.resource_metrics
            scopes = [*first.scope_metrics, *ours.resource_metrics[0].scope_metrics]
            return snapshot, MetricsData([replace(first, scope_metrics=scopes), *rest])
        except Exception as error:  # noqa: BLE001 - law: the application's metrics must go on
            self._tell(error)
            return None, theirs

    def _tell(self, error: BaseException) -> None:
        try:
            self._on_error("otel_pipeline", error)
        except Exception:  # the application's metrics must go on
            logger.exception("otel_pipeline")


def _without_marker(data: MetricsData) -> MetricsData:
    return MetricsData(
        [
            replace(one, scope_metrics=[s for s in one.scope_metrics if s.scope.name != _MARKER])
            for one in data.resource_metrics
        ]
    )


def _temporality(inner: MetricExporter) -> Temporality:
    preferred = (inner._preferred_temporality or {}).get(Counter)
    is_delta = preferred is AggregationTemporality.DELTA
    return Temporality.DELTA if is_delta else Temporality.CUMULATIVE


def _histograms(inner: MetricExporter) -> HistogramForm:
    preferred = (inner._preferred_aggregation or {}).get(HistogramInstrument)
    exponential = isinstance(preferred, ExponentialBucketHistogramAggregation)
    return HistogramForm.EXPONENTIAL if exponential else HistogramForm.CLASSIC
