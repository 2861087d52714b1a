"""What a process shows when each built-in alert is due, for unit tests of the exported rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from metalscope.histogram import CLASSIC_BOUNDS_MS
from metalscope.operation import Component, MetalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalscope.alert_options import AlertRuleOptions, AlertsOptions

__all__ = ["Course", "Scenario", "scenarios"]

_GRAVEST: Final = {
    one.component: one for one in sorted(MetalError, key=lambda one: one.severity.rank)
}
_SERIES = 'kind="{}",name="matmul",device="m1"'
_EXECUTE = _SERIES.format("execute")


@dataclass(frozen=True, slots=True)
class Course:
    """How one series goes: ``before``, then ``during``, then ``after``; ``None`` is absent.

    With ``ahead`` its value is the time itself and so many s, as of a moment that is predicted.
    """

    series: str
    before: float | None
    during: float | None
    after: float | None
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One incident.

    It begins ``quiet`` s after the process was first seen, and lasts ``lasts`` s; what it brought
    is over ``lingers`` s after. ``value`` and ``labels`` are those of the alert while it fires.
    """

    courses: tuple[Course, ...]
    labels: Mapping[str, str]
    value: float
    quiet: float = 0.0
    lasts: float = 0.0
    lingers: float = 0.0


def scenarios(options: AlertsOptions) -> dict[str, Callable[[AlertRuleOptions], Scenario]]:
    """A scenario for each built-in rule, in which it is as grave as it can be.

    There is none for a share that must be above 0 or above 100 %: the one is always so, as good as,
    and the other never.
    """
    percents = {
        "MetalGpuSaturated": options.high_gpu_utilization_threshold,
        "MetalMemoryHigh": options.high_memory_utilization_threshold,
        "MetalHostMemoryHigh": options.high_resource_utilization_threshold,
    }
    return {
        name: made
        for name, made in _all(options).items()
        if name not in percents or 0 < percents[name] < 100
    }


def _all(options: AlertsOptions) -> dict[str, Callable[[AlertRuleOptions], Scenario]]:
    errors = options.error_rate_alert_threshold
    error_window = options.error_rate_window.total_seconds()
    bound = next(
        (one for one in CLASSIC_BOUNDS_MS if one >= options.slow_operation_threshold_ms), 0.0
    )
    slow = options.slow_operation_alert_threshold
    allocations = options.memory_allocation_failure_threshold
    kernels = options.kernel_execution_failure_threshold

    def failing(labels: str, error: str, count: int, window: float, **shown: str) -> Scenario:
        courses = (
            # A counter comes into being with its first count.
            Course(f'metal_errors_total{{{labels},type="{error}"}}', None, count, count),
            Course(f'metal_operations_total{{{labels},outcome="{error}"}}', None, count, count),
        )
        # What explains errors goes on as long as they do.
        return _counted(courses, count, max(window, error_window), shown)

    def slowed(_rule: AlertRuleOptions) -> Scenario:
        series = f'{{{_EXECUTE},outcome="ok"'
        courses = (
            Course(f"metal_operation_duration_ms_count{series}}}", 0, slow, slow),
            Course(f'metal_operation_duration_ms_bucket{series},le="{bound}"}}', 0, 0, 0),
        )
        shown = {"kind": "execute", "name": "matmul", "device": "m1"}
        return _counted(courses, slow, options.slow_operation_window.total_seconds(), shown)

    return {
        "MetalAllocationFailures": lambda _: failing(
            _SERIES.format("allocate"),
            "out_of_memory",
            allocations,
            options.memory_allocation_failure_window.total_seconds(),
            device="m1",
        ),
        "MetalKernelFailures": lambda _: failing(
            _EXECUTE,
            "timeout",
            kernels,
            options.kernel_execution_failure_window.total_seconds(),
            name="matmul",
            device="m1",
        ),
        "MetalDeviceLost": lambda _: failing(_EXECUTE, "device_lost", 1, error_window, device="m1"),
        "MetalDeviceUnavailable": lambda _: failing(
            _EXECUTE, "device_unavailable", errors, error_window, device="m1"
        ),
        **{
            f"Metal{component.capitalize()}Errors": _of(
                failing, _EXECUTE, error, errors, error_window, type=error.value, device="m1"
            )
            for component, error in _GRAVEST.items()
            if component is not Component.DEVICE
        },
        "MetalGpuRestarted": lambda _: _counted(
            # It has counted since boot, so its first value says nothing.
            (Course('metal_gpu_recoveries_total{device="m1"}', 7, 8, 8),),
            1,
            error_window,
            {"device": "m1"},
        ),
        "MetalSlowOperations": slowed,
        "MetalGpuSaturated": lambda rule: _held(
            rule,
            (Course('metal_gpu_utilization_percent{device="m1",engine="gpu"}', 0, 100, 0),),
            100,
            {"device": "m1", "engine": "gpu"},
            window=options.high_gpu_utilization_window.total_seconds(),
        ),
        "MetalMemoryHigh": lambda rule: _held(
            rule,
            (
                Course('metal_memory_usage_bytes{device="m1",pool="mlx_active"}', 0, 1000, 0),
                Course('metal_memory_limit_bytes{device="m1",pool="mlx_active"}', 1000, 1000, 1000),
            ),
            100,
            {"device": "m1", "pool": "mlx_active"},
        ),
        "MetalHostMemoryHigh": lambda rule: _held(
            rule,
            (
                Course('metal_host_memory_usage_bytes{pool="used"}', 0, 1000, 0),
                Course('metal_host_memory_limit_bytes{pool="used"}', 1000, 1000, 1000),
            ),
            100,
            {"pool": "used"},
        ),
        "MetalMemoryPressure": _state('metal_memory_pressure{level="critical"}'),
        "MetalThrottling": _state('metal_thermal_state{state="critical"}'),
        "MetalMemoryExhaustionPredicted": lambda rule: _held(
            rule,
            (
                Course(
                    "metal_predicted_timestamp_seconds"
                    '{prediction="memory_exhausted",subject="mlx_active"}',
                    None,
                    1800,
                    None,
                    ahead=True,
                ),
            ),
            1800,
            {"subject": "mlx_active"},
        ),
        "MetalMemoryLeak": lambda rule: _held(
            rule,
            (
                Course(
                    'metal_anomaly_active{kind="leak",component="memory",subject="mlx_active"}',
                    None,
                    1,
                    None,
                ),
                Course('metal_health_status{component="memory",status="critical"}', 0, 1, 0),
            ),
            1,
            {"subject": "mlx_active"},
        ),
        "MetalLatencyAnomaly": _anomaly("level_shift", "kernel", ("component", "subject")),
        "MetalErrorRateAnomaly": _anomaly("error_rate", "kernel", ("component", "subject")),
        "MetalUnhealthy": _state(
            'metal_health_status{component="device",status="critical"}', component="device"
        ),
        "MetalBreakerOpen": _state(
            'metal_circuit_breaker_state{breaker="gpu",state="open"}', breaker="gpu"
        ),
        "MetalBreakerFlaps": _anomaly("breaker", "kernel", ("component", "subject")),
        "MetalFailureRisk": lambda rule: _held(
            rule,
            (Course('metal_failure_risk_ratio{subject="memory"}', 0.1, 0.9, 0.1),),
            0.9,
            {"subject": "memory"},
        ),
        "MetalBudgetBurn": _state(
            'metal_objective_burning{objective="quick",severity="critical"}', objective="quick"
        ),
    }


def _of(
    make: Callable[..., Scenario], *arguments: object, **shown: str
) -> Callable[[AlertRuleOptions], Scenario]:
    return lambda _rule: make(*arguments, **shown)


def _counted(
    courses: tuple[Course, ...], count: float, window: float, labels: Mapping[str, str]
) -> Scenario:
    return Scenario(courses, labels, count, quiet=window, lingers=window)


def _held(
    rule: AlertRuleOptions,
    courses: tuple[Course, ...],
    value: float,
    labels: Mapping[str, str],
    *,
    window: float = 0.0,
) -> Scenario:
    """Something that must hold for as long as the rule asks, and is then over at once."""
    lasts = window + rule.hold.total_seconds()
    lingers = window + rule.keep_firing_for.total_seconds()
    return Scenario(courses, labels, value, quiet=window, lasts=lasts, lingers=lingers)


def _state(series: str, **labels: str) -> Callable[[AlertRuleOptions], Scenario]:
    return lambda rule: _held(rule, (Course(series, 0, 1, 0),), 1, labels)


def _anomaly(
    kind: str, component: str, shown: tuple[str, ...]
) -> Callable[[AlertRuleOptions], Scenario]:
    labels = {"component": component, "subject": "execute:matmul"}
    series = (
        f'metal_anomaly_active{{kind="{kind}",component="{component}",subject="execute:matmul"}}'
    )
    return lambda rule: _held(
        rule, (Course(series, None, 1, None),), 1, {name: labels[name] for name in shown}
    )
