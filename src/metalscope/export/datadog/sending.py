"""A snapshot on its way to Datadog, the same by its API and by an Agent: only the wire differs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from metalscope.export.base import ExporterContext, MetricsExporter
from metalscope.export.datadog.points import DatadogPoints, Event, Series, Values
from metalscope.export.stages import Stage, Stages
from metalscope.sending.result import ExportResult

if TYPE_CHECKING:
    from metalscope.export.datadog.settings import DatadogSettings
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["DatadogSending"]


class DatadogSending(MetricsExporter):
    """Sends series, then distributions, then events; what arrived is not sent again.

    Args:
        context: what the exporter is made from.
        settings: its settings.
        sizes: most series, distributions and events in a part.
    """

    had_already: ClassVar[str]
    """What is said of a snapshot that arrived before."""

    def __init__(
        self, context: ExporterContext, settings: DatadogSettings, sizes: tuple[int, int, int]
    ) -> None:
        self._settings = settings
        self._points = DatadogPoints(
            context.view, distributions=settings.distributions, events=settings.events
        )
        self._stages = Stages(*sizes)
        # Events that arrived are no longer new, and must keep their places until the end.
        self._events: tuple[object, list[Event]] | None = None

    @abstractmethod
    def _send_series(
        self, snapshot: MetalTelemetrySnapshot, part: Sequence[Series]
    ) -> ExportResult: ...

    @abstractmethod
    def _send_values(
        self, snapshot: MetalTelemetrySnapshot, part: Sequence[Values]
    ) -> ExportResult: ...

    @abstractmethod
    def _send_event(self, snapshot: MetalTelemetrySnapshot, event: Event) -> ExportResult: ...

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Count from there."""
        self._points.resume(delivered)

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Send what changed, in as many parts as it takes."""
        points = self._points
        if points.has_arrived(snapshot):
            return ExportResult.delivered(detail=self.had_already)
        refusal = self._settings.too_old(snapshot)
        if refusal is not None:
            return refusal

        def send_series(part: Sequence[Series]) -> ExportResult:
            return self._noted(snapshot, part, self._send_series(snapshot, part))

        def send_values(part: Sequence[Values]) -> ExportResult:
            return self._noted(snapshot, part, self._send_values(snapshot, part))

        def send_event(part: Sequence[Event]) -> ExportResult:
            result = self._send_event(snapshot, part[0])
            if result.ok:
                points.event_arrived(snapshot, part[0])
            return result

        result = self._stages.send(
            snapshot,
            [
                Stage(points.series(snapshot), send_series),
                Stage(points.distributions(snapshot), send_values),
                Stage(self._events_of(snapshot), send_event),
            ],
        )
        if result.ok:
            self._events = None
            points.complete(snapshot)
        return result

    def _noted(
        self,
        snapshot: MetalTelemetrySnapshot,
        part: Sequence[Series | Values],
        result: ExportResult,
    ) -> ExportResult:
        if result.ok:
            self._points.arrived(snapshot, part)
        return result

    def _events_of(self, snapshot: MetalTelemetrySnapshot) -> list[Event]:
        of = (snapshot.started_at, snapshot.timestamp)
        if self._events is None or self._events[0] != of:
            self._events = of, self._points.events(snapshot)
        return self._events[1]
