"""The hosts of a fleet as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from metalscope import semconv
from metalscope.histogram import CLASSIC_BOUNDS_MS
from metalscope.page.prometheus.asking import HOST, Asking
from metalscope.page.prometheus.growth import milliseconds
from metalscope.page.prometheus.operation_lines import mean_ms, quantile_ms, share_failed
from metalscope.page.prometheus.reading_lines import OF_THE_PROGRAM
from metalscope.page.prometheus.selecting import selected
from metalscope.page.source import HostState

__all__ = ["hosts_now"]

_LAST: Final = 300.0
"""Seconds: what "the last minutes" are."""


@dataclass(slots=True)
class _Host:
    """What is known of a host so far."""

    figures: dict[str, float] = field(default_factory=dict)
    components: dict[str, str] = field(default_factory=dict)
    alerts: list[tuple[str, str]] = field(default_factory=list)
    version: str | None = None


def hosts_now(asking: Asking) -> tuple[HostState, ...]:
    """A row for each that was heard of in the last minutes, in order.

    Raises:
        SourceError: there is no answer.
    """
    now = asking.now()
    seconds = asking.window_at(now, _LAST).seconds
    window = asking.counting_at(now, seconds, each=len(CLASSIC_BOUNDS_MS) + 1)
    back = milliseconds(window.seconds)
    present = f"group by ({HOST}) (last_over_time({semconv.START_TIME.name}[{back}]))"
    hosts = {one.labels.get(HOST, ""): _Host() for one in asking.api.at(present, now)}
    if not hosts:
        return ()
    by = (HOST,)
    for figure, query in {
        "operations": f"{window.grown(semconv.OPERATIONS, by=by)} / {window.seconds}",
        "error_rate": share_failed(window, by=by),
        "mean_ms": mean_ms(window, by=by),
        "p99_ms": quantile_ms(0.99, window, by=by),
        # Pools of one device may hold each other.
        "memory_bytes": f"sum by ({HOST}) (max by ({HOST}, device) "
        f"({selected(semconv.MEMORY_USAGE.name, OF_THE_PROGRAM)}))",
        "gpu_percent": f"max by ({HOST}) ({semconv.GPU_UTILIZATION.name})",
        "power_watts": f"sum by ({HOST}) ({selected(semconv.POWER.name, rail='gpu')})",
    }.items():
        for one in asking.api.at(query, now):
            host = hosts.get(one.labels.get(HOST, ""))
            if host is not None and one.value is not None:
                host.figures[figure] = one.value
    _health(asking, now, hosts)
    return tuple(_state(name, host) for name, host in sorted(hosts.items()))


def _health(asking: Asking, now: float, hosts: Mapping[str, _Host]) -> None:
    firing = selected(semconv.ALERTS.name, state="firing")
    for query in (f"{semconv.HEALTH_STATUS.name} == 1", f"{firing} > 0", semconv.BUILD_INFO.name):
        for one in asking.api.at(query, now):
            labels = one.labels
            host = hosts.get(labels.get(HOST, ""))
            if host is None:
                continue
            if "component" in labels:
                host.components[labels["component"]] = labels.get("status", "")
            elif "alertname" in labels:
                host.alerts.append((labels["alertname"], labels.get("severity", "")))
            else:
                host.version = labels.get("version")


def _state(name: str, host: _Host) -> HostState:
    components = dict(sorted(host.components.items()))
    overall = components.pop(semconv.OVERALL, None)
    figures: dict[str, Any] = host.figures
    return HostState(
        host=name,
        health=overall,
        components=MappingProxyType(components),
        alerts=tuple(sorted(set(host.alerts))),
        version=host.version,
        **figures,
    )
