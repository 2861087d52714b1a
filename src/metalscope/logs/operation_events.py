"""The records of operations that failed or were slow, with what was known at that moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from metalscope import attributes as names
from metalscope.amounts import amount
from metalscope.logs.limiting import EventLimiter
from metalscope.logs.record import Severity
from metalscope.operation import NS_PER_MS
from metalscope.readings import MemoryPressure, ResourceKind

if TYPE_CHECKING:
    from metalscope.log_options import LoggingOptions
    from metalscope.logs.logger import MetalProductionLogger
    from metalscope.notable import NotableOperation
    from metalscope.readings import ResourceMetrics
    from metalscope.recorder import Remembered
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MOST_BEFORE", "OperationEvents", "memory_of"]

MOST_BEFORE: Final = 10
"""How many operations before it the record of an error names."""


class OperationEvents:
    """Logs notable operations; called by one thread at a time.

    Args:
        logger: where.
        options: whether slow ones are, from where on, and how many a second.
        remembered: gives the last operations, oldest first.
        latest: gives the snapshot of the last tick, whose memory a record shows.
    """

    def __init__(
        self,
        logger: MetalProductionLogger,
        options: LoggingOptions,
        *,
        remembered: Callable[[], Sequence[Remembered]],
        latest: Callable[[], MetalTelemetrySnapshot | None],
    ) -> None:
        self._logger = logger
        self._slow_ms = options.slow_operation_threshold_ms
        self._logs_slow = options.enable_performance_logging
        self._limiter = EventLimiter(options.events_per_second)
        self._remembered = remembered
        self._latest = latest

    def __call__(self, operation: NotableOperation, error: BaseException | None) -> None:
        """Log one, unless there were too many of its kind."""
        if not operation.failed and not self._logs_slow:
            return
        suppressed = self._limiter.admit(
            (operation.kind, operation.name, operation.device, operation.outcome)
        )
        if suppressed is None:
            return
        attributes = _attributes(operation)
        if suppressed:
            attributes[names.SUPPRESSED] = suppressed
        snapshot = self._latest()
        if snapshot is not None:
            attributes |= memory_of(snapshot.resources)
        if operation.failed:
            self._log_failed(operation, error, attributes, snapshot)
        else:
            attributes[names.OPERATION_THRESHOLD] = self._slow_ms
            self._say(Severity.WARNING, "metal.operation.slow", operation, attributes, None)

    def _log_failed(
        self,
        operation: NotableOperation,
        error: BaseException | None,
        attributes: dict[str, Any],
        snapshot: MetalTelemetrySnapshot | None,
    ) -> None:
        attributes[names.ERROR_TYPE] = operation.outcome
        if snapshot is not None and snapshot.system is not None:
            for device in snapshot.system.devices:
                if device.name == operation.device:
                    attributes[names.DEVICE_BACKEND] = device.backend
        before = _before(self._remembered(), operation)
        if before:
            attributes[names.OPERATIONS_BEFORE] = before
        self._say(Severity.ERROR, "metal.operation.error", operation, attributes, error)

    def _say(
        self,
        severity: Severity,
        event: str,
        operation: NotableOperation,
        attributes: dict[str, Any],
        error: BaseException | None,
    ) -> None:
        self._logger.log(
            severity,
            _sentence(operation),
            event=event,
            error=error,
            ids=(operation.trace_id, operation.span_id),
            attributes=attributes,
        )


def memory_of(resources: Sequence[ResourceMetrics]) -> dict[str, Any]:
    """Device memory in use with its limit, and the pressure, as attributes; what is known of it."""
    found: dict[str, Any] = {}
    memory = [one for one in resources if one.kind is ResourceKind.MEMORY]
    if memory:
        # That in use by tensors, where a framework tells it from its cache.
        first = next((one for one in memory if one.name == "active"), memory[0])
        found[names.MEMORY_USED] = int(first.current)
        if first.limit is not None:
            found[names.MEMORY_LIMIT] = int(first.limit)
    for one in resources:
        if one.kind is ResourceKind.MEMORY_PRESSURE:
            found[names.MEMORY_PRESSURE] = MemoryPressure(int(one.current)).name.lower()
    return found


def _attributes(operation: NotableOperation) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        names.OPERATION_KIND: operation.kind.value,
        names.OPERATION_NAME: operation.name,
        names.OPERATION_OUTCOME: operation.outcome,
    }
    if operation.device:
        attributes[names.DEVICE] = operation.device
    if operation.duration_ms is not None:
        attributes[names.OPERATION_DURATION] = operation.duration_ms
    if operation.gpu_ms is not None:
        attributes[names.OPERATION_GPU] = operation.gpu_ms
    if operation.nbytes:
        attributes[names.OPERATION_BYTES] = operation.nbytes
    return attributes


def _sentence(operation: NotableOperation) -> str:
    """Such as ``execute matmul on m1 failed after 12.5 ms: out_of_memory, 4 MB``."""
    what = f"{operation.kind.value} {operation.name}"
    if operation.device:
        what += f" on {operation.device}"
    took = "" if operation.duration_ms is None else f"{operation.duration_ms:.4g} ms"
    size = f", {amount(operation.nbytes, 'bytes')}" if operation.nbytes else ""
    if not operation.failed:
        return f"{what} took {took}{size}"
    after = f" after {took}" if took else ""
    return f"{what} failed{after}: {operation.outcome}{size}"


def _before(remembered: Sequence[Remembered], operation: NotableOperation) -> list[str]:
    """The last of this thread's, in words, but for the operation itself, which is among them."""
    thread = threading.get_ident()
    own = [one for one in remembered if one[4] == thread]
    if own and _is(own[-1], operation):
        del own[-1]
    return [_in_words(one) for one in own[-MOST_BEFORE:]]


def _is(one: Remembered, operation: NotableOperation) -> bool:
    kind, name, device, outcome = one[0]
    return (kind, name, device, outcome) == (
        operation.kind, operation.name, operation.device, operation.outcome,
    )  # fmt: skip


def _in_words(one: Remembered) -> str:
    (kind, name, device, outcome), duration_ns, nbytes, _, _ = one
    words = [str(kind), name]
    if device:
        words.append(f"on {device}")
    if duration_ns is not None:
        words.append(f"{duration_ns / NS_PER_MS:.4g} ms")
    if nbytes:
        words.append(amount(nbytes, "bytes"))
    if outcome != "ok":
        words.append(str(outcome))
    return " ".join(words)
