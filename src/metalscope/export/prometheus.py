"""Prometheus: the snapshot as an exposition, and as a collector for your own registry.

:func:`render` writes one for a scrape, as text in OpenMetrics or in the classic format, or in
protobuf, whichever the scraper's ``Accept`` header asks for. :class:`MetalCollector` gives the
same families to a ``prometheus_client`` registry, so that they are served beside an application's
own::

    REGISTRY.register(MetalCollector(tel.get_snapshot, on_error=tel.internal_error))

Names are those of :mod:`metalscope.semconv` on all of them. The unit of milliseconds and percent
is not announced as OpenMetrics ``UNIT``: an OpenTelemetry collector that reads it would append
``_milliseconds`` to names that dashboards use.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import core
from prometheus_client.registry import Collector

from metalscope import semconv
from metalscope.exemplars import newest_by_bucket
from metalscope.export.prometheus_negotiation import (
    OPENMETRICS,
    PROTOBUF,
    TEXT_FORMS,
    names_protobuf,
    negotiate,
)
from metalscope.families import Distribution, Family, families
from metalscope.semconv import Metric, Unit
from metalscope.snapshot import EXEMPLAR_CHARACTERS, Exemplar, MetalTelemetrySnapshot

__all__ = [
    "ANNOUNCED_UNITS",
    "MetalCollector",
    "exemplars_by_bucket",
    "number",
    "render",
    "render_families",
]

logger = logging.getLogger("metalscope")

# The base units of the naming conventions, which the names already end in.
ANNOUNCED_UNITS: Final[frozenset[Unit]] = frozenset({"bytes", "seconds", "ratio"})


def render(snapshot: MetalTelemetrySnapshot, accept: str | None = None) -> tuple[bytes, str]:
    """Write one exposition.

    Args:
        snapshot: what to expose.
        accept: the ``Accept`` header of the request. Where it asks for nothing that can be had,
            the classic text format is given, as Prometheus's own exporters do.

    Returns:
        The body, text in UTF-8, and its ``Content-Type``.
    """
    accept = accept or ""
    if names_protobuf(accept):
        from metalscope.export import prometheus_protobuf  # noqa: PLC0415 - few ask for it

        if prometheus_protobuf.is_available():
            form, content_type = negotiate(accept, (PROTOBUF, *TEXT_FORMS))
            if form is PROTOBUF:
                body = prometheus_protobuf.render_protobuf(families(snapshot), snapshot.started_at)
                return body, content_type
    form, content_type = negotiate(accept)
    return render_families(families(snapshot), openmetrics=form is OPENMETRICS), content_type


def render_families(found: Iterable[Family], *, openmetrics: bool) -> bytes:
    """Write these families as text in UTF-8: OpenMetrics 1.0.0, else the classic format 0.0.4."""
    text = "".join(_lines(found, openmetrics=openmetrics))
    # The recorder lets no lone surrogate in; one from elsewhere must not cost the whole scrape.
    return text.encode("utf-8", "replace")


def exemplars_by_bucket(distribution: Distribution) -> dict[int, Exemplar]:
    """The one exemplar a bucket may have, by the bucket's place; ``+Inf`` is the last."""
    newest = newest_by_bucket(distribution.exemplars, [bound for bound, _ in distribution.buckets])
    return {
        place: one
        for place, one in newest.items()
        if len("trace_id" + one.trace_id + "span_id" + one.span_id) <= EXEMPLAR_CHARACTERS
    }


class MetalCollector(Collector):
    """A ``prometheus_client`` collector over snapshots taken at each scrape.

    Args:
        get_snapshot: usually :meth:`~metalscope.manager.MetalTelemetryManager.get_snapshot`.
        on_error: told, as (room, exception), when ``get_snapshot`` fails. The registry's scrape
            then goes on without our families. Logged where no function is given.
    """

    def __init__(
        self,
        get_snapshot: Callable[[], MetalTelemetrySnapshot],
        *,
        on_error: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self._get_snapshot = get_snapshot
        self._on_error = on_error or _log_error

    def collect(self) -> Iterator[core.Metric]:
        """Yield every family of a fresh snapshot."""
        try:
            found = [_to_prometheus(family) for family in families(self._get_snapshot())]
        except Exception as error:  # noqa: BLE001 - law: the application's own scrape must go on
            self._on_error("prometheus", error)
            return
        yield from found

    def describe(self) -> Iterator[core.Metric]:
        """Yield the built-in families without series, so that a registry can see a clash early."""
        return (_to_prometheus(Family(metric)) for metric in semconv.BUILT_IN)


def _log_error(room: str, error: BaseException) -> None:
    logger.warning("%s: %s: %s", room, type(error).__name__, error, exc_info=error)


# -- the text ------------------------------------------------------------------------------------


def _lines(found: Iterable[Family], *, openmetrics: bool) -> Iterator[str]:
    for family in found:
        yield _header(family.metric, openmetrics=openmetrics)
        yield from _value_lines(family)
        yield from _distribution_lines(family, exemplars=openmetrics)
    if openmetrics:
        yield "# EOF\n"


def _header(metric: Metric, *, openmetrics: bool) -> str:
    name = metric.stem if openmetrics else metric.name
    # The classic format has no info type.
    kind = "gauge" if metric.type == "info" and not openmetrics else metric.type
    header = f"# HELP {name} {metric.help}\n# TYPE {name} {kind}\n"
    if openmetrics and metric.unit in ANNOUNCED_UNITS:
        header += f"# UNIT {name} {metric.unit}\n"
    return header


def _value_lines(family: Family) -> Iterator[str]:
    metric = family.metric
    line = f"{metric.name}{{{_pattern(metric)}}} %s\n" if metric.labels else f"{metric.name} %s\n"
    for labels, value in family.values:
        yield line % (*map(_escape, labels), number(value))


def _distribution_lines(family: Family, *, exemplars: bool) -> Iterator[str]:
    name, pattern = family.metric.name, _pattern(family.metric)
    for values, distribution in family.distributions:
        labels = pattern % tuple(map(_escape, values))
        bucket = f"{name}_bucket{{{labels}{',' if labels else ''}le="
        # The classic format has none.
        traced = _exemplars(distribution) if exemplars and distribution.exemplars else {}
        for place, (bound, count) in enumerate(distribution.buckets):
            yield f'{bucket}"{number(bound)}"}} {count}{traced.get(place, "")}\n'
        last = traced.get(len(distribution.buckets), "")
        yield f'{bucket}"+Inf"}} {distribution.count}{last}\n'
        if distribution.sum is not None:
            braced = f"{{{labels}}}" if labels else ""
            yield f"{name}_count{braced} {distribution.count}\n"
            yield f"{name}_sum{braced} {number(distribution.sum)}\n"


def _exemplars(distribution: Distribution) -> dict[int, str]:
    """What follows the value of a bucket's line, by the bucket's place."""
    return {
        place: f" # {{{_labels_of(one)}}} {number(one.value_ms)} "
        f"{number(one.timestamp.timestamp())}"
        for place, one in exemplars_by_bucket(distribution).items()
    }


def _labels_of(exemplar: Exemplar) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in exemplar.labels.items())


def _pattern(metric: Metric) -> str:
    return ",".join(f'{label}="%s"' for label in metric.labels)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value: float) -> str:
    """A sample's value, or a bucket's bound, as both text formats write it."""
    if type(value) is not int:
        # NumPy's numbers count as float or int and have another repr.
        value = float(value)
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


# -- the collector's families --------------------------------------------------------------------


def _to_prometheus(family: Family) -> core.Metric:
    metric = family.metric
    unit = metric.unit if metric.unit in ANNOUNCED_UNITS else ""
    if metric.type == "histogram":
        histogram = core.HistogramMetricFamily(
            metric.name, metric.help, labels=metric.labels, unit=unit
        )
        for labels, distribution in family.distributions:
            histogram.add_metric(labels, _buckets(distribution), distribution.sum)
        return histogram
    if metric.type == "info":
        info = core.InfoMetricFamily(metric.stem, metric.help, labels=metric.labels)
        for labels, _ in family.values:
            info.add_metric(labels, {})
        return info
    family_type = core.CounterMetricFamily if metric.type == "counter" else core.GaugeMetricFamily
    simple = family_type(metric.stem, metric.help, labels=metric.labels, unit=unit)
    for labels, value in family.values:
        simple.add_metric(labels, value)
    return simple


def _buckets(
    distribution: Distribution,
) -> list[tuple[str, float] | tuple[str, float, core.Exemplar]]:
    newest = exemplars_by_bucket(distribution)
    counts = [*distribution.buckets, (math.inf, distribution.count)]
    return [
        (number(bound), count, _to_prometheus_exemplar(newest[place]))
        if place in newest
        else (number(bound), count)
        for place, (bound, count) in enumerate(counts)
    ]


def _to_prometheus_exemplar(one: Exemplar) -> core.Exemplar:
    return core.Exemplar(one.labels, one.value_ms, one.timestamp.timestamp())
