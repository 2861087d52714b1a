"""The report's table on alerts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from metalscope.amounts import ABSENT
from metalscope.snapshot import Alert

__all__ = ["ALERTS_HEAD", "alert_rows"]

ALERTS_HEAD: Final = ("alert", "severity", "state", "since", "what", "quiet")


def alert_rows(alerts: Iterable[Alert]) -> tuple[tuple[str, ...], ...]:
    """Those that are pending or fire, gravest first."""
    return tuple(
        (
            one.rule,
            one.severity.value,
            one.state.value,
            one.active_since.isoformat(timespec="seconds"),
            one.title,
            _quiet(one) or ABSENT,
        )
        for one in sorted(alerts, key=lambda one: -one.severity.rank)
    )


def _quiet(alert: Alert) -> str:
    """Why nobody is told of it again."""
    reasons = []
    if alert.acknowledged is not None:
        reasons.append(f"acknowledged by {alert.acknowledged.by}")
    if alert.silenced_by:
        reasons.append(f"silenced ({', '.join(alert.silenced_by)})")
    if alert.inhibited_by:
        reasons.append("explained by another alert")
    return ", ".join(reasons)
