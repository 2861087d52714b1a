"""Which built-in alerts explain others, so that one incident is told once."""

from __future__ import annotations

from collections.abc import Iterable

from metalscope.alert_options import InhibitionOptions

__all__ = ["builtin_inhibitions"]

_ERRORS = (
    "MetalMemoryErrors",
    "MetalKernelErrors",
    "MetalCompilerErrors",
    "MetalSystemErrors",
)
_COUNTED = ("MetalKernelFailures", "MetalAllocationFailures", *_ERRORS)
_BREAKERS = ("MetalBreakerOpen", "MetalBreakerFlaps")
_FOLLOWS = ("MetalErrorRateAnomaly", "MetalFailureRisk", *_BREAKERS)


def builtin_inhibitions() -> tuple[InhibitionOptions, ...]:
    """While a cause fires, what only follows from it tells nobody.

    A cause is at least as grave as what it keeps quiet, so that nobody who asks for grave alerts
    only is left without.
    """
    return (
        # Whatever goes wrong on a device that is lost goes wrong because of that.
        _quiet(
            ("MetalDeviceLost",),
            (*_COUNTED, "MetalDeviceUnavailable", "MetalSlowOperations"),
            equal=("device",),
        ),
        # These name no device, or as the sensors do.
        _quiet(
            ("MetalDeviceLost",),
            ("MetalGpuRestarted", "MetalLatencyAnomaly", "MetalBudgetBurn", *_FOLLOWS),
        ),
        _quiet(
            ("MetalGpuRestarted", "MetalDeviceUnavailable"),
            (*_COUNTED, "MetalLatencyAnomaly", *_FOLLOWS),
        ),
        _quiet(("MetalAllocationFailures",), ("MetalMemoryErrors",), equal=("device",)),
        # Whichever error it is that a kernel fails with.
        _quiet(
            ("MetalKernelFailures",),
            ("MetalKernelErrors", "MetalSystemErrors"),
            equal=("device",),
        ),
        # A breaker opens for what fails behind it.
        _quiet(("MetalErrorRateAnomaly",), _BREAKERS),
        # What fails of one component may be held against another by its error or its breaker.
        _quiet(_COUNTED, _FOLLOWS),
        _quiet(_COUNTED, ("MetalBudgetBurn",), 'severity=~"low|medium"'),
        # What is full needs no telling that it will be.
        _quiet(
            ("MetalMemoryHigh", "MetalMemoryPressure", "MetalHostMemoryHigh"),
            ("MetalMemoryExhaustionPredicted", "MetalMemoryLeak"),
        ),
        _quiet(("MetalMemoryPressure",), ("MetalHostMemoryHigh",)),
        _quiet(("MetalMemoryExhaustionPredicted",), ("MetalMemoryLeak",), equal=("subject",)),
        _quiet(("MetalThrottling",), ("MetalSlowOperations", "MetalLatencyAnomaly")),
        _quiet(("MetalSlowOperations",), ("MetalLatencyAnomaly",)),
        # Errors of a kernel may be held against the system.
        _quiet(("MetalKernelFailures",), ("MetalUnhealthy",), 'component=~"kernel|system"'),
        # The catch-all speaks only where nothing more exact does.
        _quiet(
            (
                "MetalMemoryHigh",
                "MetalMemoryPressure",
                "MetalHostMemoryHigh",
                "MetalAllocationFailures",
                "MetalKernelFailures",
                *_ERRORS,
                "MetalMemoryLeak",
                "MetalDeviceLost",
                "MetalDeviceUnavailable",
                "MetalGpuRestarted",
                "MetalThrottling",
            ),
            ("MetalUnhealthy",),
            equal=("component",),
        ),
    )


def _quiet(
    causes: Iterable[str],
    symptoms: Iterable[str],
    also: str = "",
    equal: tuple[str, ...] = (),
) -> InhibitionOptions:
    return InhibitionOptions(
        source=(_named(causes),),
        target=(_named(symptoms), *((also,) if also else ())),
        equal=equal,
    )


def _named(names: Iterable[str]) -> str:
    return f'alertname=~"{"|".join(names)}"'
