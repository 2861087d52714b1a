"""Recording that looks for the OpenTelemetry span an operation belongs to.

It stands before the recorder only where the option ``exemplars`` is on; else nothing of it is on
the way. OpenTelemetry is never imported here: a program that has a span has loaded it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from time import perf_counter_ns
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from metalscope._recorder_base import ROOM, ErrorLike, OnError, Series
from metalscope._recorder_operation import Operation, amount
from metalscope.exemplars import ExemplarBook, SpanContext
from metalscope.operation import OK
from metalscope.recorder import Recording

if TYPE_CHECKING:
    from metalscope.operation import MetalError
    from metalscope.recorder import Recorder
    from metalscope.snapshot import Exemplar

__all__ = ["TracedOperation", "TracedRecording"]

_API: Final = "opentelemetry.trace"


class TracedRecording:
    """Has the ``operation`` and ``record`` of a recorder, and keeps exemplars beside its counts.

    What runs in no sampled span goes to the recorder as it came. An operation belongs to the span
    that is current when it begins, one that was timed elsewhere to that in which it is recorded.
    """

    def __init__(self, recorder: Recorder, on_error: OnError) -> None:
        self._recorder = recorder
        self._on_error = on_error
        self._operation = recorder.operation
        self._record = recorder.record
        self._book = ExemplarBook()

    def stand_before(self, recording: Recording) -> None:
        """Take what ``recording`` is given; a subclass that has methods of its own keeps them."""
        if type(recording).operation is Recording.operation:
            recording.operation = self.operation  # type: ignore[method-assign]
        if type(recording).record is Recording.record:
            recording.record = self.record  # type: ignore[method-assign]

    def collect(self, present: Collection[Series]) -> dict[Series, tuple[Exemplar, ...]]:
        """The exemplars of these series; see :meth:`ExemplarBook.collect`."""
        return self._book.collect(present)

    def operation(self, kind: str, name: str, *, nbytes: int = 0, device: str = "") -> Operation:
        """Time one operation; in a sampled span it is timed whatever the ``sample_rate``."""
        span = self._span()
        if span is None:
            return self._operation(kind, name, nbytes=nbytes, device=device)
        return TracedOperation(self, span, (kind, name, device), nbytes)

    def record(
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
        """Count an operation timed elsewhere."""
        span = self._span()
        if span is None:
            self._record(
                kind, name, duration_ns=duration_ns, nbytes=nbytes, error=error, device=device,
                gpu_ns=gpu_ns,
            )  # fmt: skip
            return
        outcome = self._recorder.outcome_of(error)
        self.count(
            span, (kind, name, device), outcome, duration_ns=duration_ns, nbytes=nbytes,
            gpu_ns=gpu_ns,
        )  # fmt: skip

    def count(
        self,
        span: SpanContext,
        series: tuple[str, str, str],
        outcome: str,
        *,
        duration_ns: int,
        nbytes: int,
        gpu_ns: int | None,
    ) -> None:
        """Count an operation that ran in ``span``, and keep it as an exemplar if one is due."""
        kind, name, device = series
        error = None if outcome == OK else outcome
        self._record(
            kind, name, duration_ns=duration_ns, nbytes=nbytes, error=error, device=device,
            gpu_ns=gpu_ns,
        )  # fmt: skip
        try:
            whole = amount(duration_ns, "duration_ns")
        except (TypeError, ValueError):
            return  # Not counted either; the recorder has told of it.
        try:
            counted = self._recorder.series_of(*series, outcome)
            if counted is not None:
                self._book.offer(counted, whole, perf_counter_ns(), span)
        except Exception as failure:  # noqa: BLE001 - law: telemetry never breaks the program
            self.report(failure)

    def outcome_of(self, error: ErrorLike) -> str:
        """The outcome word for what a caller passed as an error."""
        return self._recorder.outcome_of(error)

    def report(self, error: BaseException) -> None:
        """Tell of what went wrong."""
        self._on_error(ROOM, error)

    def _span(self) -> SpanContext | None:
        """The context of the current span, if that is sampled."""
        api = sys.modules.get(_API)
        if api is None:
            return None
        try:
            span: SpanContext = api.get_current_span().get_span_context()
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            # Another thread may be half way through importing it.
            if hasattr(api, "get_current_span"):
                self.report(error)
            return None
        return span if span.trace_flags.sampled and span.is_valid else None


class TracedOperation(Operation):
    """Times one operation in a span."""

    __slots__ = ("_gpu_ns", "_nbytes", "_outcome", "_recording", "_series", "_span")

    def __init__(
        self,
        recording: TracedRecording,
        span: SpanContext,
        series: tuple[str, str, str],
        nbytes: int,
    ) -> None:
        self._recording = recording
        self._span = span
        self._series = series
        self._outcome: str | None = None
        self._gpu_ns: int | None = None
        self._nbytes = 0
        if nbytes:
            self.add_bytes(nbytes)

    def set_error(self, error: MetalError | str | BaseException) -> None:
        """Count the operation as failed although no exception leaves the block."""
        self._outcome = None if error is None else self._recording.outcome_of(error)

    def add_bytes(self, nbytes: int) -> None:
        """Add to the bytes the operation moved or allocated."""
        try:
            self._nbytes = amount(self._nbytes + amount(nbytes, "nbytes"), "nbytes")
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._recording.report(error)

    def set_gpu_ns(self, gpu_ns: int) -> None:
        """Say how long the device itself was busy, ns."""
        try:
            self._gpu_ns = amount(gpu_ns, "gpu_ns")
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._recording.report(error)

    def __enter__(self) -> Self:
        self._start = perf_counter_ns()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            duration_ns = perf_counter_ns() - self._start
            outcome = self._outcome
            if outcome is None:
                outcome = OK if exc is None else self._recording.outcome_of(exc)
            self._recording.count(
                self._span, self._series, outcome, duration_ns=duration_ns, nbytes=self._nbytes,
                gpu_ns=self._gpu_ns,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._recording.report(error)
