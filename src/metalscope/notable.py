"""NotableOperation: one that failed or was slow, with what ties it to logs and traces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from metalscope.moments import rfc3339
from metalscope.operation import OK, OperationKind

__all__ = ["MOST_NOTABLE", "NotableOperation", "latest_notable"]

MOST_NOTABLE: Final = 50
"""How many of them a snapshot holds."""


@dataclass(frozen=True, slots=True)
class NotableOperation:
    """One operation that failed or was slow; ``timestamp`` is when it ended.

    ``duration_ms`` and ``gpu_ms`` are ``None`` where they were not measured, the ids where there
    was none.
    """

    timestamp: datetime
    kind: OperationKind
    name: str
    device: str = ""
    outcome: str = OK
    duration_ms: float | None = None
    gpu_ms: float | None = None
    nbytes: int = 0
    correlation_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it failed; if not, it was slow."""
        return self.outcome != OK

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "timestamp": rfc3339(self.timestamp),
            "kind": self.kind.value,
            "name": self.name,
            "device": self.device,
            "outcome": self.outcome,
            "duration_ms": self.duration_ms,
            "gpu_ms": self.gpu_ms,
            "nbytes": self.nbytes,
            "correlation_id": self.correlation_id,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
        }


def latest_notable(
    of_each: Iterable[Iterable[NotableOperation]],
) -> tuple[NotableOperation, ...]:
    """Of several processes the latest :data:`MOST_NOTABLE`, oldest first."""
    every = sorted((one for ones in of_each for one in ones), key=lambda one: one.timestamp)
    return tuple(every[-MOST_NOTABLE:])
