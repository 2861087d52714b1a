"""The start and the end of every operation as records, for who asks for that."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from metalscope import attributes as names
from metalscope._recorder_operation import Operation
from metalscope.logs.record import Severity
from metalscope.operation import NS_PER_MS, OK

if TYPE_CHECKING:
    from metalscope.logs.logger import MetalProductionLogger
    from metalscope.operation import MetalError
    from metalscope.recorder import ErrorLike, Recorder, Recording

__all__ = ["OperationLog"]


class OperationLog:
    """Stands before ``operation`` and ``record``, and logs each at the level debug.

    Args:
        logger: where.
        recorder: says which outcome an error is.
    """

    def __init__(self, logger: MetalProductionLogger, recorder: Recorder) -> None:
        self._logger = logger
        self._recorder = recorder

    def stand_before(self, recording: Recording) -> Callable[[], None]:
        """Log what ``recording`` records from now on. Returns what ends it."""
        own = vars(recording)
        before = {name: own.get(name) for name in ("operation", "record")}
        self._operation = recording.operation
        self._record = recording.record
        recording.operation = self.operation  # type: ignore[method-assign]
        recording.record = self.record  # type: ignore[method-assign]

        def step_aside() -> None:
            for name, method in before.items():
                if method is None:
                    own.pop(name, None)
                else:
                    own[name] = method

        return step_aside

    def operation(self, kind: str, name: str, *, nbytes: int = 0, device: str = "") -> Operation:
        """Time one operation, and log when it begins and ends."""
        operation = self._operation(kind, name, nbytes=nbytes, device=device)
        return _LoggedOperation(self, operation, (kind, name, device), nbytes)

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
        """Count an operation timed elsewhere, and log that it ended."""
        self._record(
            kind, name, duration_ns=duration_ns, nbytes=nbytes, error=error, device=device,
            gpu_ns=gpu_ns,
        )  # fmt: skip
        outcome = self._recorder.outcome_of(error)
        self.log_end((kind, name, device), outcome, duration_ns, nbytes, gpu_ns)

    def log_start(self, series: tuple[str, str, str]) -> None:
        """Log that an operation begins."""
        kind, name, _ = series
        attributes = _attributes(series)
        self._logger.log(
            Severity.DEBUG, f"{kind} {name} begins", event="metal.operation.start",
            attributes=attributes,
        )  # fmt: skip

    def log_end(
        self,
        series: tuple[str, str, str],
        outcome: str,
        duration_ns: int,
        nbytes: int,
        gpu_ns: int | None,
    ) -> None:
        """Log that an operation is over."""
        kind, name, _ = series
        attributes = _attributes(series) | {
            names.OPERATION_OUTCOME: str(outcome),
            names.OPERATION_DURATION: duration_ns / NS_PER_MS,
        }
        if nbytes:
            attributes[names.OPERATION_BYTES] = nbytes
        if gpu_ns is not None:
            attributes[names.OPERATION_GPU] = gpu_ns / NS_PER_MS
        self._logger.log(
            Severity.DEBUG, f"{kind} {name} is over: {outcome}", event="metal.operation.end",
            attributes=attributes,
        )  # fmt: skip

    def outcome_of(self, error: ErrorLike) -> str:
        """The outcome word for what a caller passed as an error."""
        return self._recorder.outcome_of(error)


class _LoggedOperation(Operation):
    __slots__ = ("_gpu_ns", "_inner", "_log", "_nbytes", "_outcome", "_series")

    def __init__(
        self, log: OperationLog, inner: Operation, series: tuple[str, str, str], nbytes: int
    ) -> None:
        self._log, self._inner, self._series = log, inner, series
        self._nbytes = nbytes
        self._outcome: str | None = None
        self._gpu_ns: int | None = None

    def set_error(self, error: MetalError | str | BaseException) -> None:
        self._inner.set_error(error)
        self._outcome = None if error is None else self._log.outcome_of(error)

    def add_bytes(self, nbytes: int) -> None:
        self._inner.add_bytes(nbytes)
        if isinstance(nbytes, int):
            self._nbytes += nbytes

    def set_gpu_ns(self, gpu_ns: int) -> None:
        self._inner.set_gpu_ns(gpu_ns)
        self._gpu_ns = gpu_ns if isinstance(gpu_ns, int) else None

    def __enter__(self) -> Self:
        # Within it, so that both records have its span, if it is one.
        self._inner.__enter__()
        self._log.log_start(self._series)
        self._start = perf_counter_ns()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration_ns = perf_counter_ns() - self._start
        outcome = self._outcome
        if outcome is None:
            outcome = OK if exc is None else self._log.outcome_of(exc)
        self._log.log_end(self._series, outcome, duration_ns, self._nbytes, self._gpu_ns)
        self._inner.__exit__(exc_type, exc, traceback)


def _attributes(series: tuple[str, str, str]) -> dict[str, Any]:
    kind, name, device = series
    attributes: dict[str, Any] = {
        names.OPERATION_KIND: str(kind), names.OPERATION_NAME: str(name),
    }  # fmt: skip
    if device:
        attributes[names.DEVICE] = device
    return attributes
