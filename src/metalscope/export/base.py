"""The one interface between snapshots and any platform, and what an exporter is made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from metalscope.sending.result import ExportResult

if TYPE_CHECKING:
    from metalscope.export.view import MetricView
    from metalscope.export_options import ExporterOptions
    from metalscope.sending.http.transport import HttpTransport
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["ExporterContext", "ExporterFactory", "MetricsExporter", "ReadBack"]


class MetricsExporter(ABC):
    """Sends snapshots to one place. Only :meth:`export` must be written, sync or ``async``.

    Of one exporter no two methods run at the same time, and all run on threads of their own: what
    it does cannot hold up the program, the tick or another exporter. Snapshots come in the order
    of their timestamps. After a result that asks for a retry the same snapshot comes again, so an
    exporter that sends in parts must not send those again that have arrived
    (:class:`~metalscope.export.batches.Batches` keeps count).
    """

    keeps_history: ClassVar[bool] = True
    """Whether the peer keeps a point for each timestamp. Where it keeps only the last, as a
    Pushgateway does, a snapshot still waiting is replaced by a newer one."""

    @abstractmethod
    def export(
        self, snapshot: MetalTelemetrySnapshot
    ) -> ExportResult | Awaitable[ExportResult | None] | None:
        """Send one snapshot. ``None`` means delivered.

        What it raises counts as :attr:`~metalscope.sending.result.Reason.EXPORTER_ERROR`: the
        snapshot is tried again some times, then let go.
        """

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:  # noqa: B027 - may stay
        """Told before the first export which snapshot the peer has as the last, if that is known.

        Exporters that send what happened since, rather than totals, count from there.
        """

    def read_back(self, snapshot: MetalTelemetrySnapshot) -> ReadBack | None:  # noqa: ARG002
        """Ask the peer for what was exported last; ``None`` where it cannot be asked.

        For ``metalscope doctor --exporters``; never called by a running program.
        """
        return None

    def shutdown(self) -> Awaitable[None] | None:
        """Let go of connections and files. Called once, after the last export."""
        return None


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a peer says it has of an exported snapshot."""

    arrived: bool
    detail: str


@dataclass(frozen=True)
class ExporterContext:
    """What an exporter is made from: its options, and what it shares with all others.

    ``options`` are its own. ``view`` gives the metrics it may send, under the names and labels it
    is to send them. ``timeout`` is how long one export may take. ``open_http`` makes an HTTP
    client for it alone, with its TLS, proxy, headers and key; given a URL, to that one, else to
    ``options.endpoint``.
    """

    options: ExporterOptions
    view: MetricView
    timeout: timedelta
    open_http: Callable[..., HttpTransport]

    @property
    def name(self) -> str:
        """The exporter's name."""
        return self.options.name

    def with_options(
        self, options: ExporterOptions, *, timeout: timedelta | None = None
    ) -> ExporterContext:
        """The same with other options, by which its HTTP clients are then made."""
        from metalscope.sending.http.transport import HttpTransport  # noqa: PLC0415 - loads ssl

        timeout = timeout or self.timeout
        open_http = partial(HttpTransport.of, options, timeout=timeout)
        return replace(self, options=options, timeout=timeout, open_http=open_http)


ExporterFactory = Callable[[ExporterContext], MetricsExporter]
"""What an entry point in ``metalscope.exporters`` names: a class or function that makes one.

It may raise a :class:`~metalscope.errors.ConfigurationError` or a
:class:`~metalscope.errors.MissingExtraError`.
"""
