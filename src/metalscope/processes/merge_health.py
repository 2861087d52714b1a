"""The health of several processes as one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf
from typing import TypeVar

from metalscope.export_status import WORST_STATE_FIRST
from metalscope.health_report import worst
from metalscope.snapshot import (
    Anomaly,
    BreakerStatus,
    BurnRate,
    ComponentHealth,
    HealthReport,
    MetalTelemetrySnapshot,
    ObjectiveStatus,
    Prediction,
)

__all__ = ["health_of"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def health_of(living: Sequence[MetalTelemetrySnapshot]) -> HealthReport:
    """Of each component the worst status any process has, with the reasons of all of them.

    Anomalies of the same thing, breakers and predictions of the same name are one; what objectives
    count is added up. Events are left to who can number them.
    """
    reports = [(_process(one), one.health) for one in living]
    return HealthReport(
        worst(report.status for _, report in reports),
        tuple(_components(reports)),
        tuple(_anomalies(reports)),
        tuple(_breakers(reports)),
        tuple(_predictions(reports)),
        tuple(_objectives(reports)),
    )


_Reports = Sequence[tuple[str, HealthReport]]


def _components(reports: _Reports) -> Iterator[ComponentHealth]:
    entries = ((who, one) for who, report in reports for one in report.components)
    for component, group in _grouped((one.component, (who, one)) for who, one in entries):
        yield ComponentHealth(
            component,
            worst(one.status for _, one in group),
            tuple(f"{who}: {why}" for who, one in group for why in one.reasons),
        )


def _anomalies(reports: _Reports) -> Iterator[Anomaly]:
    entries = ((who, one) for who, report in reports for one in report.anomalies)
    for _, group in _grouped((one.key, (who, one)) for who, one in entries):
        gravest = max((one for _, one in group), key=lambda one: one.severity.rank)
        yield replace(
            gravest,
            since=min(one.since for _, one in group),
            reason="; ".join(f"{who}: {one.reason}" for who, one in group),
        )


def _breakers(reports: _Reports) -> Iterator[BreakerStatus]:
    for _, group in _grouped((one.name, one) for _, report in reports for one in report.breakers):
        state_of = min(group, key=lambda one: WORST_STATE_FIRST.index(one.state))
        yield replace(
            state_of,
            failures=max(one.failures for one in group),
            calls=sum(one.calls for one in group),
            opened=sum(one.opened for one in group),
            rejected=sum(one.rejected for one in group),
        )


def _predictions(reports: _Reports) -> Iterator[Prediction]:
    entries = (one for _, report in reports for one in report.predictions)
    for _, group in _grouped(((one.kind, one.subject), one) for one in entries):
        yield min(group, key=_soonest_then_likeliest)


def _soonest_then_likeliest(one: Prediction) -> tuple[float, float]:
    return one.at.timestamp() if one.at else inf, -(one.value or 0.0)


def _objectives(reports: _Reports) -> Iterator[ObjectiveStatus]:
    for _, group in _grouped((one.name, one) for _, report in reports for one in report.objectives):
        first = group[0]
        burning = [one.burning for one in group if one.burning is not None]
        yield replace(
            first,
            covered_seconds=max(one.covered_seconds for one in group),
            good=sum(one.good for one in group),
            total=sum(one.total for one in group),
            burn_rates=tuple(_burn_rates(group, first.target)),
            burning=max(burning, key=lambda severity: severity.rank, default=None),
        )


def _burn_rates(group: Sequence[ObjectiveStatus], target: float) -> Iterator[BurnRate]:
    entries = ((rate.seconds, rate) for one in group for rate in one.burn_rates)
    for seconds, rates in _grouped(entries):
        good, total = sum(one.good for one in rates), sum(one.total for one in rates)
        yield BurnRate.of(seconds, good, total, target)


def _grouped(entries: Iterable[tuple[K, T]]) -> Iterable[tuple[K, list[T]]]:
    groups: dict[K, list[T]] = {}
    for key, one in entries:
        groups.setdefault(key, []).append(one)
    return groups.items()


def _process(snapshot: MetalTelemetrySnapshot) -> str:
    return f"process {snapshot.system.pid}" if snapshot.system is not None else "process"
