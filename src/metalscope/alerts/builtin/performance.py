"""Built-in rules about operations that fail, are slow or saturate the GPU."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from metalscope.alerts.builtin.making import (
    counted,
    failing,
    half,
    levels_above,
    made,
    number,
    over_below,
    percent,
    percent_steps,
    window,
)
from metalscope.histogram import CLASSIC_BOUNDS_MS
from metalscope.operation import Component, ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions, AlertsOptions

__all__ = ["performance_rules"]


def performance_rules(options: AlertsOptions) -> Iterator[AlertRuleOptions]:
    """The rules about kernels and speed."""
    yield _kernel_failures(options)
    yield from _slow_operations(options)
    yield _latency()
    yield _throttling(options)
    yield _saturated(options)


def _kernel_failures(options: AlertsOptions) -> AlertRuleOptions:
    threshold = options.kernel_execution_failure_threshold
    length = window(options, "kernel_execution_failure_window")
    share = options.failing_share_threshold
    raises, keeps = failing(
        options, "execute", "name, device", threshold, "kernel_execution_failure_window"
    )
    return made(
        "MetalKernelFailures",
        {ErrorSeverity.HIGH: raises},
        keep_while=keeps,
        component=Component.KERNEL,
        summary=f"Kernel {{name}} failed {{value}} times in {length}",
        description=f"The kernel {{name}}{{device| on device }} failed {{value}} times within "
        f"{length}; from {threshold} on, and {percent(share)} % of its runs, this is an "
        "alert.",
        actions=(
            "Look at the type of error, and at what changed in the kernel or its arguments.",
            "Run it alone with MTL_DEBUG_LAYER=1 and MTL_SHADER_VALIDATION=1.",
            "Where the error is a timeout, split the work into smaller launches.",
        ),
    )


def _slow_operations(options: AlertsOptions) -> Iterator[AlertRuleOptions]:
    """Nothing where the threshold is beyond the histogram, as what is slower is not counted."""
    threshold = options.slow_operation_threshold_ms
    bound = next((one for one in CLASSIC_BOUNDS_MS if one >= threshold), None)
    if bound is None:
        return
    count = options.slow_operation_alert_threshold
    length = window(options, "slow_operation_window")
    labels = "kind, name, device"
    # Some servers write a bound without its ".0".
    within = f"{bound:.1f}".replace(".0", "(\\\\.0)?") if bound >= 1 else repr(bound)
    operator = "=~" if bound >= 1 else "="
    share = options.slow_share_threshold
    # To compile takes long as a rule.
    runs = (
        f"sum by ({labels}) "
        f'(increase(metal_operation_duration_ms_count{{kind!="compile"}}[{length}]))'
    )
    quick = (
        f"sum by ({labels}) (increase(metal_operation_duration_ms_bucket"
        f'{{kind!="compile", le{operator}"{within}"}}[{length}]))'
    )
    slow = f"({runs} - {quick})"
    yield made(
        "MetalSlowOperations",
        {ErrorSeverity.MEDIUM: counted(slow, runs, count, share)},
        keep_while=counted(slow, runs, half(count), half(share)),
        component=Component.KERNEL,
        summary=f"{{kind}} {{name}} took over {number(bound)} ms {{value}} times in {length}",
        description=f"{{kind}} {{name}}{{device| on device }} took longer than {number(bound)} ms "
        f"{{value}} times within {length}; from {count} on, and {percent(share)} % of its "
        "runs, this is an alert.",
        actions=(
            "Compare its p95 with that of yesterday, and see whether one input is the cause.",
            "Look whether the GPU is saturated, throttled or short of memory at the same time.",
            "If it is meant to take so long, raise alerts.slow_operation_threshold_ms.",
        ),
    )


def _latency() -> AlertRuleOptions:
    found = 'max by (component, subject) (metal_anomaly_active{kind=~"level_shift|drift"})'
    return made(
        "MetalLatencyAnomaly",
        {ErrorSeverity.MEDIUM: f"{found} > 0"},
        hold=timedelta(minutes=1),
        keep_for=timedelta(minutes=5),
        summary="{subject} takes longer than it did",
        description="The duration of {subject} has risen above what it was, at once or little by "
        "little; the health report has the numbers.",
        actions=(
            "See what changed when it began: a release, the size of inputs, another program.",
            "Look at the anomaly's cause in the health report.",
        ),
    )


def _throttling(options: AlertsOptions) -> AlertRuleOptions:
    thermal = "metal_thermal_state{{state=~{}}}"
    slowed = 'metal_anomaly_active{kind="throttling"}'
    serious = thermal.format('"serious|critical"')
    return made(
        "MetalThrottling",
        {
            # Without labels, so that heat and the slowing it brings are one alert.
            ErrorSeverity.MEDIUM: f"max({serious} or {slowed}) > 0",
            ErrorSeverity.HIGH: 'max(metal_thermal_state{state="critical"}) > 0',
        },
        hold=timedelta(minutes=1),
        # As long as what was slow meanwhile is counted.
        keep_for=options.slow_operation_window,
        component=Component.DEVICE,
        summary="The GPU is slowed by heat or by a limit of power",
        description="The thermal state is serious or critical, or the GPU runs below its usual "
        "clock while it is busy.",
        actions=(
            "Give it air, and see that the fans turn.",
            "Look whether low power mode is on, or the power supply is too small.",
            "Put less on it until it has cooled: smaller batches, pauses.",
        ),
    )


def _saturated(options: AlertsOptions) -> AlertRuleOptions:
    threshold = options.high_gpu_utilization_threshold
    length = window(options, "high_gpu_utilization_window")
    mean = f"avg_over_time(metal_gpu_utilization_percent[{length}])"
    # A mean says nothing before its window is known whole.
    known = f"metal_gpu_utilization_percent offset {length}"
    return made(
        "MetalGpuSaturated",
        levels_above(
            percent_steps(threshold, ErrorSeverity.MEDIUM, {ErrorSeverity.HIGH: 95.0}),
            lambda step: f"{mean} > {step} and {known}",
        ),
        keep_while=f"{mean} >= {over_below(threshold)}",
        component=Component.DEVICE,
        summary=f"The GPU was {{value:percent}} busy over {length}",
        description=f"The engine {{engine}} of device {{device}} was busy for {{value:percent}} of "
        f"the last {length}; a mean above {number(threshold)} % is an alert, and below "
        f"{over_below(threshold)} % it is over.",
        actions=(
            "See which operations take the most time on the GPU.",
            "Spread the work over time or over machines, if what waits for it is too slow.",
            "Where such a load is meant, put the rule in alerts.disabled_rules.",
        ),
    )
