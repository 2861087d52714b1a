"""Work that other processes do for tests: what it sees of the context it runs in."""

from __future__ import annotations

import multiprocessing
import threading
from contextvars import ContextVar
from typing import Any

from metalscope.correlating import current_correlation_id, current_span

LIBRARY: ContextVar[str] = ContextVar("library", default="unset")
"""A context variable of the program's own."""

Seen = tuple[str | None, str | None, bool | None]


def seen(*_ignored: object) -> Seen:
    """The correlation id, the trace with its span, and whether it is kept."""
    span = current_span()
    if span is None:
        return current_correlation_id(), None, None
    return current_correlation_id(), f"{span.trace_id:x}/{span.span_id:x}", span.sampled


def seen_in_process(_ignored: object = None) -> tuple[Seen, bool]:
    """The same, and whether the span itself came along."""
    span = current_span()
    return seen(), span is not None and span.live is not None


def fail(*_ignored: object) -> None:
    """Fail."""
    raise LookupError(current_correlation_id())


def put_seen(queue: Any) -> None:
    """What a process sees."""
    queue.put(seen_in_process())


class OwnRun(multiprocessing.Process):
    """A process that is no function."""

    def __init__(self, queue: Any) -> None:
        super().__init__()
        self.queue = queue

    def run(self) -> None:
        """Work."""
        put_seen(self.queue)


class SpawnedOwnRun(multiprocessing.get_context("spawn").Process):
    """The same, started anew instead of forked."""

    def __init__(self, queue: Any) -> None:
        super().__init__()
        self.queue = queue

    def run(self) -> None:
        """Work."""
        put_seen(self.queue)


class OwnThread(threading.Thread):
    """A thread that is no function, and that does something before it starts."""

    saw: Seen

    def start(self) -> None:
        """Start it."""
        super().start()

    def run(self) -> None:
        """Work."""
        self.saw = seen()
