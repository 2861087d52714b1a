"""Built-in rules about the device, and about errors of any type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from metalscope.alerts.builtin.making import counted, half, made, number, percent, window
from metalscope.operation import Component, ErrorSeverity, MetalError

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions, AlertsOptions

__all__ = ["device_rules"]


def device_rules(options: AlertsOptions) -> Iterator[AlertRuleOptions]:
    """The rules about the device and about errors by type."""
    yield _lost(options)
    yield _unavailable(options)
    yield _restarted(options)
    yield from _errors(options)


def _lost(options: AlertsOptions) -> AlertRuleOptions:
    length = window(options, "error_rate_window")
    lost = f'sum by (device) (increase(metal_errors_total{{type="device_lost"}}[{length}]))'
    return made(
        "MetalDeviceLost",
        {ErrorSeverity.CRITICAL: f"{lost} >= 1"},
        component=Component.DEVICE,
        summary="The GPU was lost",
        description=f"{{value}} operations within {length} ended because device {{device}} was "
        "lost: it was reset, removed, or took too long.",
        actions=(
            "Restart the program: what was on the device is gone.",
            "Look for GPU restarts in the system's log.",
            "Run with MTL_DEBUG_LAYER=1; a kernel that loops for ever or reads out of bounds is "
            "the usual cause.",
        ),
    )


def _unavailable(options: AlertsOptions) -> AlertRuleOptions:
    threshold = options.error_rate_alert_threshold
    length = window(options, "error_rate_window")
    failed = (
        f'sum by (device) (increase(metal_errors_total{{type="device_unavailable"}}[{length}]))'
    )
    return made(
        "MetalDeviceUnavailable",
        {ErrorSeverity.HIGH: f"{failed} >= {threshold}"},
        keep_while=f"{failed} >= {number(half(threshold))}",
        component=Component.DEVICE,
        summary="The GPU is not available",
        description=f"{{value}} operations within {length} found no device {{device}}.",
        actions=(
            "Run metalscope doctor on that machine.",
            "See that the program is allowed to use the GPU: containers and some services are not.",
        ),
    )


def _restarted(options: AlertsOptions) -> AlertRuleOptions:
    length = window(options, "error_rate_window")
    restarts = f"sum by (device) (increase(metal_gpu_recoveries_total[{length}]))"
    return made(
        "MetalGpuRestarted",
        {ErrorSeverity.HIGH: f"{restarts} >= 1"},
        component=Component.DEVICE,
        summary="The system restarted the GPU",
        description=f"The system restarted device {{device}} {{value}} times within {length}, as "
        "it no longer answered; work on it was lost, of whichever program.",
        actions=(
            "See which kernel ran then: one that takes too long is the usual cause.",
            "Split long kernels into smaller launches.",
            "Where it happens without load, update the system.",
        ),
    )


def _errors(options: AlertsOptions) -> Iterator[AlertRuleOptions]:
    """One rule a component; a lost and an unavailable device have rules of their own."""
    of_component: dict[Component, list[MetalError]] = {}
    for error in MetalError:
        of_component.setdefault(error.component, []).append(error)
    for component, errors in of_component.items():
        if component is not Component.DEVICE:
            yield _errors_of(component, errors, options)


def _errors_of(
    component: Component, errors: Sequence[MetalError], options: AlertsOptions
) -> AlertRuleOptions:
    threshold = options.error_rate_alert_threshold
    share = options.failing_share_threshold
    length = window(options, "error_rate_window")

    def failing(those: Iterable[MetalError], count: float, part: float) -> str:
        types = f'type=~"{"|".join(those)}"'
        return counted(
            f"sum by (type, device) (increase(metal_errors_total{{{types}}}[{length}]))",
            f"sum by (device) (increase(metal_operations_total[{length}]))",
            count,
            part,
            matching="on (device) group_left () ",
        )

    levels = {ErrorSeverity.MEDIUM: failing(errors, threshold, share)}
    if grave := [error for error in errors if error.severity is ErrorSeverity.HIGH]:
        levels[ErrorSeverity.HIGH] = failing(grave, threshold, share)
    return made(
        f"Metal{component.capitalize()}Errors",
        levels,
        keep_while=failing(errors, half(threshold), half(share)),
        component=component,
        summary=f"{{value}} errors of type {{type}} in {length}",
        description=f"{{value}} operations{{device| on device }} ended with {{type}} within "
        f"{length}; from {threshold} on, and {percent(share)} % of all, this is an alert.",
        actions=(
            "See which operations fail with it, in the report or under evidence.",
            "Look at what changed when they began.",
        ),
    )
