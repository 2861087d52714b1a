"""Queries of the dashboards asked of a server that speaks Prometheus's API."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from dashboard_files import interpolated, queries

from prometheus_server import PrometheusServer

OF_GRAFANA = {"__rate_interval": "4s", "__interval": "1s", "__range": "30s"}
"""What they are with a scrape a second and the last half minute shown."""
ALL = dict.fromkeys(("job", "instance", "device", "operation"), ".*")
"""The variables where nothing is chosen."""


def answer(
    server: PrometheusServer, expr: str, *, instant: bool, at: float | None = None
) -> list[dict[str, Any]]:
    """The series now, or at a moment; fails where the server has an error to tell."""
    moment = time.time() if at is None else at
    if instant:
        return server.get("query", {"query": expr, "time": f"{moment:.3f}"})["result"]
    times = {"start": f"{moment - 5:.3f}", "end": f"{moment:.3f}", "step": "1"}
    return server.get("query_range", {"query": expr, **times})["result"]


def numbers(series: Mapping[str, Any]) -> list[float]:
    values = series.get("values") or [series["value"]]
    return [float(value) for _, value in values]


def without_numbers(server: PrometheusServer, job: str, at: float | None = None) -> list[str]:
    """Every query of every panel and annotation that gives no number for that job."""
    empty = []
    for one in queries():
        expr = interpolated(one.expr, {**ALL, **OF_GRAFANA, "job": job})
        result = answer(server, expr, instant=one.instant, at=at)
        if not any(math.isfinite(n) for series in result for n in numbers(series)):
            empty.append(f"{one.where}: {expr}")
    return empty
