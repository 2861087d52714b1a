"""A manager of alerts that has some, without a rule having had to raise them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from alert_samples import FIRING, NOW, PENDING, RESOLVED
from health_source import Source
from metalscope.alert_options import AlertsOptions
from metalscope.alert_report import Alert, AlertState
from metalscope.alerts.manager import MetalAlertsManager
from metalscope.alerts.memory_store import MemoryStore
from metalscope.alerts.storing import Change

__all__ = ["MILD", "SourceWithAlerts", "manager_of"]

MILD = replace(PENDING, state=AlertState.FIRING, fired_at=NOW - timedelta(seconds=10))
"""The memory's alert once it fires: what is only pending does not outlive a program."""


def manager_of(*alerts: Alert) -> MetalAlertsManager:
    """One that found these in its store when it began."""
    store = MemoryStore()
    store.keep(Change(alerts=alerts))
    return MetalAlertsManager(AlertsOptions(), on_error=_fail, store=store, notifiers={})


def _fail(room: str, error: BaseException) -> None:
    raise AssertionError(room) from error


class SourceWithAlerts(Source):
    """Looks like a manager of telemetry to the server, with the alerts of the samples."""

    def __init__(self, *alerts: Alert) -> None:
        super().__init__()
        self.alerts = manager_of(*(alerts or (FIRING, MILD, RESOLVED)))
