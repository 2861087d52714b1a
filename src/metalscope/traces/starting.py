"""Where spans go, by the options: collectors, and a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metalscope.export_options import Audience

if TYPE_CHECKING:
    from metalscope.sanitizing.sanitizer import Sanitizer
    from metalscope.sink_status import SinkStatus
    from metalscope.trace_options import TracesOptions
    from metalscope.traces.chrome import ChromeTraceFile
    from metalscope.traces.recent import RecentSpans
    from metalscope.traces.shipping import SpanShipping
    from metalscope.traces.span import FinishedSpan
    from metalscope.traces.tracer import SpanSink

__all__ = ["RunningSpans", "start_traces"]


@dataclass(frozen=True, slots=True)
class RunningSpans:
    """What was started, for a tracer.

    ``shipping`` is where spans go that the program's own provider does not have, ``file`` what has
    all of them, as ``recent`` does in memory. ``sanitized`` takes out of a span what is to be kept
    secret, for that provider. ``closing_seconds`` is how long the end waits.
    """

    shipping: SpanShipping | None
    file: ChromeTraceFile | None
    sanitized: Callable[[FinishedSpan], FinishedSpan]
    closing_seconds: float
    recent: RecentSpans | None = None

    @property
    def sinks(self) -> tuple[SpanShipping, ...]:
        """The sinks that a joined provider takes the place of."""
        return () if self.shipping is None else (self.shipping,)

    @property
    def always(self) -> tuple[SpanSink, ...]:
        """The sinks that have every span that is kept."""
        return tuple(sink for sink in (self.file, self.recent) if sink is not None)

    @property
    def dropped(self) -> int:
        """Spans that found no room, or could be neither written nor encoded."""
        of_collectors = sum(sink.dropped for sink in self.sinks)
        return of_collectors if self.file is None else of_collectors + self.file.dropped

    def status(self) -> tuple[SinkStatus, ...]:
        """How each collector and the file are doing."""
        of_collectors = () if self.shipping is None else self.shipping.status()
        return of_collectors if self.file is None else (*of_collectors, *self.file.status())

    def flush(self, timeout: float | None = None) -> bool:
        """Have all that waits sent and written; whether it was over within so many s."""
        written = self.file is None or self.file.flush(timeout)
        return all(sink.flush(timeout) for sink in self.sinks) and written

    def close(self, timeout: float | None = None) -> None:
        """Send and write what waits, and take no more.

        The file comes first: what is in it needs no peer.

        Args:
            timeout: how many s each of the two may take; what the options say where none is given.
        """
        seconds = self.closing_seconds if timeout is None else timeout
        if self.recent is not None:
            self.recent.close()
        if self.file is not None:
            self.file.close(seconds)
        for sink in self.sinks:
            sink.close(seconds)


def start_traces(
    options: TracesOptions,
    *,
    sanitizer: Sanitizer,
    resource: Mapping[str, Any],
    on_error: Callable[[str, BaseException], None],
    recent: RecentSpans | None = None,
) -> RunningSpans:
    """Begin to send spans to the collectors of the options, and to write their file.

    Only what the options name is loaded and started. ``recent`` keeps the latest spans, where it
    is given.

    Raises:
        ConfigurationError: an option of a collector, the spool or the file cannot be used; nothing
            was started then.
        MissingExtraError: a library of ``metalscope[otlp]`` is not installed.
    """
    file: ChromeTraceFile | None = None
    shipping: SpanShipping | None = None
    if options.file is not None:
        from metalscope.traces.chrome import ChromeTraceFile  # noqa: PLC0415 - where one is written

        file = ChromeTraceFile(
            options.file,
            max_bytes=options.max_file_bytes,
            on_error=on_error,
            sanitizer=sanitizer,
            max_spans=options.max_spans,
            flush_interval=options.flush_interval,
        )
    try:
        if any(one.enabled for one in options.exporters):
            from metalscope.traces.shipping import make_span_shipping  # noqa: PLC0415 - the same

            shipping = make_span_shipping(
                options, sanitizer=sanitizer, resource=resource, on_error=on_error
            )
    except BaseException:
        if file is not None:
            file.close(0)
        raise
    return RunningSpans(
        shipping,
        file,
        lambda span: sanitizer.span(span, Audience.INTERNAL),
        options.shutdown_timeout.total_seconds(),
        recent,
    )
