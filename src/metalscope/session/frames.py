"""A snapshot as the JSON data of a frame: its public JSON without what follows from the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any, Final

from metalscope.snapshot import (
    ActivityPoint,
    MetalTelemetrySnapshot,
    OperationMetrics,
    RecentActivity,
)

__all__ = ["NO_NAME", "FrameMaker"]

NO_NAME: Final = "unnamed"
"""The name of a machine whose name is left out."""

Group = tuple[str, str, str]

_DERIVED: Final = (
    "uptime_seconds", "total_operations", "total_errors", "error_rate", "errors", "health_status",
)  # fmt: skip
_DERIVED_RECENTLY: Final = ("operations_per_second", "error_rate")
_DERIVED_OF_A_READING: Final = ("unit", "utilization_percent")


class FrameMaker:
    """Makes frames, and makes what did not move since the last only once.

    Args:
        host: the name of the machine to write, or ``None`` to write :data:`NO_NAME`.
    """

    def __init__(self, host: str | None) -> None:
        self._with_host = host is not None
        self._made: dict[Group, tuple[OperationMetrics, dict[str, Any]]] = {}
        self._points: dict[int, tuple[ActivityPoint, list[Any]]] = {}

    def frame(self, snapshot: MetalTelemetrySnapshot) -> dict[str, Any]:
        """The data of which ``snapshot_from_dict`` makes the snapshot again."""
        # Without the operations, whose public form holds quantiles, which take time.
        data = _without_series(snapshot)
        before, self._made = self._made, {}
        operations = []
        for one in snapshot.operations:
            group = (one.kind.value, one.name, one.device)
            known = before.get(group)
            made = known[1] if known is not None and known[0] is one else _operation(one)
            self._made[group] = (one, made)
            operations.append(made)
        data["operations"] = operations
        data["recent"]["points"] = self._window(snapshot.recent)
        if data["system"] is not None and not self._with_host:
            data["system"]["host"] = NO_NAME
            data["system"]["resource"].pop("host.name", None)
        return data

    def _window(self, recent: RecentActivity) -> list[Any]:
        # A point, once made, stays itself in every window that it is part of.
        before, self._points = self._points, {}
        window = []
        for point in recent.points:
            known = before.get(id(point))
            if known is None:
                known = (point, point.to_list())
            self._points[id(point)] = known
            window.append(known[1])
        return window


def _without_series(snapshot: MetalTelemetrySnapshot) -> dict[str, Any]:
    recent = replace(snapshot.recent, points=())
    data = replace(snapshot, operations=(), recent=recent).to_dict()
    for key in _DERIVED:
        data.pop(key, None)
    for key in _DERIVED_RECENTLY:
        data["recent"].pop(key, None)
    for reading in data["resources"]:
        for key in _DERIVED_OF_A_READING:
            reading.pop(key, None)
    return data


def _operation(operation: OperationMetrics) -> dict[str, Any]:
    updated = operation.last_updated
    return {
        "kind": operation.kind.value,
        "name": operation.name,
        "device": operation.device,
        "outcomes": [outcome.to_dict() for outcome in operation.outcomes],
        "last_updated": None if updated is None else updated.astimezone(UTC).isoformat(),
    }
