"""Finished spans that wait a little, so that whoever finishes one waits for nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from metalscope.fork import reset_in_child
from metalscope.traces.span import FinishedSpan

__all__ = ["SpanBuffer"]

ROOM: Final = "traces"
"""Whose errors these are, in the manager's count of them."""


class SpanBuffer:
    """Takes spans on any thread, and gives them in batches to ``work`` on a thread of its own.

    ``work`` is called when a span has waited ``interval`` s, or half of the room is taken. Past
    ``limit`` spans further ones are let go and counted. After a fork the child begins with none:
    those of the parent are the parent's to write.

    Args:
        name: that of the thread.
        limit: most spans that wait.
        interval: longest time one waits, in s.
        work: what is done with them; what it raises is told to ``on_error``.
        on_error: told of what goes wrong.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[FinishedSpan]], None],
        *,
        limit: int,
        interval: float,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._name = name
        self._work = work
        self._limit = limit
        self._enough = max(1, limit // 2)
        self._interval = interval
        self._on_error = on_error
        self._closed = False
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Begin anew, with no thread yet."""
        # Reentrant, as a signal's handler may flush on the thread that was just taking one.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: list[FinishedSpan] = []
        self._working = 0
        self._dropped = 0
        self._hurry = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """How many spans found no room."""
        return self._dropped

    @property
    def waiting(self) -> int:
        """How many spans wait, or are being worked on."""
        return len(self._waiting) + self._working

    def take(self, span: FinishedSpan) -> None:
        """Keep a span until its turn; never waits for I/O."""
        with self._changed:
            if self._closed or len(self._waiting) >= self._limit:
                self._dropped += 1
                return
            self._waiting.append(span)
            count = len(self._waiting)
            if self._thread is None:
                self._start()
            elif count in {1, self._enough}:
                self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Have all that waits worked on now; whether that was done in time (s)."""
        with self._changed:
            if self._thread is None:
                # None could be begun, as at the end of the interpreter.
                self._do(self._next())
            self._hurry = bool(self._waiting)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self.waiting, timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Flush, and take no more; whether all was worked on in time (s)."""
        began = monotonic()
        done = self.flush(timeout)
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(None if timeout is None else max(0.0, timeout - (monotonic() - began)))
        return done and not self.waiting

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter ends
            self._thread = None
            self._on_error(ROOM, error)

    def _run(self) -> None:
        changed = self._changed
        while True:
            with changed:
                changed.wait_for(lambda: self._waiting or self._closed)
                changed.wait_for(self._is_due, self._interval)
                batch = self._next()
                if not batch and self._closed:
                    return
            self._do(batch)

    def _next(self) -> list[FinishedSpan]:
        batch, self._waiting = self._waiting, []
        self._working = len(batch)
        return batch

    def _do(self, batch: list[FinishedSpan]) -> None:
        try:
            if batch:
                self._work(batch)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._on_error(ROOM, error)
        with self._changed:
            self._working = 0
            self._hurry = self._hurry and bool(self._waiting)
            self._changed.notify_all()

    def _is_due(self) -> bool:
        return self._hurry or self._closed or len(self._waiting) >= self._enough
