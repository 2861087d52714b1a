"""What one health check found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from metalscope.health_json import (
    FailOn,
    Verdict,
    health_document,
    http_status_of,
    verdict_of,
)
from metalscope.health_report import HealthReport, HealthStatus
from metalscope.moments import rfc3339

if TYPE_CHECKING:
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["HealthCheckResult", "ProbeResult"]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What became of the application's own probe: how long it took in s, and why it failed.

    ``duration_s`` is ``None`` where it has not ended.
    """

    duration_s: float | None
    failure: str = ""

    @property
    def verdict(self) -> Verdict:
        """``fail`` where it failed, else ``pass``."""
        return Verdict.FAIL if self.failure else Verdict.PASS


@dataclass(frozen=True, slots=True)
class HealthCheckResult:
    """What one check found.

    ``status`` is the back end's, in metalscope's words: ``unknown`` where the check could not be
    made. ``verdict`` is what is to be done about it: ``fail`` takes the process out of service, and
    a check that could not be made is a ``fail``. ``reason`` says why it is no ``pass``.
    ``duration_s`` is how long the check took, or was waited for in vain. ``snapshot`` is what was
    collected for it, and ``telemetry_failure`` why that could not be had or is not to be trusted.
    """

    status: HealthStatus
    verdict: Verdict
    reason: str
    duration_s: float
    time: datetime
    snapshot: MetalTelemetrySnapshot | None = None
    probe: ProbeResult | None = None
    telemetry_failure: str = ""
    fail_on: FailOn = "critical"

    @property
    def report(self) -> HealthReport:
        """The components and what stands behind them; empty where nothing was collected."""
        return self.snapshot.health if self.snapshot is not None else HealthReport()

    @property
    def http_status(self) -> int:
        """503 for ``fail``, else 200."""
        return http_status_of(self.verdict)

    def to_dict(self) -> dict[str, Any]:
        """The ``application/health+json`` document, with all details."""
        return health_document(
            self.status,
            self.verdict,
            reason=self.reason,
            time=self.time,
            snapshot=self.snapshot,
            checks=self._probe_check(),
            fail_on=self.fail_on,
        )

    def summary(self) -> dict[str, str]:
        """The document for those who are told the status alone."""
        return {"status": self.verdict.value}

    def to_lines(self) -> list[str]:
        """One line a check, as Kubernetes' own ``?verbose`` has them: ``[+]memory ok``.

        (https://kubernetes.io/docs/reference/using-api/health-checks/)
        """
        lines = [_line("telemetry", self.telemetry_failure)]
        for one in self.report.components:
            name, why = one.component.value, ", ".join(one.reasons)
            if verdict_of(one.status, self.fail_on) is Verdict.FAIL:
                lines.append(_line(name, why or one.status.value))
            elif one.status is HealthStatus.HEALTHY:
                lines.append(_line(name))
            else:
                lines.append(": ".join(filter(None, (f"{_line(name)}, {one.status.value}", why))))
        if self.probe is not None:
            lines.append(_line("probe", self.probe.failure))
        return lines

    def _probe_check(self) -> dict[str, list[dict[str, Any]]]:
        probe = self.probe
        if probe is None:
            return {}
        entry: dict[str, Any] = {
            "componentId": "probe",
            "componentType": "component",
            "status": probe.verdict.value,
            "time": rfc3339(self.time),
        }
        if probe.duration_s is not None:
            entry |= {"observedValue": round(probe.duration_s * 1000, 3), "observedUnit": "ms"}
        if probe.failure:
            entry["output"] = probe.failure
        return {"probe:responseTime": [entry]}


def _line(name: str, failure: str = "") -> str:
    return f"[-]{name} failed: {failure}" if failure else f"[+]{name} ok"
