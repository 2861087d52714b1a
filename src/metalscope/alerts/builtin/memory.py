"""Built-in rules about memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from metalscope.alerts.builtin.making import (
    failing,
    levels_above,
    made,
    number,
    over_below,
    percent,
    percent_steps,
    window,
)
from metalscope.operation import Component, ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions, AlertsOptions

__all__ = ["memory_rules"]

# The figures of the original system.
_DEVICE_STEPS: Final = {ErrorSeverity.HIGH: 90.0, ErrorSeverity.CRITICAL: 95.0}
_HOST_STEPS: Final = {ErrorSeverity.CRITICAL: 95.0}

_PREDICTED: Final = (
    'min by (subject) (metal_predicted_timestamp_seconds{prediction="memory_exhausted"}) - time()'
)

_LEAK: Final = 'max by (subject) (metal_anomaly_active{kind="leak"})'


def memory_rules(options: AlertsOptions) -> Iterator[AlertRuleOptions]:
    """The rules about memory."""
    yield _allocation_failures(options)
    yield _device_memory(options)
    yield _host_memory(options)
    yield _pressure()
    yield _exhaustion()
    yield _leak()


def _allocation_failures(options: AlertsOptions) -> AlertRuleOptions:
    threshold = options.memory_allocation_failure_threshold
    length = window(options, "memory_allocation_failure_window")
    share = options.failing_share_threshold
    raises, keeps = failing(
        options, "allocate", "device", threshold, "memory_allocation_failure_window"
    )
    return made(
        "MetalAllocationFailures",
        {ErrorSeverity.HIGH: raises},
        keep_while=keeps,
        component=Component.MEMORY,
        summary=f"{{value}} allocations failed in {length}",
        description=f"{{value}} allocations{{device| on device }} failed within {length}; from "
        f"{threshold} on, and {percent(share)} % of all, this is an alert.",
        actions=(
            "See which operations fail, and with which error, in the report or under evidence.",
            "Make batches, sequences or caches smaller, and free what is no longer used.",
            "Give cached memory back: mx.clear_cache() for MLX, torch.mps.empty_cache() for torch.",
        ),
    )


def _device_memory(options: AlertsOptions) -> AlertRuleOptions:
    threshold = options.high_memory_utilization_threshold
    share = "100 * metal_memory_usage_bytes / (metal_memory_limit_bytes > 0)"
    return made(
        "MetalMemoryHigh",
        levels_above(
            percent_steps(threshold, ErrorSeverity.MEDIUM, _DEVICE_STEPS),
            lambda step: f"{share} > {step}",
        ),
        hold=timedelta(minutes=1),
        keep_while=f"{share} >= {over_below(threshold)}",
        component=Component.MEMORY,
        summary="Device memory {pool} is {value:percent} full",
        description="The memory pool {pool}{device| on device } is at {value:percent} of its "
        f"limit; above {number(threshold)} % this is an alert, and below "
        f"{over_below(threshold)} % it is over.",
        actions=(
            "Look at which operations allocate most.",
            "Make batches, sequences or caches smaller, or use a smaller or quantised model.",
            "Look whether it only grows: then something is kept that should be freed.",
        ),
    )


def _host_memory(options: AlertsOptions) -> AlertRuleOptions:
    threshold = options.high_resource_utilization_threshold
    share = "100 * metal_host_memory_usage_bytes / (metal_host_memory_limit_bytes > 0)"
    return made(
        "MetalHostMemoryHigh",
        levels_above(
            percent_steps(threshold, ErrorSeverity.HIGH, _HOST_STEPS),
            lambda step: f"{share} > {step}",
        ),
        hold=timedelta(minutes=2),
        keep_while=f"{share} >= {over_below(threshold)}",
        component=Component.MEMORY,
        summary="Memory of the host is {value:percent} full",
        description="Memory of the host ({pool}) is at {value:percent} of its size; above "
        f"{number(threshold)} % this is an alert. On Apple silicon the GPU uses the same memory.",
        actions=(
            "Look at which programs use most, and end those that are not needed.",
            "Make batches or caches smaller, or use a smaller model.",
        ),
    )


def _pressure() -> AlertRuleOptions:
    def at(levels: str) -> str:
        return f"max(metal_memory_pressure{{level{levels}}}) > 0"

    return made(
        "MetalMemoryPressure",
        {ErrorSeverity.HIGH: at('=~"high|critical"'), ErrorSeverity.CRITICAL: at('="critical"')},
        hold=timedelta(minutes=1),
        keep_for=timedelta(minutes=2),
        component=Component.MEMORY,
        summary="The system is short of memory",
        description="The system says that memory pressure is high or critical: it compresses and "
        "swaps, and when that is not enough it ends programs.",
        actions=(
            "Look at which programs use most, and end those that are not needed.",
            "Make batches or caches smaller until the pressure is gone.",
        ),
    )


def _exhaustion() -> AlertRuleOptions:
    return made(
        "MetalMemoryExhaustionPredicted",
        {ErrorSeverity.LOW: f"{_PREDICTED} < 86400", ErrorSeverity.HIGH: f"{_PREDICTED} < 3600"},
        # A prediction is made every few minutes; one alone may be of a passing rise.
        hold=timedelta(minutes=10),
        keep_for=timedelta(minutes=15),
        component=Component.MEMORY,
        summary="Memory {subject} is predicted to be full in {value:duration}",
        description="As {subject} has grown, it reaches its limit in {value:duration}.",
        actions=(
            "Look at what grows: a cache without a bound, results that are kept, a leak.",
            "Plan a restart before it is full, if the cause is not found by then.",
        ),
    )


def _leak() -> AlertRuleOptions:
    return made(
        "MetalMemoryLeak",
        {
            ErrorSeverity.MEDIUM: f"{_LEAK} > 0",
            # Health knows how long it will be until memory is full.
            ErrorSeverity.HIGH: f"{_LEAK} > 0 and on () "
            'max(metal_health_status{component="memory", status="critical"}) > 0',
        },
        keep_for=timedelta(minutes=30),
        component=Component.MEMORY,
        summary="Memory {subject} only grows",
        description="The floor of {subject} rises and never falls: memory is kept that is not "
        "given back.",
        actions=(
            "Look at what is kept from one step to the next: lists of arrays, caches, closures.",
            "Evaluate lazy arrays in the loop (mx.eval), so that their graphs are let go.",
            "Compare what is allocated with what is freed, by operation.",
        ),
    )
