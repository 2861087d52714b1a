"""Metrics data in parts, point by point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from metalscope.errors import MissingExtraError

try:
    from opentelemetry.sdk.metrics.export import Metric, MetricsData
except ImportError as missing:
    raise MissingExtraError("exporting by OTLP", "otlp", cause=str(missing)) from missing

__all__ = ["Point", "data_of", "points_of"]


class Point(NamedTuple):
    """One point, and the metric it is of, as the data hold it."""

    metric: Metric
    point: Any


def points_of(data: MetricsData) -> list[Point]:
    """All points, in order."""
    return [
        Point(metric, point)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


def data_of(points: Sequence[Point], like: MetricsData) -> MetricsData:
    """These points alone, under the resource and scope of ``like``, which has one of each."""
    [resource] = like.resource_metrics
    [scope] = resource.scope_metrics
    metrics = []
    for _, group in groupby(points, key=lambda point: id(point.metric)):
        members = list(group)
        data: Any = members[0].metric.data
        some = replace(data, data_points=[member.point for member in members])
        metrics.append(replace(members[0].metric, data=some))
    return MetricsData([replace(resource, scope_metrics=[replace(scope, metrics=metrics)])])
