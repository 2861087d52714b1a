"""A snapshot in parts: those that arrived are not sent again, those too large are halved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Batches"]

T = TypeVar("T")


class Batches(Generic[T]):
    """Sends the points of a snapshot in parts and keeps count over retries.

    Args:
        size: most points in a part; halved for good when the peer says that a part is too large.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._of: object = None
        self._sent = 0
        self._points = 0
        self._rejected = 0
        self._detail = ""

    def send(
        self,
        snapshot: MetalTelemetrySnapshot,
        points: Sequence[T],
        send_part: Callable[[Sequence[T]], ExportResult],
    ) -> ExportResult:
        """Send ``points``, which must be the same for the same snapshot.

        A part that is refused for good is passed over and counted, and the others still go; only
        where all are refused is the whole.
        """
        key = (snapshot.started_at, snapshot.timestamp)
        if key != self._of:
            self._of, self._sent, self._points, self._rejected, self._detail = key, 0, 0, 0, ""
        last_refusal: ExportResult | None = None
        while self._sent < len(points):
            part = points[self._sent : self._sent + self._size]
            result = send_part(part)
            if result.reason is Reason.TOO_LARGE and not result.ok:
                if len(part) > 1:
                    self._size = max(1, len(part) // 2)
                    continue
                result = ExportResult.rejected(Reason.TOO_LARGE, result.detail)
            if result.verdict is Verdict.RETRY:
                return result
            self._sent += len(part)
            if result.ok:
                self._points += len(part) - result.rejected_points
                self._rejected += result.rejected_points
            else:
                self._rejected += len(part)
                last_refusal = result
            self._detail = result.detail or self._detail
        self._of = None
        if last_refusal is not None and not self._points:
            return last_refusal
        return ExportResult.delivered(
            self._points, rejected_points=self._rejected, detail=self._detail
        )
