"""The addresses at which a person looks at an alert, and reads what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from metalscope.alert_report import Alert
    from metalscope.server import RunningServer

__all__ = ["RUNBOOKS", "Links"]

RUNBOOKS: Final = "runbooks.html"
"""The page of a program that has a section for each built-in rule."""

BEFORE: Final = timedelta(minutes=30)
AFTER: Final = timedelta(minutes=30)
"""How much of the time around the beginning of an alert a dashboard is to show."""


class Links:
    """Makes links to alerts.

    Args:
        dashboard: the address with ``{from_ms}``, ``{to_ms}`` (ms since the epoch) and ``{id}``.
        server: the server of this program, which is linked to where there is no dashboard.
        built_in: the names of the rules that its page of runbooks is about.
    """

    def __init__(
        self,
        dashboard: str | None,
        server: Callable[[], RunningServer | None],
        built_in: Collection[str] = (),
    ) -> None:
        self._dashboard = dashboard
        self._server = server
        self._built_in = built_in

    def runbook(self, alert: Alert) -> str:
        """Where the rule says it is; of a built-in one without, on the page this program serves."""
        server = self._server()
        if alert.runbook or server is None or alert.rule not in self._built_in:
            return alert.runbook
        return f"{server.url.rstrip('/')}/{RUNBOOKS}#{alert.rule.lower()}"

    def __call__(self, alert: Alert) -> str:
        """The address; empty where there is nothing to look at."""
        if self._dashboard is not None:
            since = alert.active_since
            filled = {
                "{from_ms}": str(int((since - BEFORE).timestamp() * 1000)),
                "{to_ms}": str(int((since + AFTER).timestamp() * 1000)),
                "{id}": alert.id,
            }
            address = self._dashboard
            for placeholder, value in filled.items():
                address = address.replace(placeholder, value)
            return address
        server = self._server()
        return "" if server is None else f"{server.url.rstrip('/')}/#alert={alert.id}"
