"""What is new in a snapshot, for peers that are sent what came since the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metalscope.export.view import MetricView
    from metalscope.snapshot import MetalTelemetrySnapshot, TelemetryEvent

__all__ = ["is_same_process", "new_events"]


def is_same_process(one: MetalTelemetrySnapshot, other: MetalTelemetrySnapshot) -> bool:
    """Whether the counters of both began at the same nothing."""
    pids = [snapshot.system.pid if snapshot.system else None for snapshot in (one, other)]
    return one.started_at == other.started_at and pids[0] == pids[1]


def new_events(
    snapshot: MetalTelemetrySnapshot, view: MetricView, since: MetalTelemetrySnapshot | None
) -> Iterator[TelemetryEvent]:
    """The events ``since`` does not have yet, oldest first, as ``view`` shows them.

    ``since`` is the last snapshot that arrived; one of another process counts as none, as each
    process numbers its own events.
    """
    seen = 0
    if since is not None and is_same_process(snapshot, since):
        seen = max((event.sequence for event in since.events), default=0)
    return (event for event in view.events(snapshot) if event.sequence > seen)
