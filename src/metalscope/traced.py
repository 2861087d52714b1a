"""Recording of operations that run in a trace: as spans, as exemplars, or both.

A recorder hands over what runs in a span that is kept, and what begins a trace that is kept; see
``Recorder.divert``. Nothing else gets here, so an operation in no trace costs as good as nothing
more. OpenTelemetry is never imported here: a program that has a span of it has loaded it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from time import time_ns
from typing import TYPE_CHECKING, Final

from metalscope._recorder_base import MAX_AMOUNT, ROOM, ErrorLike, OnError, Series
from metalscope._recorder_operation import Operation, amount
from metalscope.correlating import CURRENT_SPAN, SpanContext, UnsampledContext
from metalscope.exemplars import ExemplarBook
from metalscope.fork import restart_in_child
from metalscope.operation import OK
from metalscope.traced_counting import TracedCounting
from metalscope.traced_operation import SpanOperation, TracedOperation
from metalscope.traces.describing import attributes_of, describe, span_name, text_of, title_of
from metalscope.traces.joining import CONTEXT_MODULE, Neighbour
from metalscope.traces.live import LiveSpan

if TYPE_CHECKING:
    from metalscope.recorder import Recorder, Recording
    from metalscope.snapshot import Exemplar
    from metalscope.traces.tracer import Tracer

__all__ = ["TracedRecording"]

_NO_TRACE: Final = UnsampledContext(0, 0)


class TracedRecording:
    """Has the operations of a recorder that run in a span, or are to begin a trace.

    An operation belongs to the span that is current when it begins, one that was timed elsewhere
    to that in which it is recorded. What runs in a span is timed whatever the ``sample_rate``.

    Args:
        recorder: counts all of them.
        on_error: told of what goes wrong, as (room, exception).
        tracer: makes the spans; ``None`` for exemplars alone.
        exemplars: whether exemplars are kept.
    """

    def __init__(
        self,
        recorder: Recorder,
        on_error: OnError,
        *,
        tracer: Tracer | None = None,
        exemplars: bool = True,
    ) -> None:
        self._recorder = recorder
        self._tracer = tracer
        self._book = ExemplarBook() if exemplars else None
        self._counting = TracedCounting(recorder, on_error, tracer, self._book)
        self._neighbour = (
            Neighbour(on_error, joins=False, room=ROOM) if tracer is None else tracer.neighbour
        )
        self._has_found = False
        recorder.divert(
            operation=self._operate,
            record=self._record,
            own=CURRENT_SPAN,
            span_type=SpanContext,
            foreign_module=CONTEXT_MODULE,
        )
        self.start_in_child()
        restart_in_child(self)

    def start_in_child(self) -> None:
        """Choose anew which operation begins the next trace, or all children choose the same."""
        if self._tracer is not None:
            self._recorder.skip(self._tracer.sampler.skip())

    def stand_before(self, recording: Recording) -> None:
        """Have what ``recording`` is given; a subclass that has methods of its own keeps them."""
        recording._record_by(self._recorder)

    def collect(self, present: Collection[Series]) -> dict[Series, tuple[Exemplar, ...]]:
        """The exemplars of these series; see :meth:`ExemplarBook.collect`."""
        return {} if self._book is None else self._book.collect(present)

    @property
    def threshold_ns(self) -> int:
        """What takes longer, in ns, :meth:`notable` is to be told of, besides what failed."""
        return MAX_AMOUNT if self._tracer is None else self._tracer.threshold_ns

    def notable(
        self,
        series: Series,
        duration_ns: int | None,
        nbytes: int,
        gpu_ns: int | None,
        error: BaseException | None,
    ) -> tuple[str, str] | None:
        """Be told, by the recorder's watch, of an operation that failed or was slow.

        One that has no span yet gets it now, within the span that is current. Returns the trace's
        and the span's id; ``None`` where the operation has no span that is kept.
        """
        tracer = self._tracer
        if tracer is None:
            return None
        failed = series.outcome != OK
        is_counting, span = self._counting.under_way(duration_ns)
        if is_counting:
            # It hands on its own as soon as it is counted.
            if span is None or not tracer.decide(span.context, duration_ns, failed=failed):
                return None
        else:
            try:
                parent = tracer.innermost()
                decision = tracer.decide(parent or _NO_TRACE, duration_ns, failed=failed)
                if decision is None:
                    return None
                span = LiveSpan()
                title = title_of(series.kind, series.name, series.device)
                start_ns = time_ns() - (duration_ns or 0)
                about = attributes_of(title)
                tracer.begin(span, span_name(title), about, parent, False, start_ns)
                describe(span, series.outcome, nbytes, gpu_ns, text_of(error))
                tracer.finish(span, duration_ns or 0, decision=decision)
            except Exception as failure:  # noqa: BLE001 - law: telemetry never breaks the program
                tracer.report(failure)
                return None
        return span.context.trace_id_text, span.context.span_id_text

    # -- what the recorder hands over --------------------------------------------------------

    def _operate(self, kind: str, name: str, *, nbytes: int = 0, device: str = "") -> Operation:
        is_kept, parent = self._place()
        series = (kind, name, device)
        if is_kept:
            if self._tracer is None:
                return TracedOperation(self._counting, series, parent, nbytes)
            try:
                title = title_of(kind, name, device)
            except Exception:  # noqa: BLE001 - the recorder tells of it
                is_kept = False
        if not is_kept or self._tracer is None:
            return self._recorder.plain_operation(kind, name, nbytes=nbytes, device=device)
        # It has all that an operation has.
        return SpanOperation(self._counting, self._tracer, series, title, parent, nbytes)  # type: ignore[return-value]

    def _record(
        self,
        kind: str,
        name: str,
        *,
        duration_ns: int,
        nbytes: int = 0,
        error: ErrorLike = None,
        device: str = "",
        gpu_ns: int | None = None,
    ) -> None:
        is_kept, parent = self._place()
        span = None
        if is_kept:
            try:
                duration_ns = amount(duration_ns, "duration_ns")
                title = title_of(kind, name, device)
            except Exception:  # noqa: BLE001 - the recorder tells of it
                is_kept = False
        if not is_kept:
            self._recorder.plain_record(
                kind, name, duration_ns=duration_ns, nbytes=nbytes, error=error, device=device,
                gpu_ns=gpu_ns,
            )  # fmt: skip
            return
        if self._tracer is not None:
            span = LiveSpan()
            start_ns = time_ns() - duration_ns
            about = attributes_of(title)
            self._tracer.begin(span, span_name(title), about, parent, True, start_ns)
        self._counting.count(
            (kind, name, device), span, parent if span is None else span.context, duration_ns,
            nbytes, gpu_ns, error, text_of(error),
        )  # fmt: skip

    def _place(self) -> tuple[bool, SpanContext | None]:
        """Whether the operation that begins now is to be kept, and in which span."""
        parent = CURRENT_SPAN.get()
        was_counted = True
        if CONTEXT_MODULE in sys.modules:
            was_counted = self._has_found
            if not was_counted:
                self._find()
            if self._neighbour.is_elsewhere():
                was_counted = False
                parent = self._neighbour.innermost(parent, self._neighbour.current())
        if parent is not None:
            return parent.sampled, parent
        tracer = self._tracer
        if tracer is None:
            return False, None
        if not was_counted:
            # It came here as it might have been in a span, and not as the next to begin a trace.
            return tracer.sampler.chance(), None
        self._recorder.skip(tracer.sampler.skip())
        return True, None

    def _find(self) -> None:
        """Tell the recorder where OpenTelemetry keeps its context.

        Where that is not known, all operations come here, as there is no other way to ask.
        """
        variable = self._neighbour.variable()
        if variable is not None:
            self._has_found = True
            self._recorder.found_foreign(variable)
