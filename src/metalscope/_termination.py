"""Let telemetry have its last word before SIGTERM ends the process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["FlushOnTermination"]

_SIG_DFL: Final = 0


class _Forking(threading.local):
    mask: set[signal.Signals | int] | None = None
    """The signals blocked before the fork this thread is in."""


class FlushOnTermination:
    """On SIGTERM, call ``flush`` and die of SIGTERM; only where nobody else handles the signal.

    Python runs its handlers on the main thread, between bytecodes; while that thread is inside a
    library, waiting for the GPU, the process would not end. A thread of ours reads the wake-up
    descriptor, to which Python writes the moment the signal arrives, and ends the process itself.

    Args:
        flush: what to do first.
        timeout: how many seconds it may take.
    """

    def __init__(self, flush: Callable[[], None], *, timeout: float) -> None:
        self._flush = flush
        self._timeout = timeout
        self._once = threading.Lock()
        self._flushed = threading.Event()
        self._write_end = -1
        self._forking = _Forking()
        # One object: a bound method made anew is not the handler that was installed.
        self._handler = self._on_signal

    def install(self) -> None:
        """Begin; does nothing where SIGTERM is handled or ignored, or off the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return
        signal.signal(signal.SIGTERM, self._handler)
        read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        threading.Thread(
            target=self._watch, args=(read_end,), name="metalscope-sigterm", daemon=True
        ).start()
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._after_fork,
            after_in_child=self._after_fork_in_child,
        )

    def remove(self) -> None:
        """Give SIGTERM back, unless the program has taken it since. Idempotent."""
        if signal.getsignal(signal.SIGTERM) is self._handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._write_end < 0:
            return
        descriptor, self._write_end = self._write_end, -1
        # The program may have a wake-up descriptor of its own by now, as asyncio has.
        others = signal.set_wakeup_fd(-1)
        if others not in {-1, descriptor}:
            signal.set_wakeup_fd(others, warn_on_full_buffer=False)
        os.close(descriptor)

    def _watch(self, read_end: int) -> None:
        # Ends when the other end is closed.
        while numbers := os.read(read_end, 64):
            if signal.SIGTERM in numbers and self._is_ours():
                self._flush_once()
                # signal.signal() is for the main thread alone, which may not come back.
                ctypes.CDLL(None).signal(ctypes.c_int(signal.SIGTERM), ctypes.c_void_p(_SIG_DFL))
                os.kill(os.getpid(), signal.SIGTERM)
        os.close(read_end)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._flush_once()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    # A child has the default disposition again. Until then the signal must wait in the kernel:
    # Python throws away what its handlers saw before the fork was complete.

    def _before_fork(self) -> None:
        if self._write_end >= 0:
            self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _after_fork(self) -> None:
        mask, self._forking.mask = self._forking.mask, None
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _after_fork_in_child(self) -> None:
        self.remove()
        self._after_fork()

    def _is_ours(self) -> bool:
        return signal.getsignal(signal.SIGTERM) is self._handler

    def _flush_once(self) -> None:
        """Flush, or wait while another thread does; no longer than the time there is."""
        if self._once.acquire(blocking=False):
            threading.Thread(target=self._run_flush, name="metalscope-flush", daemon=True).start()
        self._flushed.wait(self._timeout)

    def _run_flush(self) -> None:
        # Nothing could be told any more of what goes wrong here.
        with contextlib.suppress(Exception):
            self._flush()
        self._flushed.set()
