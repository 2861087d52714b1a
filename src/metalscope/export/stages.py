"""A snapshot that goes to one peer in several ways, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from metalscope.export.batches import Batches
from metalscope.sending.result import ExportResult, Verdict

if TYPE_CHECKING:
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Stage", "Stages"]


class Stage(NamedTuple):
    """Points of one kind, and what sends a part of them."""

    points: Sequence[Any]
    send_part: Callable[[Sequence[Any]], ExportResult]


class Stages:
    """Sends the stages of a snapshot in their order; those done are not sent again.

    Args:
        sizes: most points in a part, for each stage.
    """

    def __init__(self, *sizes: int) -> None:
        self._batches: list[Batches[Any]] = [Batches(size) for size in sizes]
        self._of: object = None
        self._done: list[ExportResult] = []

    def send(self, snapshot: MetalTelemetrySnapshot, stages: Sequence[Stage]) -> ExportResult:
        """Send what is left. As a whole it is refused only where nothing of it was taken."""
        of = (snapshot.started_at, snapshot.timestamp)
        if of != self._of:
            self._of, self._done = of, []
        waiting = list(zip(self._batches, stages, strict=True))[len(self._done) :]
        for batches, stage in waiting:
            result = ExportResult.delivered()
            if stage.points:
                result = batches.send(snapshot, stage.points, stage.send_part)
            if result.verdict is Verdict.RETRY:
                return result
            self._done.append(result)
        done, self._of = self._done, None
        return _together(stages, done)


def _together(stages: Sequence[Stage], done: Sequence[ExportResult]) -> ExportResult:
    refused = [result for result in done if not result.ok]
    points = sum(result.points for result in done)
    if refused and not points:
        return refused[0]
    rejected = sum(
        result.rejected_points if result.ok else len(stage.points)
        for stage, result in zip(stages, done, strict=True)
    )
    detail = next((result.detail for result in done if result.detail), "")
    return ExportResult.delivered(points, rejected_points=rejected, detail=detail)
