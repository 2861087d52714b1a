"""Calls that may hang, one after the other on a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["CallThread"]

_T = TypeVar("_T")


class CallThread:
    """One daemon thread, begun with the first call.

    What is called must not raise: the future has its result and nothing else. Where the interpreter
    ends and begins no thread any more, it is called at once, on the caller's.

    Args:
        name: the thread's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]
        self._work = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def has_begun(self) -> bool:
        """Whether anything was called."""
        return self._thread is not None

    def begin(self, call: Callable[[], _T]) -> Future[_T]:
        """Have it called when all before it have returned."""
        future: Future[_T] = Future()
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                future.set_result(call())
                return future
            self._thread = thread
        self._work.put((call, future))
        return future

    def end(self) -> None:
        """Let the thread end when all calls have returned; none may be begun any more."""
        if self._thread is not None:
            self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            call, future = item
            future.set_result(call())
            del item, call, future
