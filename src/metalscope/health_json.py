"""Health as an ``application/health+json`` document.

The format is that of draft-inadarei-api-health-check-06, "Health Check Response Format for HTTP
APIs" (https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check-06); numbers of
sections below are its own. It allows members of one's own, of which there are some: metalscope has
four words for a status and the format has three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from metalscope._version import __version__
from metalscope.export_status import BreakerState
from metalscope.health_report import HealthReport, HealthStatus
from metalscope.moments import rfc3339
from metalscope.readings import ResourceKind

if TYPE_CHECKING:
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = [
    "MEDIA_TYPE",
    "FailOn",
    "Verdict",
    "health_document",
    "http_status_of",
    "unwell",
    "verdict_of",
]

MEDIA_TYPE: Final = "application/health+json"

FailOn = Literal["critical", "degraded"]
"""The mildest status that is a failure."""

FORMAT_VERSION: Final = "1"
"""Section 3.2: changes only where a reader of the document has to."""

DESCRIPTION: Final = "health of the Metal GPU work of one process, as metalscope sees it"
NOTHING_KNOWN: Final = "nothing is known yet: no operation has run and no sensor speaks of health"

_MEMORY: Final = (ResourceKind.MEMORY, ResourceKind.GPU_MEMORY, ResourceKind.HOST_MEMORY)


class Verdict(StrEnum):
    """The format's three words for a status (section 3.1)."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"


def verdict_of(status: HealthStatus, fail_on: FailOn = "critical") -> Verdict:
    """The format's word for a status.

    ``unknown`` is ``warn``: the format has no word for it, ``pass`` would claim what nobody has
    seen, and ``fail`` would take a program that has not worked yet out of service.
    """
    if status is HealthStatus.HEALTHY:
        return Verdict.PASS
    if status is HealthStatus.CRITICAL:
        return Verdict.FAIL
    if status is HealthStatus.DEGRADED and fail_on == "degraded":
        return Verdict.FAIL
    return Verdict.WARN


def http_status_of(verdict: Verdict) -> int:
    """200, or 503 for ``fail``: section 3.1 wants 2xx or 3xx, or 4xx or 5xx for ``fail``."""
    return 503 if verdict is Verdict.FAIL else 200


def unwell(report: HealthReport) -> str:
    """The reasons of every component that is not well, in one line; empty where all are."""
    return "; ".join(
        f"{one.component.value}: {', '.join(one.reasons) or one.status.value}"
        for one in report.components
        if one.status in (HealthStatus.CRITICAL, HealthStatus.DEGRADED)
    )


def health_document(
    status: HealthStatus,
    verdict: Verdict,
    *,
    reason: str,
    time: datetime,
    snapshot: MetalTelemetrySnapshot | None,
    checks: Mapping[str, list[dict[str, Any]]],
    fail_on: FailOn = "critical",
) -> dict[str, Any]:
    """The document with all details.

    Args:
        status: the overall status in metalscope's words.
        verdict: the same in the format's.
        reason: why it is no ``pass``; left out where it is one (section 3.5).
        time: when this was found.
        snapshot: what it was found in, where one could be collected.
        checks: entries beside those of the snapshot, by their keys (section 4).
        fail_on: the mildest status of a component that is ``fail``.
    """
    report = snapshot.health if snapshot is not None else HealthReport()
    found = _checks(snapshot, fail_on) if snapshot is not None else {}
    document: dict[str, Any] = {
        "status": verdict.value,
        "version": FORMAT_VERSION,
        "releaseId": __version__,
        "description": DESCRIPTION,
        "time": rfc3339(time),
    }
    if snapshot is not None and snapshot.system is not None:
        document["serviceId"] = f"{snapshot.system.host}:{snapshot.system.pid}"
    if verdict is not Verdict.PASS and reason:
        document["output"] = reason
    notes = list(_notes(status, report))
    if notes:
        document["notes"] = notes
    data = report.to_dict()
    return {
        **document,
        "checks": {**found, **checks},
        "health_status": status.value,
        **{name: data[name] for name in _MEMBERS},
    }


_MEMBERS: Final = ("components", "anomalies", "breakers", "predictions", "objectives")
"""Parts of the report that the format has no place for, under metalscope's own names."""


def _checks(snapshot: MetalTelemetrySnapshot, fail_on: FailOn) -> dict[str, list[dict[str, Any]]]:
    time = rfc3339(snapshot.timestamp)
    checks: dict[str, list[dict[str, Any]]] = {}
    for one in snapshot.health.components:
        name = one.component.value
        entry = {
            "componentId": name,
            "componentType": "system" if name == "system" else "component",
            "observedValue": one.status.value,
            "time": time,
            **_judged(one.status, "; ".join(one.reasons), fail_on),
        }
        checks.setdefault(f"{name}:status", []).append(entry)
    memory = [
        {
            "componentId": ":".join(filter(None, (resource.device, resource.name))),
            "componentType": "system" if resource.is_of_the_host else "component",
            "observedValue": round(percent, 3),
            "observedUnit": "percent",
            "time": time,
        }
        for resource in snapshot.resources
        if resource.kind in _MEMORY and (percent := resource.utilization_percent) is not None
    ]
    if memory:
        checks["memory:utilization"] = memory
    breakers = [
        {
            "componentId": breaker.name,
            "componentType": "component",
            "observedValue": breaker.state.value,
            # An open breaker protects: what it says of health is in its component's status.
            "status": (
                Verdict.PASS if breaker.state is BreakerState.CLOSED else Verdict.WARN
            ).value,
            "time": time,
        }
        for breaker in snapshot.health.breakers
    ]
    if breakers:
        checks["breaker:state"] = breakers
    checks["uptime"] = [
        {
            "componentType": "system",
            "observedValue": round(snapshot.uptime_seconds, 3),
            "observedUnit": "s",
            "status": Verdict.PASS.value,
            "time": time,
        }
    ]
    return checks


def _judged(status: HealthStatus, why: str, fail_on: FailOn) -> dict[str, str]:
    """``status`` and ``output`` of a check; of what is not known no status is given."""
    if status is HealthStatus.UNKNOWN:
        return {"output": why} if why else {}
    verdict = verdict_of(status, fail_on)
    judged = {"status": verdict.value}
    if why and verdict is not Verdict.PASS:
        judged["output"] = why
    return judged


def _notes(status: HealthStatus, report: HealthReport) -> Iterator[str]:
    if status is HealthStatus.UNKNOWN and all(
        one.status is HealthStatus.UNKNOWN for one in report.components
    ):
        yield NOTHING_KNOWN
    yield from (anomaly.reason for anomaly in report.anomalies)
    yield from (prediction.message for prediction in report.predictions)
