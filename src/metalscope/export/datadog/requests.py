"""Calls of Datadog's API client, and the bodies they are made with.

The bodies are plain data in the form of the client's models, of which the client would make some
three objects for each series and take ten times as long: time that a program of one interpreter
lock does not get back. That the models allow them is what the tests check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

from metalscope.export.datadog.points import Event, Series, Values

__all__ = ["Request", "distributions", "event", "series_v1", "series_v2"]

Request = Callable[[Any], Any]
"""Makes one call with an ``ApiClient`` and returns what was answered."""

_INTAKE_TYPES: Final = {"count": 1, "gauge": 3}
"""Datadog API v2, "Submit metrics": ``type``."""


def series_v2(part: Sequence[Series], second: int, host: str | None) -> Request:
    """``POST /api/v2/series``."""
    series = [
        {
            "metric": one.metric,
            "type": _INTAKE_TYPES[one.kind],
            "points": [{"timestamp": second, "value": float(one.value)}],
            "tags": list(one.tags),
            **({"resources": [{"name": host, "type": "host"}]} if host else {}),
            **({"interval": one.interval} if one.interval else {}),
            **({"unit": one.unit} if one.unit else {}),
        }
        for one in part
    ]
    encoding = _class("v2.model.metric_content_encoding", "MetricContentEncoding").GZIP
    return lambda client: _class("v2.api.metrics_api", "MetricsApi")(client).submit_metrics(
        body={"series": series}, content_encoding=encoding
    )


def series_v1(part: Sequence[Series], second: int, host: str | None) -> Request:
    """``POST /api/v1/series``, which has no units."""
    series = [
        {
            "metric": one.metric,
            "type": one.kind,
            "points": [[second, float(one.value)]],
            "tags": list(one.tags),
            **({"host": host} if host else {}),
            **({"interval": one.interval} if one.interval else {}),
        }
        for one in part
    ]
    encoding = _class("v1.model.metric_content_encoding", "MetricContentEncoding").DEFLATE
    return lambda client: _class("v1.api.metrics_api", "MetricsApi")(client).submit_metrics(
        body={"series": series}, content_encoding=encoding
    )


def distributions(part: Sequence[Values], second: int, host: str | None) -> Request:
    """``POST /api/v1/distribution_points``."""
    series = [
        {
            "metric": one.metric,
            "points": [[second, list(one.values)]],
            "tags": list(one.tags),
            **({"host": host} if host else {}),
        }
        for one in part
    ]
    encodings = _class(
        "v1.model.distribution_points_content_encoding", "DistributionPointsContentEncoding"
    )
    api = _class("v1.api.metrics_api", "MetricsApi")
    return lambda client: api(client).submit_distribution_points(
        body={"series": series}, content_encoding=encodings.DEFLATE
    )


def event(one: Event, host: str | None) -> Request:
    """``POST /api/v1/events``."""
    body = {
        "title": one.title,
        "text": one.text,
        "date_happened": one.second,
        "tags": list(one.tags),
        **({"host": host} if host else {}),
    }
    return lambda client: _class("v1.api.events_api", "EventsApi")(client).create_event(body=body)


def _class(module: str, name: str) -> Any:
    # One by one: importing all of a version takes seconds.
    return getattr(import_module(f"datadog_api_client.{module}"), name)
