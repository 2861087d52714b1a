"""Sees when submitted work is done, without the program waiting for it.

wgpu-native calls back when the queue has done what it was given. It does so whenever the device is
polled, and every submit polls, and every wait for a mapping. ``GPUQueue.on_submitted_work_done_*``
would register such a callback, but in wgpu-py 0.32 its signature is not wgpu-native's and it always
raises; so it is registered here, with the signature the library itself declares.

While the program does nothing that polls, a thread of ours does, never blocking: a poll that waits
may hold locks that a submit needs.
"""

from __future__ import annotations

import atexit
import itertools
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope.fork import reset_in_child
from metalscope.instrument._webgpu_scope import ROOM
from metalscope.operation import MetalError

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["MAX_FOLLOWED", "MIN_PAUSE", "Completions", "Submission"]

MAX_FOLLOWED: Final = 4096
"""Submissions under way at once that are followed."""

MIN_PAUSE: Final = 0.002
"""Seconds between two looks at work just submitted."""

MAX_PAUSE: Final = 0.05
"""Seconds between two looks at work that takes long."""

PAUSE_SHARE: Final = 0.1
"""The next look comes after so much of the time the work has taken already."""

EXIT_SECONDS: Final = 2.0
"""How long interpreter exit waits for work under way."""


class Submission(NamedTuple):
    """Work handed to a queue."""

    telemetry: MetalTelemetryManager
    name: str
    device: str
    start_ns: int

    def completed(self, error: MetalError | None = None) -> None:
        """Record it as ended now."""
        self.telemetry.record(
            "execute",
            self.name,
            duration_ns=time.perf_counter_ns() - self.start_ns,
            error=error,
            device=self.device,
        )


Followed = tuple[Submission, "weakref.ref[Any]"]

_abandoned: list[dict[str, Any]] = []
"""What a forked child has from its parent and must not touch."""


class Completions:
    """Follows submissions to their end.

    Args:
        ffi: that of ``wgpu.backends.wgpu_native``.
        lib: likewise.
    """

    def __init__(self, ffi: Any, lib: Any) -> None:
        self._ffi = ffi
        self._lib = lib
        # Kept for the life of the process: wgpu-native may hold its address that long.
        self._callback = ffi.callback("WGPUQueueWorkDoneCallback", self._done)
        self._pointer, self._integer = ffi.typeof("void *"), ffi.typeof("intptr_t")
        self._success = lib.WGPUQueueWorkDoneStatus_Success
        self._begin()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget what is under way; in a forked child there is no thread to look at it."""
        _abandoned.append(vars(self).copy())
        self._begin()

    def _begin(self) -> None:
        self._keys = itertools.count(1)
        self._followed: dict[int, Followed] = {}
        self._thread: threading.Thread | None = None
        # Re-entrant: a signal handler may submit work while its thread is in here.
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stopping = False
        self._infos = threading.local()

    def follow(self, submission: Submission, queue: Any) -> None:
        """Record ``submission`` once ``queue`` has done all it was given until now.

        Where it cannot be followed, it is recorded as ended with the call.
        """
        if len(self._followed) >= MAX_FOLLOWED or self._stopping:
            submission.completed()
            return
        key = next(self._keys)
        # Weakly: the program alone decides how long its device lives.
        self._followed[key] = (submission, weakref.ref(queue._device))
        try:
            self._register(queue, key)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            submission.telemetry.internal_error(ROOM, error)
            self._end(key)
            return
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._start()

    def settle(self, timeout: float) -> bool:
        """Wait until all that was submitted so far is recorded; false where time ran out."""
        deadline = time.monotonic() + timeout
        mine = tuple(self._followed)
        pause = MIN_PAUSE / 8
        while True:
            self._look()
            if not any(key in self._followed for key in mine):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    def _register(self, queue: Any, key: int) -> None:
        # Passed by value, so one for each thread will do.
        try:
            info = self._infos.one
        except AttributeError:
            info = self._infos.one = self._ffi.new("WGPUQueueWorkDoneCallbackInfo *")
            info.mode = self._lib.WGPUCallbackMode_AllowProcessEvents
            info.callback = self._callback
        info.userdata1 = self._ffi.cast(self._pointer, key)
        self._lib.wgpuQueueOnSubmittedWorkDone(queue._internal, info[0])

    def _done(self, status: int, *rest: Any) -> None:
        # The last two are the user data; whether there is a message before them, versions differ.
        key = int(self._ffi.cast(self._integer, rest[-2]))
        self._end(key, None if status == self._success else MetalError.INTERNAL_ERROR)

    def _end(self, key: int, error: MetalError | None = None) -> None:
        followed = self._followed.pop(key, None)
        if followed is not None:
            followed[0].completed(error)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(
                target=self._run, args=(self._wake,), name="metalscope-webgpu", daemon=True
            )
            self._thread.start()
            atexit.register(self._stop)

    def _stop(self) -> None:
        # The thread must not be in wgpu-native while the interpreter is being taken down.
        self.settle(EXIT_SECONDS)
        self._stopping = True
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(EXIT_SECONDS)

    def _run(self, wake: threading.Event) -> None:
        while not self._stopping:
            wake.wait()
            wake.clear()
            pause = MIN_PAUSE
            while self._followed and not self._stopping:
                time.sleep(pause)
                age = self._age()
                if age >= MIN_PAUSE:
                    self._look()
                pause = min(max(MIN_PAUSE, PAUSE_SHARE * age), MAX_PAUSE)

    def _age(self) -> float:
        """Seconds since the earliest submission under way; 0 where there is none."""
        for submission, _ in self._followed.copy().values():
            return (time.perf_counter_ns() - submission.start_ns) / 1e9
        return 0.0

    def _look(self) -> None:
        """Poll every device that has work under way, which calls back for what is done."""
        seen: set[int] = set()
        for key, (submission, reference) in self._followed.copy().items():
            device = reference()
            if device is None:
                # Let go by the program: nobody will be told any more.
                self._end(key)
            elif id(device) not in seen:
                seen.add(id(device))
                _poll(self._lib, self._ffi, device, submission.telemetry.internal_error)


def _poll(
    lib: Any, ffi: Any, device: Any, internal_error: Callable[[str, BaseException], None]
) -> None:
    try:
        if device._internal is not None:
            lib.wgpuDevicePoll(device._internal, False, ffi.NULL)
    except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
        internal_error(ROOM, error)
