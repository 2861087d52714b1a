"""Forecasters by name: metalscope's own, then those of other packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from metalscope.errors import ConfigurationError
from metalscope.forecast.base import Forecaster
from metalscope.plugins import entry_points_of

__all__ = ["FORECASTERS", "ForecasterFactory", "forecaster_names", "forecaster_of"]

ForecasterFactory = Callable[[], Forecaster]
"""What an entry point in ``metalscope.forecasters`` names: a class or function that makes one.

It may raise a :class:`~metalscope.errors.MissingExtraError`.
"""

ENTRY_POINT_GROUP: Final = "metalscope.forecasters"


def _robust() -> Forecaster:
    from metalscope.forecast.robust import RobustForecaster  # noqa: PLC0415 - where it is chosen

    return RobustForecaster()


def _statsmodels() -> Forecaster:
    from metalscope.forecast.statistical import (  # noqa: PLC0415 - loads the extra
        StatisticalForecaster,
    )

    return StatisticalForecaster()


FORECASTERS: Final[dict[str, ForecasterFactory]] = {
    "robust": _robust,
    "statsmodels": _statsmodels,
}
"""Those of metalscope."""


def forecaster_names() -> tuple[str, ...]:
    """All that can be asked for, those of other packages last."""
    others = entry_points_of(ENTRY_POINT_GROUP)
    return (*FORECASTERS, *(name for name in others if name not in FORECASTERS))


def forecaster_of(name: str) -> Forecaster:
    """Make the forecaster of this name.

    Raises:
        ConfigurationError: there is none of this name, or what the name stands for is none.
        MissingExtraError: its libraries are not installed.
    """
    factory = FORECASTERS.get(name)
    if factory is None:
        point = entry_points_of(ENTRY_POINT_GROUP).get(name)
        if point is None:
            known = ", ".join(forecaster_names())
            raise ConfigurationError(f"no forecaster is named {name!r}; there are {known}")
        factory = point.load()
    made = factory()
    if not isinstance(made, Forecaster):
        raise ConfigurationError(f"the forecaster {name!r} makes {type(made).__name__}, not one")
    return made
