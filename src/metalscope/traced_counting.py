"""TracedCounting: what is done with an operation in a trace once it is over."""

from __future__ import annotations

import threading
from time import perf_counter_ns
from typing import TYPE_CHECKING

from metalscope._recorder_base import ROOM, ErrorLike, OnError
from metalscope.correlating import SpanContext, current_correlation_id
from metalscope.operation import OK
from metalscope.traces.describing import describe

if TYPE_CHECKING:
    from metalscope.exemplars import ExemplarBook
    from metalscope.recorder import Recorder
    from metalscope.traces.live import LiveSpan
    from metalscope.traces.tracer import Tracer

__all__ = ["TracedCounting"]


class _UnderWay(threading.local):
    span: LiveSpan | None = None
    duration_ns: int = -1
    """Of the operation this thread counts now; -1 for none."""


class TracedCounting:
    """Counts an operation, ends its span, and keeps it as an exemplar if one is due.

    Args:
        recorder: counts.
        on_error: told of what goes wrong, as (room, exception).
        tracer: ends spans.
        book: keeps exemplars.
    """

    def __init__(
        self,
        recorder: Recorder,
        on_error: OnError,
        tracer: Tracer | None,
        book: ExemplarBook | None,
    ) -> None:
        self._recorder = recorder
        # The compiled recorder's own, without a call in between.
        self._plain_record = getattr(recorder, "hot", recorder).plain_record
        self.outcome_of = recorder.outcome_of
        self._on_error = on_error
        self._tracer = tracer
        self._book = book
        self._under_way = _UnderWay()

    def report(self, error: BaseException) -> None:
        """Tell of what went wrong."""
        self._on_error(ROOM, error)

    def under_way(self, duration_ns: int | None) -> tuple[bool, LiveSpan | None]:
        """Whether this thread is just counting an operation that took so long; and its span."""
        one = self._under_way
        return one.duration_ns == duration_ns, one.span

    def count(  # noqa: PLR0917 - called for each operation: a keyword costs
        self,
        series: tuple[str, str, str],
        span: LiveSpan | None,
        context: SpanContext | None,
        duration_ns: int,
        nbytes: int,
        gpu_ns: int | None,
        error: ErrorLike,
        text: str,
    ) -> None:
        """Count one, and end its span.

        Args:
            series: kind, name and device.
            span: its own, where there is a tracer.
            context: what its exemplar leads to.
            duration_ns: how long it took, ns.
            nbytes: what it moved or allocated.
            gpu_ns: how long the device was busy, ns.
            error: what went wrong.
            text: the same in a sentence.
        """
        kind, name, device = series
        if error is None and duration_ns <= self._recorder.told_above_ns:
            self._plain_record(
                kind, name, duration_ns=duration_ns, nbytes=nbytes, device=device, gpu_ns=gpu_ns
            )
            outcome: str = OK
        else:
            one = self._under_way
            before = one.span, one.duration_ns
            one.span, one.duration_ns = span, duration_ns
            try:
                self._plain_record(
                    kind, name, duration_ns=duration_ns, nbytes=nbytes, error=error,
                    device=device, gpu_ns=gpu_ns,
                )  # fmt: skip
            finally:
                one.span, one.duration_ns = before
            outcome = self.outcome_of(error)
        try:
            if self._book is not None and context is not None and context.sampled:
                counted = self._recorder.series_of(kind, name, device, outcome)
                if counted is not None:
                    now_ns, correlation_id = perf_counter_ns(), current_correlation_id()
                    self._book.offer(counted, duration_ns, now_ns, context, correlation_id)
            if span is not None and self._tracer is not None:
                describe(span, outcome, nbytes, gpu_ns, text)
                self._tracer.finish(span, duration_ns)
        except Exception as failure:  # noqa: BLE001 - law: telemetry never breaks the program
            self.report(failure)
