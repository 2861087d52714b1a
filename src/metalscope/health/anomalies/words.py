"""Findings in words and numbers: what a person reads of an anomaly, and how severe it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from metalscope.amounts import amount
from metalscope.durations import format_duration
from metalscope.health.anomalies.breakers import Breaking
from metalscope.health.anomalies.leak import Leaking
from metalscope.health.anomalies.pressure import Pressed
from metalscope.health.anomalies.rates import Failing
from metalscope.health.anomalies.shift import Slower
from metalscope.health.anomalies.throttling import Cause, Throttled
from metalscope.health_report import Anomaly, AnomalyKind
from metalscope.moments import EPOCH
from metalscope.operation import Component, ErrorSeverity, MetalError
from metalscope.readings import ThermalState

__all__ = ["NAME", "breaking", "failing", "leaking", "pressed", "slower", "throttled"]

NAME: Final = "robust"

_ORDER: Final = tuple(ErrorSeverity)
_HOUR: Final = 3600.0


def slower(subject: str, component: Component, found: Slower, cause: str = "") -> Anomaly:
    """An operation that takes longer. Low below 1.5 times, medium below 3, high below 10."""
    verb = "takes" if found.kind is not AnomalyKind.SPIKE else "took for a moment"
    if found.kind is AnomalyKind.DRIFT:
        verb = "takes more and more:"
    return Anomaly(
        found.kind,
        component,
        subject,
        _severity(found.ratio, (1.5, 3.0, 10.0)),
        found.since,
        f"{subject} {verb} {_ms(found.ms)}, {found.ratio:.2g} times its usual "
        f"{_ms(found.usual_ms)} (since {_clock(found.since)})",
        cause,
        found.ms,
        found.usual_ms,
        "ms",
        NAME,
    )


def failing(subject: str, component: Component, found: Failing, errors: Sequence[str]) -> Anomaly:
    """Failures. Low below 5 % of the calls, medium below 20, high below 50; at least the error's
    own severity.
    """
    severity = _severity(found.share, (0.05, 0.2, 0.5))
    known = [MetalError(error).severity for error in errors if error in set(MetalError)]
    severity = max(severity, *known, key=_ORDER.index) if known else severity
    names = ", ".join(errors)
    what = subject if subject in errors or not names else f"{subject} ({names})"
    return Anomaly(
        AnomalyKind.ERROR_RATE,
        component,
        subject,
        severity,
        found.since,
        f"{what}: {_percent(found.share)} of calls fail, usually {_percent(found.usual)}; "
        f"{found.failures:.0f} of {found.calls:.0f} since {_clock(found.since)}",
        f"errors: {names}" if names else "",
        100 * found.share,
        100 * found.usual,
        "percent",
        NAME,
    )


def leaking(subject: str, found: Leaking) -> Anomaly:
    """Memory that only grows. By the time to the limit: critical below an hour, high below six,
    medium below a day; low otherwise, and medium where it has doubled.
    """
    left = found.left
    severity = ErrorSeverity.MEDIUM if found.held >= 2 * found.before else ErrorSeverity.LOW
    until = ""
    if left is not None:
        severity = ErrorSeverity.LOW
        for hours, one in ((24, ErrorSeverity.MEDIUM), (6, ErrorSeverity.HIGH), (1, _ORDER[-1])):
            severity = one if left < hours * _HOUR else severity
        limit = amount(found.limit, "bytes")
        until = f"; at this rate its limit of {limit} is reached in {_lasting(left)}"
    return Anomaly(
        AnomalyKind.LEAK,
        Component.MEMORY,
        subject,
        severity,
        found.since,
        f"{subject} only grows: {amount(found.held, 'bytes')}, from "
        f"{amount(found.before, 'bytes')} at {_clock(found.since)}, "
        f"{amount(found.per_second * _HOUR, 'bytes')} an hour{until}",
        value=found.held,
        expected=found.before,
        unit="bytes",
        detector=NAME,
    )


def pressed(subject: str, found: Pressed, *, percent: bool) -> Anomaly:
    """A shortage of memory: high, critical where it is so at present."""
    what = f"{found.value:.1f} % in use" if percent else f"level {found.value:.0f} of 3"
    return Anomaly(
        AnomalyKind.PRESSURE,
        Component.MEMORY,
        subject,
        ErrorSeverity.CRITICAL if found.critical else ErrorSeverity.HIGH,
        found.since,
        f"{subject}: {what}, high for {_percent(found.share)} of the window "
        f"(since {_clock(found.since)})",
        value=found.value,
        unit="percent" if percent else "level",
        detector=NAME,
    )


def breaking(subject: str, component: Component, found: Breaking, last_error: str) -> Anomaly:
    """A breaker that opens often, medium, and high from six times on or where it stays open."""
    often = found.opened >= 6.0
    severe = often or found.stays_open
    what = (
        f"has been open for {_lasting(found.open_for)}"
        if found.stays_open
        else f"opened {found.opened:.0f} times"
    )
    return Anomaly(
        AnomalyKind.BREAKER,
        component,
        subject,
        ErrorSeverity.HIGH if severe else ErrorSeverity.MEDIUM,
        found.since,
        f"circuit breaker {subject} {what} (since {_clock(found.since)})",
        f"last error: {last_error}" if last_error else "",
        value=found.open_for if found.stays_open else found.opened,
        unit="seconds" if found.stays_open else "count",
        detector=NAME,
    )


def throttled(device: str, found: Throttled, slowed: Sequence[tuple[str, float]]) -> Anomaly:
    """A slowed GPU. Low above 80 % of its clock, medium above 60 %, high below; critical where
    the system says that heat is.
    """
    hertz, usual = found.hertz, found.usual_hertz
    parts = [f"{device or 'the GPU'} is slowed"]
    severity = ErrorSeverity.MEDIUM
    if hertz is not None and usual is not None:
        share = hertz / usual
        severity = _severity(1 / share if share > 0 else 2.0, (1.25, 1.67, float("inf")))
        parts.append(
            f"{amount(hertz, 'hertz')} while busy, {_percent(share)} of its usual "
            f"{amount(usual, 'hertz')}"
        )
    last = found.last
    if last.celsius is not None:
        parts.append(f"{amount(last.celsius, 'celsius')}")
    if last.thermal_state is not None:
        parts.append(f"thermal state {ThermalState(int(last.thermal_state)).name.lower()}")
        if last.thermal_state >= ThermalState.CRITICAL:
            severity = ErrorSeverity.CRITICAL
    if slowed:
        parts.append("slower: " + ", ".join(f"{name} {ratio:.2g}×" for name, ratio in slowed))
    cause = "cause unknown" if found.cause is Cause.UNKNOWN else found.cause.value
    return Anomaly(
        AnomalyKind.THROTTLING,
        Component.DEVICE,
        device or "gpu",
        severity,
        found.since,
        f"{', '.join(parts)}: {cause} (since {_clock(found.since)})",
        found.cause.value,
        hertz,
        usual if hertz is not None else None,
        "hertz" if hertz is not None else "",
        NAME,
    )


def _severity(size: float, bounds: tuple[float, float, float]) -> ErrorSeverity:
    return _ORDER[sum(size >= bound for bound in bounds)]


def _ms(value: float) -> str:
    return f"{value:.3g} ms" if value < 1000 else f"{value:,.0f} ms"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(EPOCH.tzinfo):%H:%M:%S} UTC"


def _lasting(seconds: float) -> str:
    whole = round(seconds / 60) * 60 if seconds >= 120 else round(seconds)
    if whole >= 10 * _HOUR:
        whole = round(seconds / _HOUR) * int(_HOUR)
    return format_duration(timedelta(seconds=whole))
