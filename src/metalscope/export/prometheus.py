"""Prometheus: the snapshot as exposition text, and as a collector for your own registry.

:func:`render` writes the text for one scrape, in OpenMetrics or in the classic format, whichever
the scraper's ``Accept`` header asks for. :class:`MetalCollector` gives the same families to a
``prometheus_client`` registry, so that they are served beside an application's own::

    REGISTRY.register(MetalCollector(tel.get_snapshot, on_error=tel.internal_error))

Names are those of :mod:`metalscope.semconv` on both formats. The unit of milliseconds and percent
is not announced as OpenMetrics ``UNIT``: an OpenTelemetry collector that reads it would append
``_milliseconds`` to names that dashboards use.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from prometheus_client import core
from prometheus_client.registry import Collector

from metalscope import semconv
from metalscope.export.families import Distribution, Family, families
from metalscope.semconv import Metric, Unit
from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MetalCollector", "render"]

logger = logging.getLogger("metalscope")

# The base units of the naming conventions, which the names already end in.
_ANNOUNCED_UNITS: Final[frozenset[Unit]] = frozenset({"bytes", "seconds", "ratio"})


def render(snapshot: MetalTelemetrySnapshot, accept: str | None = None) -> tuple[bytes, str]:
    """Write one exposition.

    Args:
        snapshot: what to expose.
        accept: the ``Accept`` header of the request. Where it asks for nothing that can be had,
            the classic text format is given, as Prometheus's own exporters do.

    Returns:
        The body in UTF-8, and its ``Content-Type``.
    """
    form, content_type = _negotiate(accept or "")
    text = "".join(_lines(families(snapshot), openmetrics=form.openmetrics))
    # The recorder lets no lone surrogate in; one from elsewhere must not cost the whole scrape.
    return text.encode("utf-8", "replace"), content_type


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
        yield from _distribution_lines(family)
    if openmetrics:
        yield "# EOF\n"


def _header(metric: Metric, *, openmetrics: bool) -> str:
    name = metric.stem if openmetrics else metric.name
    # The classic format has no info type.
    kind = "gauge" if metric.type == "info" and not openmetrics else metric.type
    header = f"# HELP {name} {metric.help}\n# TYPE {name} {kind}\n"
    if openmetrics and metric.unit in _ANNOUNCED_UNITS:
        header += f"# UNIT {name} {metric.unit}\n"
    return header


def _value_lines(family: Family) -> Iterator[str]:
    metric = family.metric
    line = f"{metric.name}{{{_pattern(metric)}}} %s\n" if metric.labels else f"{metric.name} %s\n"
    for labels, value in family.values:
        yield line % (*map(_escape, labels), _number(value))


def _distribution_lines(family: Family) -> Iterator[str]:
    name, pattern = family.metric.name, _pattern(family.metric)
    for values, distribution in family.distributions:
        labels = pattern % tuple(map(_escape, values))
        bucket = f"{name}_bucket{{{labels}{',' if labels else ''}le="
        for bound, count in distribution.buckets:
            yield f'{bucket}"{_number(bound)}"}} {count}\n'
        yield f'{bucket}"+Inf"}} {distribution.count}\n'
        if distribution.sum is not None:
            braced = f"{{{labels}}}" if labels else ""
            yield f"{name}_count{braced} {distribution.count}\n"
            yield f"{name}_sum{braced} {_number(distribution.sum)}\n"


def _pattern(metric: Metric) -> str:
    return ",".join(f'{label}="%s"' for label in metric.labels)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
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
    unit = metric.unit if metric.unit in _ANNOUNCED_UNITS else ""
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


def _buckets(distribution: Distribution) -> list[tuple[str, float]]:
    return [
        *((_number(bound), count) for bound, count in distribution.buckets),
        ("+Inf", distribution.count),
    ]


# -- content negotiation -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Form:
    """A format that can be had. ``default`` is the one meant where no version is asked for."""

    media_type: str
    version: str
    default: bool

    @property
    def openmetrics(self) -> bool:
        return self.media_type == "application/openmetrics-text"


class _Range(NamedTuple):
    """One media range of an ``Accept`` header, RFC 9110 section 12.5.1."""

    media_type: str
    parameters: dict[str, str]
    quality: float


_CLASSIC: Final = _Form("text/plain", "0.0.4", default=True)
_FORMS: Final = (
    _Form("application/openmetrics-text", "1.0.0", default=True),
    _Form("text/plain", "1.0.0", default=False),
    _CLASSIC,
)
"""Best first, for a header that likes several equally well."""

# No name of ours needs escaping, so under each of these schemes the text is the same. "dots" is
# not among them: it would double every underscore.
_ESCAPING_SCHEMES: Final = frozenset({"allow-utf-8", "underscores", "values"})


def _negotiate(accept: str) -> tuple[_Form, str]:
    """Choose a form and say its content type.

    Of the ranges that fit a form the most specific one gives its quality. ``*/*`` alone names no
    form; it is answered with the classic one, which everything can read.
    """
    ranges = list(_ranges(accept))
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen, asked = _CLASSIC, None
    for position, form in enumerate(_FORMS):
        fitting = [(_specificity(one, form), one) for one in ranges]
        specificity, match = max(
            ((s, one) for s, one in fitting if s), key=lambda fit: fit[0], default=(0, None)
        )
        if match is None:
            continue
        rank = (match.quality, specificity, position if specificity == 1 else -position)
        if match.quality > 0 and rank > best:
            best, chosen, asked = rank, form, match
    content_type = f"{chosen.media_type}; version={chosen.version}; charset=utf-8"
    escaping = asked.parameters.get("escaping") if asked else None
    if escaping and chosen.version == "1.0.0":
        scheme = escaping if escaping in _ESCAPING_SCHEMES else "underscores"
        content_type += f"; escaping={scheme}"
    return chosen, content_type


def _specificity(one: _Range, form: _Form) -> int:
    """How closely a range names a form: 0 not at all, 1 by ``*/*``, up to 4 by its version."""
    version = one.parameters.get("version")
    if one.media_type == form.media_type:
        if version is None:
            return 3 if form.default else 0
        return 4 if version == form.version else 0
    if not form.default:
        return 0
    if one.media_type == form.media_type.partition("/")[0] + "/*":
        return 2
    return 1 if one.media_type == "*/*" else 0


def _ranges(accept: str) -> Iterator[_Range]:
    for part in accept.split(","):
        media_type, *rest = (piece.strip() for piece in part.split(";"))
        parameters = {}
        for piece in rest:
            key, _, value = piece.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if 0 <= quality <= 1:
            yield _Range(media_type.lower(), parameters, quality)
