"""A snapshot as one JSON document, ``metalscope.export/v1``: what webhooks and files are given.

Its schema is ``assets/schema/export-v1.schema.json`` (JSON Schema 2020-12). A document is strict
JSON (RFC 8259): what is no number there, NaN and the infinities, is left out, as anything else
that is not known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from metalscope import semconv
from metalscope.export.news import new_events
from metalscope.moments import rfc3339

if TYPE_CHECKING:
    from metalscope.export.view import MetricView
    from metalscope.families import Distribution, Family, LabelValues
    from metalscope.semconv import Metric
    from metalscope.snapshot import MetalTelemetrySnapshot, TelemetryEvent

__all__ = ["SCHEMA", "Document", "Point", "strict_json"]

SCHEMA: Final = "metalscope.export/v1"
"""What a document calls its own form. Within v1 nothing is taken away or changes its meaning."""

# Of our own making: names of documents are unlike other names made of the same words.
_NAMESPACE: Final = UUID("b0bd2d2e-9a0a-5f0a-8f3c-6e1f9d0d5c11")


@dataclass(frozen=True, slots=True)
class Point:
    """One series of a metric, or one event where ``metric`` is ``None``."""

    metric: Metric | None
    data: dict[str, Any]


class Document:
    """One snapshot as a document, in whole or in parts.

    Args:
        snapshot: what is sent.
        view: which of it, under which names.
        since: the last snapshot that arrived; events it has are left out.
    """

    def __init__(
        self,
        snapshot: MetalTelemetrySnapshot,
        view: MetricView,
        since: MetalTelemetrySnapshot | None = None,
    ) -> None:
        families = list(view.families(snapshot))
        self._resource = view.resource(snapshot)
        self._times = {
            "timestamp": rfc3339(snapshot.timestamp),
            "started_at": rfc3339(snapshot.started_at),
        }
        self._health = _health(snapshot, view) if view.allows(semconv.HEALTH_STATUS.name) else None
        self.points: list[Point] = [
            *(point for family in families for point in _points(family)),
            *(Point(None, _event(event)) for event in new_events(snapshot, view, since)),
        ]
        """All there is to send, always in the same order."""

    def to_dict(self, offset: int = 0, count: int | None = None) -> dict[str, Any]:
        """The document of ``count`` points from ``offset`` on, of all where nothing is said.

        The same points of the same snapshot give the same document.
        """
        total = len(self.points)
        chosen = self.points[offset : total if count is None else offset + count]
        made: dict[str, Any] = {"schema": SCHEMA} | self._times | {"resource": self._resource}
        if len(chosen) < total:
            made["part"] = {"offset": offset, "points": len(chosen), "total": total}
        if self._health is not None:
            made["health"] = self._health
        made["metrics"] = _metrics(chosen)
        made["events"] = [point.data for point in chosen if point.metric is None]
        # Last, so that the end of a line in a file tells which document the line is.
        named = [self._resource["service.instance.id"], made["timestamp"], made.get("part")]
        made["document_id"] = str(uuid5(_NAMESPACE, strict_json(named)))
        return made


def strict_json(value: Any) -> str:
    """``value`` as JSON on one line that can always be encoded in UTF-8.

    Raises ``ValueError`` for a number JSON has no word for.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # The recorder lets no lone surrogate in; one from elsewhere must not cost the whole document.
    return text.encode("utf-8", "replace").decode("utf-8")


def _points(family: Family) -> Iterable[Point]:
    metric = family.metric
    for labels, value in family.values:
        if isfinite(value):
            yield Point(metric, {"labels": _labels(metric, labels), "value": value})
    for labels, distribution in family.distributions:
        yield Point(metric, {"labels": _labels(metric, labels)} | _distribution(distribution))


def _metrics(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [
        {
            "name": metric.name,
            "type": metric.type,
            "unit": metric.unit,
            "help": metric.help,
            "series": [point.data for point in run],
        }
        for metric, run in groupby(points, key=lambda point: point.metric)
        if metric is not None
    ]


def _labels(metric: Metric, values: LabelValues) -> dict[str, str]:
    return dict(zip(metric.labels, values, strict=True))


def _distribution(distribution: Distribution) -> dict[str, Any]:
    total = distribution.sum
    series: dict[str, Any] = {
        "count": distribution.count,
        "sum": total if total is not None and isfinite(total) else None,
        "buckets": [[bound, count] for bound, count in distribution.buckets if isfinite(bound)],
    }
    exemplars = [
        {
            "value": exemplar.value_ms,
            "timestamp": rfc3339(exemplar.timestamp),
            **exemplar.labels,
        }
        for exemplar in distribution.exemplars
        if isfinite(exemplar.value_ms)
    ]
    return series | ({"exemplars": exemplars} if exemplars else {})


def _event(event: TelemetryEvent) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "timestamp": rfc3339(event.timestamp),
        "name": event.name,
        "properties": _plain(event.properties),
    }


def _plain(value: Any) -> Any:
    # The event log lets only what JSON has a word for in; this is for snapshots made by hand.
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, str | int) or (type(value) is float and isfinite(value)):
        return value
    return str(value)


def _health(snapshot: MetalTelemetrySnapshot, view: MetricView) -> dict[str, Any]:
    return {
        "status": snapshot.health.status.value,
        "components": [
            {
                "component": part.component.value,
                "status": part.status.value,
                # Sentences that may name a kernel or a path.
                "reasons": [view.cleaned(reason) for reason in part.reasons],
            }
            for part in snapshot.health.components
        ],
    }
