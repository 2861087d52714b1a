"""Which anomaly detectors the options mean: metalscope's own by name, others' by entry point."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from metalscope.errors import ConfigurationError
from metalscope.health_options import DETECTOR_ENTRY_POINTS
from metalscope.plugins import entry_points_of, load_entry_point

if TYPE_CHECKING:
    from metalscope.health.detector import AnomalyDetector, DetectorFactory
    from metalscope.health_options import HealthMonitorOptions

__all__ = ["detectors_of"]

_OPTION: Final = "health_monitor.anomaly_detectors"

# Loaded when one is made: each brings the libraries it needs.
_OWN: Final[dict[str, str]] = {
    "robust": "robust:RobustDetector",
    "river": "river_detector:RiverDetector",
}


def detectors_of(options: HealthMonitorOptions) -> list[AnomalyDetector]:
    """Make the detectors named by ``anomaly_detectors``, in that order.

    Raises:
        ConfigurationError: no detector has such a name, it cannot be loaded, or it refuses the
            options.
        MissingExtraError: the library that one needs is not installed.
    """
    return [_factory(name)(options) for name in options.anomaly_detectors]


def _factory(name: str) -> DetectorFactory:
    own = _OWN.get(name)
    if own is not None:
        module, _, what = own.partition(":")
        found: DetectorFactory = getattr(
            import_module(f"metalscope.health.anomalies.{module}"), what
        )
        return found
    others = entry_points_of(DETECTOR_ENTRY_POINTS)
    entry_point = others.get(name)
    if entry_point is None:
        raise ConfigurationError(_unknown(name, sorted({*_OWN, *others})))
    loaded: DetectorFactory = load_entry_point(entry_point, f"{_OPTION}: {name!r}")
    return loaded


def _unknown(name: str, known: list[str]) -> str:
    from metalscope.spelling import nearest  # noqa: PLC0415 - difflib, for this one case

    near = nearest(name, known)
    hint = f"; the nearest is {near!r}" if near else ""
    return f"{_OPTION}: no detector is named {name!r}, only {', '.join(map(repr, known))}{hint}"
