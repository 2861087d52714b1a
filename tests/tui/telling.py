"""Snapshots and sources for the view's tests: the real types, told one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from textual.pilot import Pilot
from textual.widget import Widget

from metalscope.histogram import DurationHistogram
from metalscope.operation import OperationKind
from metalscope.snapshot import (
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceMetrics,
    SystemInfo,
)
from metalscope.tui.app import TopApp
from metalscope.tui.source import Arrived, Update

START: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def operation(
    name: str,
    calls: int,
    *,
    ms: float = 1.0,
    kind: OperationKind = OperationKind.EXECUTE,
    device: str = "gpu:0",
    nbytes: int = 0,
    errors: int = 0,
) -> OperationMetrics:
    """An operation that took ``ms`` each of so many times, and failed some more times."""
    outcomes = [_outcome("ok", calls, ms, nbytes)]
    if errors:
        outcomes.append(_outcome("timeout", errors, ms, 0))
    return OperationMetrics(kind, name, device, tuple(outcomes))


def snapshot(
    second: float,
    *operations: OperationMetrics,
    resources: Sequence[ResourceMetrics] = (),
    started: float = 0,
    pid: int = 7,
    host: str = "studio",
    **more: Any,
) -> MetalTelemetrySnapshot:
    """What was known ``second`` seconds after the start."""
    system = SystemInfo(
        host, pid, "macOS", "15.5", "arm64", processors=10, python="3.13.1", metalscope="1.0"
    )
    return MetalTelemetrySnapshot(
        timestamp=START + timedelta(seconds=second),
        started_at=START + timedelta(seconds=started),
        operations=operations,
        resources=tuple(resources),
        system=system,
        **more,
    )


class Told:
    """A source that tells what it is told to."""

    def __init__(self, label: str = "http://127.0.0.1:9464") -> None:
        self.label = label
        self._updates: asyncio.Queue[Update] = asyncio.Queue()

    def tell(self, *updates: Update | MetalTelemetrySnapshot) -> None:
        """Let these come next; a snapshot arrives."""
        for update in updates:
            is_snapshot = isinstance(update, MetalTelemetrySnapshot)
            self._updates.put_nowait(Arrived(update) if is_snapshot else update)

    async def updates(self) -> AsyncIterator[Update]:
        while True:
            yield await self._updates.get()


def screen_text(app: TopApp) -> str:
    """What a terminal would show of the screen on top, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def text_of(app: TopApp, widget: Widget) -> list[str]:
    """The lines of one widget."""
    region = widget.region
    lines = screen_text(app).split("\n")[region.y : region.bottom]
    return [line[region.x : region.right].rstrip() for line in lines]


async def settle(pilot: Pilot[Any]) -> None:
    """Let everything that was told and pressed take its effect."""
    for _ in range(3):
        await pilot.pause()


def _outcome(outcome: str, calls: int, ms: float, nbytes: int) -> OutcomeMetrics:
    durations = DurationHistogram.from_durations([round(ms * 1e6)] * calls)
    return OutcomeMetrics(outcome, durations, nbytes)
