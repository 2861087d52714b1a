"""The dashboards made anew, with the thresholds of options. Needs the extra ``dashboards``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalscope.dashboards.alerting import alerting
from metalscope.dashboards.delivery import delivery
from metalscope.dashboards.fleet import fleet
from metalscope.dashboards.levels import Levels
from metalscope.dashboards.objectives import objectives
from metalscope.dashboards.overview import overview
from metalscope.errors import MissingExtraError

if TYPE_CHECKING:
    from metalscope.dashboards.model import Dashboard
    from metalscope.options import MetalTelemetryOptions

__all__ = ["dashboards", "made_anew"]

_ALL: Final = (overview, fleet, alerting, delivery, objectives)


def dashboards(options: MetalTelemetryOptions) -> tuple[Dashboard, ...]:
    """What is in each dashboard; loads no library."""
    levels = Levels(options)
    return tuple(make(levels) for make in _ALL)


def made_anew(options: MetalTelemetryOptions) -> dict[str, str]:
    """Each dashboard's name with its JSON.

    Raises:
        MissingExtraError: Grafana's library is not installed.
    """
    try:
        from metalscope.dashboards.rendering import rendered  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "making dashboards with your thresholds", "dashboards", cause=str(error)
        ) from error
    runbooks = Levels(options).runbooks
    return {made.name: rendered(made, runbooks=runbooks) for made in dashboards(options)}
