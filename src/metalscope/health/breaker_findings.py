"""What the circuit breakers say of the components they protect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metalscope.export_status import BreakerState
from metalscope.health.rules import Finding
from metalscope.health_report import BreakerStatus, HealthStatus
from metalscope.moments import utc_now
from metalscope.operation import Component

__all__ = ["breaker_findings"]


def breaker_findings(breakers: Iterable[BreakerStatus], window: float) -> Iterator[Finding]:
    """An open breaker is critical for the device, and degrades any other component.

    One that nobody has called for ``window`` seconds although it would let a trial through is
    told of, and no longer counts: it stays open until somebody calls, which may be never.
    """
    for one in breakers:
        if one.component is None or one.state is BreakerState.CLOSED:
            continue
        name = f"circuit breaker {one.name!r}"
        idle = 0.0 if one.retry_at is None else (utc_now() - one.retry_at).total_seconds()
        if one.state is BreakerState.HALF_OPEN:
            yield Finding(one.component, HealthStatus.DEGRADED, f"{name} is on trial")
        elif idle > window:
            reason = f"{name} is open, and nothing has called it for {idle:.0f} s"
            yield Finding(one.component, HealthStatus.UNKNOWN, reason)
        else:
            is_device = one.component is Component.DEVICE
            status = HealthStatus.CRITICAL if is_device else HealthStatus.DEGRADED
            yield Finding(one.component, status, f"{name} is open after {_failures(one)}")


def _failures(one: BreakerStatus) -> str:
    last = f", the last with {one.last_error}" if one.last_error else ""
    return f"{one.failures} failures in a row{last}" if one.failures > 1 else f"a failure{last}"
