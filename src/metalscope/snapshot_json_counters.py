"""The performance counters from their JSON, in which durations are whole nanoseconds too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from metalscope.counter_statistics import (
    BandStatistics,
    ErrorStatistics,
    NamedWork,
    PerformanceCounters,
    RateStatistics,
    ReadingStatistics,
    SizeCategory,
    WorkStatistics,
)
from metalscope.operation import MetalError, OperationKind
from metalscope.readings import ResourceKind

__all__ = ["counters_from_dict"]

Data = Mapping[str, Any]


def counters_from_dict(data: Data | None) -> PerformanceCounters | None:
    """What ``PerformanceCounters.to_dict()`` was made of; ``None`` where there were none.

    Raises:
        ValueError, TypeError, KeyError: it is no such data.
    """
    if not data:
        return None
    sampled_at = data["sampled_at"]
    return PerformanceCounters(
        since=_time(data["since"]),
        interval_seconds=data["interval_seconds"],
        allocations=_work(data["allocations"]),
        kernels=_work(data["kernels"]),
        errors=_errors(data["errors"]),
        readings=tuple(_reading(one) for one in data["readings"] if _is_known(one["kind"])),
        sampled_at=None if sampled_at is None else _time(sampled_at),
        samples=data["samples"],
        measured_seconds=data["measured_seconds"],
        gaps=data["gaps"],
        refused=data["refused"],
        untracked=data["untracked"],
    )


def _work(data: Data) -> WorkStatistics:
    sizes = data["by_size"]
    return WorkStatistics(
        slow_above_ms=data["slow_above_ms"],
        count=data["count"],
        failures=data["failures"],
        slow=data["slow"],
        nbytes=data["nbytes"],
        timed=data.get("timed", 0),
        total_ns=data["total_ns"],
        min_ns=data["min_ns"],
        max_ns=data["max_ns"],
        gpu_ns=data["gpu_ns"],
        gpu_count=data.get("gpu_count", 0),
        rate=_rate(data["per_second"]),
        bytes_rate=_rate(data["bytes_per_second"]),
        by_name=tuple(_named(one) for one in data["by_name"]),
        by_size=None if sizes is None else {SizeCategory(size): n for size, n in sizes.items()},
    )


def _named(data: Data) -> NamedWork:
    return NamedWork(
        name=data["name"],
        device=data["device"],
        count=data["count"],
        failures=data["failures"],
        slow=data["slow"],
        nbytes=data["nbytes"],
        timed=data.get("timed", 0),
        total_ns=data["total_ns"],
        min_ns=data["min_ns"],
        max_ns=data["max_ns"],
        per_second=data["per_second"],
    )


def _errors(data: Data) -> ErrorStatistics:
    return ErrorStatistics(
        total=data["total"],
        of=data["of"],
        by_type={MetalError(error): n for error, n in data["by_type"].items()},
        by_kind={OperationKind(kind): n for kind, n in data["by_kind"].items()},
        rate=_rate(data["per_second"]),
    )


def _reading(data: Data) -> ReadingStatistics:
    band, rate = data["band"], data["rate_per_second"]
    return ReadingStatistics(
        kind=ResourceKind(data["kind"]),
        name=data["name"],
        device=data["device"],
        current=data["current"],
        minimum=data["min"],
        maximum=data["max"],
        mean=data["mean"],
        samples=data["samples"],
        peak=data["peak"],
        limit=data["limit"],
        utilization_percent=data["utilization_percent"],
        band=None if band is None else _band(band),
        near_exhaustion=data["near_exhaustion"],
        near_exhaustion_samples=data["near_exhaustion_samples"],
        growth=data["growth"],
        rate=None if rate is None else _rate(rate),
    )


def _band(data: Data) -> BandStatistics:
    return BandStatistics(data["current"], dict(data["samples"]), dict(data["entered"]))


def _rate(data: Data) -> RateStatistics:
    return RateStatistics(data["current"], data["min"], data["max"], data["mean"], data["windows"])


def _is_known(kind: str) -> bool:
    return kind in set(ResourceKind)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
