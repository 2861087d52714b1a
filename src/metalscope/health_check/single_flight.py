"""One run at a time, on a thread nobody waits for at exit; all who ask meanwhile share its answer.

The idea is that of Go's golang.org/x/sync/singleflight, with a deadline: a run that takes longer
has failed for everybody who waits for it, and for everybody who comes while it hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Generic, TypeVar

from metalscope.fork import reset_in_child

__all__ = ["OverdueError", "SingleFlight"]

T = TypeVar("T")


class OverdueError(Exception):
    """The run that is under way has taken longer than it may."""


class SingleFlight(Generic[T]):
    """Runs a question on a daemon thread, never twice at once.

    Args:
        question: what is run. It may not raise: what went wrong is part of its answer.
        timeout: how long, in s, one run may take.
        name: of the thread.
    """

    def __init__(self, question: Callable[[], T], *, timeout: float, name: str) -> None:
        self._question = question
        self._timeout = timeout
        self._name = name
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """In a forked child: no run is under way, its thread is the parent's."""
        self._lock = threading.Lock()
        self._run: _Run[T] | None = None

    def ask(self) -> T:
        """The answer of the run under way, or of one that begins now.

        Raises:
            OverdueError: it takes longer than the timeout.
            RuntimeError: no thread can be started.
        """
        run = self._join()
        run.done.wait(run.seconds_left())
        return run.answer()

    async def aask(self) -> T:
        """As :meth:`ask`, without holding up the event loop; it needs asyncio.

        Raises:
            OverdueError: it takes longer than the timeout.
            RuntimeError: no thread can be started.
        """
        import asyncio  # noqa: PLC0415 - not for those who ask from threads

        run = self._join()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        # Removed again, so that nothing piles up at a run that hangs for days.
        with self._lock:
            run.waiting.add(wake)
        try:
            if not run.done.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(run.seconds_left()):
                        await ended.wait()
        finally:
            with self._lock:
                run.waiting.discard(wake)
        return run.answer()

    def _join(self) -> _Run[T]:
        with self._lock:
            if self._run is None:
                self._run = run = _Run[T](monotonic() + self._timeout)
                thread = threading.Thread(
                    target=self._fly, args=(run,), name=self._name, daemon=True
                )
                try:
                    thread.start()
                except BaseException:
                    self._run = None
                    raise
            return self._run

    def _fly(self, run: _Run[T]) -> None:
        try:
            run.found = (self._question(),)
        finally:
            with self._lock:
                if self._run is run:
                    self._run = None
                waiting = list(run.waiting)
                run.done.set()
            for wake in waiting:
                wake()


class _Run(Generic[T]):
    """One run: its deadline, who waits for it, and what it found."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self.done = threading.Event()
        self.found: tuple[T] | tuple[()] = ()
        self.waiting: set[Callable[[], None]] = set()

    def seconds_left(self) -> float:
        """Until it is overdue; 0 where it is."""
        return max(0.0, self._deadline - monotonic())

    def answer(self) -> T:
        """What it found.

        Raises:
            OverdueError: it has not ended.
        """
        if not self.done.is_set() or not self.found:
            raise OverdueError
        return self.found[0]
