"""What is done about operations that failed or were slow, on the thread they ran on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from metalscope.correlating import current_correlation_id, current_span
from metalscope.fork import reset_in_child
from metalscope.notable import MOST_NOTABLE, NotableOperation
from metalscope.operation import NS_PER_MS, OperationKind

if TYPE_CHECKING:
    from metalscope.recorder import Series

__all__ = ["KeepsSpans", "OperationWatch"]


class KeepsSpans(Protocol):
    """Makes spans of notable operations, and says which ids they have."""

    @property
    def threshold_ns(self) -> int | None:
        """From where on it keeps slow ones, in ns; ``None`` where it keeps failed ones alone."""
        ...

    def notable(
        self,
        series: Series,
        duration_ns: int | None,
        nbytes: int,
        gpu_ns: int | None,
        error: BaseException | None,
    ) -> tuple[str, str] | None:
        """Trace and span of the operation, if it has become one."""
        ...


class OperationWatch:
    """Keeps the latest notable operations, and hands each on; see ``Recorder.watch``.

    Args:
        slow_ns: what takes longer is slow, in ns; ``None`` where only those that failed matter.
        spans: makes spans of them.
    """

    def __init__(self, slow_ns: int | None, spans: KeepsSpans | None = None) -> None:
        self._slow_ns = slow_ns
        self._spans = spans
        self._log: Callable[[NotableOperation, BaseException | None], None] | None = None
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget those kept so far."""
        self._latest: deque[NotableOperation] = deque(maxlen=MOST_NOTABLE)
        # Re-entrant: a signal handler may record while its own thread is in here.
        self._lock = threading.RLock()

    @property
    def above_ns(self) -> int:
        """From where on it is to be told, in ns."""
        thresholds = [self._slow_ns, self._spans.threshold_ns if self._spans else None]
        return min((one for one in thresholds if one is not None), default=2**63 - 1)

    def log_by(self, log: Callable[[NotableOperation, BaseException | None], None] | None) -> None:
        """Hand each on to ``log`` from now on, one at a time."""
        self._log = log

    def latest(self) -> tuple[NotableOperation, ...]:
        """The latest, oldest first."""
        return tuple(self._latest.copy())

    def __call__(
        self,
        series: Series,
        duration_ns: int | None,
        nbytes: int,
        gpu_ns: int | None,
        error: BaseException | None,
    ) -> None:
        """An operation was counted that failed or took longer than :attr:`above_ns`."""
        kind, name, device, outcome = series
        ids: tuple[str | None, str | None] | None = None
        if self._spans is not None:
            ids = self._spans.notable(series, duration_ns, nbytes, gpu_ns, error)
        if ids is None:
            span = current_span()
            ids = (None, None) if span is None else (span.trace_id_text, span.span_id_text)
        trace_id, span_id = ids
        operation = NotableOperation(
            datetime.now(UTC),
            OperationKind(kind),
            name,
            device,
            str(outcome),
            None if duration_ns is None else duration_ns / NS_PER_MS,
            None if gpu_ns is None else gpu_ns / NS_PER_MS,
            nbytes,
            current_correlation_id(),
            trace_id,
            span_id,
        )
        self._latest.append(operation)
        log = self._log
        is_slow = self._slow_ns is not None and (duration_ns or 0) > self._slow_ns
        if log is not None and (operation.failed or is_slow):
            with self._lock:
                log(operation, error)
