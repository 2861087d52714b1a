"""Operations that are timed in a span, or as one."""

from __future__ import annotations

from time import perf_counter_ns
from types import TracebackType
from typing import TYPE_CHECKING, Self

from metalscope._recorder_operation import Operation, amount
from metalscope.traces.describing import OperationTitle, attributes_of, span_name, text_of
from metalscope.traces.live import LiveSpan

if TYPE_CHECKING:
    from metalscope.correlating import SpanContext
    from metalscope.operation import MetalError
    from metalscope.traced_counting import TracedCounting
    from metalscope.traces.tracer import Tracer

__all__ = ["SpanOperation", "TracedOperation"]


class _Said:
    """What is said of an operation while it runs."""

    __slots__ = ()

    if TYPE_CHECKING:
        _counting: TracedCounting
        _outcome: str | None
        _text: str
        _nbytes: int
        _gpu_ns: int | None

    def set_error(self, error: MetalError | str | BaseException) -> None:
        """Count the operation as failed although no exception leaves the block."""
        self._outcome = None if error is None else self._counting.outcome_of(error)  # type: ignore[misc]
        self._text = text_of(error)  # type: ignore[misc]

    def add_bytes(self, nbytes: int) -> None:
        """Add to the bytes the operation moved or allocated."""
        try:
            self._nbytes = amount(self._nbytes + amount(nbytes, "nbytes"), "nbytes")  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._counting.report(error)

    def set_gpu_ns(self, gpu_ns: int) -> None:
        """Say how long the device itself was busy, ns."""
        try:
            self._gpu_ns = amount(gpu_ns, "gpu_ns")  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._counting.report(error)


class TracedOperation(_Said, Operation):
    """Times one operation that is kept as an exemplar of the span it runs in."""

    __slots__ = ("_context", "_counting", "_gpu_ns", "_nbytes", "_outcome", "_series", "_text")

    def __init__(
        self,
        counting: TracedCounting,
        series: tuple[str, str, str],
        context: SpanContext | None,
        nbytes: int,
    ) -> None:
        self._counting = counting
        self._series = series
        self._context = context
        self._outcome = self._gpu_ns = None
        self._text = ""
        self._nbytes = 0
        if nbytes:
            self.add_bytes(nbytes)

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
            self._counting.count(
                self._series, None, self._context, perf_counter_ns() - self._start, self._nbytes,
                self._gpu_ns, exc if self._outcome is None else self._outcome, "",
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._counting.report(error)


class SpanOperation(_Said, LiveSpan):
    """Times one operation, and is its span."""

    __slots__ = (
        "_counting", "_gpu_ns", "_has_begun", "_nbytes", "_outcome", "_series", "_text", "_title",
        "_tracer",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - called for each operation: a keyword costs
        self,
        counting: TracedCounting,
        tracer: Tracer,
        series: tuple[str, str, str],
        title: OperationTitle,
        parent: SpanContext | None,
        nbytes: int,
    ) -> None:
        self._counting = counting
        self._tracer = tracer
        self._series = series
        self._title = title
        self.parent = parent
        self._has_begun = True
        self._outcome = self._gpu_ns = None
        self._text = ""
        self._nbytes = 0
        if nbytes:
            self.add_bytes(nbytes)

    def __enter__(self) -> Self:
        title, tracer = self._title, self._tracer
        try:
            tracer.begin(self, span_name(title), attributes_of(title), self.parent, True)
            if self.joined is None:
                self.enter()
            else:
                tracer.enter(self)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._counting.report(error)
            self._has_begun = False
            self.began_ns = perf_counter_ns()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            error = exc if self._outcome is None else self._outcome
            if self._has_begun:
                duration_ns = self.leave() if self.joined is None else self._tracer.leave(self)
                self._counting.count(
                    self._series, self, self.context, duration_ns, self._nbytes, self._gpu_ns,
                    error, "" if error is None else self._text or text_of(exc),
                )  # fmt: skip
            else:
                duration_ns = perf_counter_ns() - self.began_ns
                self._counting.count(
                    self._series, None, None, duration_ns, self._nbytes, self._gpu_ns, error, ""
                )
        except Exception as failure:  # noqa: BLE001 - law: telemetry never breaks the program
            self._counting.report(failure)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)
