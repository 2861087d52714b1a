"""A MetalAlertsManager by the options of telemetry: where it keeps things, what it links to."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from metalscope.alerts.builtin import built_in_names
from metalscope.alerts.links import Links
from metalscope.alerts.manager import MetalAlertsManager
from metalscope.alerts.places import store_for

if TYPE_CHECKING:
    from metalscope.options import MetalTelemetryOptions
    from metalscope.server import RunningServer
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["alerts_of", "raise_alerts"]


class AlertSource(Protocol):
    """What alerts are raised over, and told to by ``alerts``."""

    alerts: MetalAlertsManager | None

    def subscribe(
        self, consumer: Callable[[MetalTelemetrySnapshot], None], /
    ) -> Callable[[], None]:
        """Call ``consumer`` with a snapshot each tick; return what ends that."""
        ...


def raise_alerts(
    source: AlertSource,
    options: MetalTelemetryOptions,
    *,
    on_error: Callable[[str, BaseException], None],
    server: Callable[[], RunningServer | None],
    at_end: Callable[[Callable[[], None]], object],
) -> None:
    """Raise alerts over the snapshots of ``source``.

    Args:
        source: each of its snapshots is looked at; its ``alerts`` is set.
        options, on_error, server: as of :func:`alerts_of`.
        at_end: has a function called when all is over, the last given first.

    Raises:
        ConfigurationError, MissingExtraError: as :func:`alerts_of`.
    """
    source.alerts = alerts = alerts_of(options, on_error=on_error, server=server)
    at_end(alerts.close)
    at_end(source.subscribe(alerts.observe))


def alerts_of(
    options: MetalTelemetryOptions,
    *,
    on_error: Callable[[str, BaseException], None],
    server: Callable[[], RunningServer | None],
) -> MetalAlertsManager:
    """One that is ready to be shown snapshots.

    Args:
        options: of all of telemetry, as alerts are kept beside the history.
        on_error: told of what goes wrong inside, as (room, exception).
        server: the server whose page messages link to, once there is one.

    Raises:
        ConfigurationError: a rule, a channel or the file they are kept in cannot be used.
        MissingExtraError: a channel's library is not installed.
    """
    links = Links(options.alerts.dashboard_url, server, built_in_names(options.alerts))
    store = store_for(options, on_error=on_error)
    try:
        return MetalAlertsManager(
            options.alerts,
            on_error=on_error,
            source=platform.node(),
            link=links,
            runbook=links.runbook,
            store=store,
        )
    except BaseException:
        store.close(0)
        raise
