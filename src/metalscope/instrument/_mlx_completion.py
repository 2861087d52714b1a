"""Sees when work that ``mx.async_eval`` submitted is complete, without the program waiting for it.

MLX tells nobody when an asynchronous evaluation ends, and the program's arrays must not be touched
from another thread: waiting on an array changes it. So a marker of ours is put behind the work: a
one-element array that depends on the submitted arrays, on a CPU stream of ours which does nothing
else. Only that stream waits for the work; the program's streams and the GPU never see the marker.
A thread of ours then waits on the marker, which nobody else holds.
"""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope.fork import reset_in_child

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["MAX_MARKERS", "Completions", "Submission"]

MAX_MARKERS: Final = 24
"""Markers under way at once.

MLX makes the program wait while more than 10 tasks are active (``MAX_ACTIVE_TASKS``), and counts
one for every 10 things a CPU stream is given; a marker is three. 24 markers stay below that.
"""

MAX_UNMARKED: Final = 4096
"""Submissions without a marker of their own that are kept for the next marker."""

EXIT_SECONDS: Final = 5.0
"""How long interpreter exit waits for work under way.

The thread must not come out of MLX while the interpreter is being taken down.
"""


class Submission(NamedTuple):
    """One asynchronous evaluation under way."""

    telemetry: MetalTelemetryManager
    name: str
    start_ns: int
    nbytes: int
    device: str

    def completed(self, error: BaseException | None = None) -> None:
        """Record it as ended now."""
        self.telemetry.record(
            "execute",
            self.name,
            duration_ns=perf_counter_ns() - self.start_ns,
            nbytes=self.nbytes,
            error=error,
            device=self.device,
        )


class _WorkFailed(Exception):  # noqa: N818 - the failure is the program's
    """The work of the program has failed, and MLX said so when the marker was submitted."""

    def __init__(self, failure: RuntimeError) -> None:
        self.failure = failure


class _Markers(threading.local):
    stream: Any = None
    seed: Any = None


Job = tuple[Any, list[Submission]]

_abandoned: list[dict[str, Any]] = []
"""What a forked child has from its parent and must not touch."""


class Completions:
    """Follows submissions to their end.

    Args:
        mx: the module ``mlx.core``.
        evaluate: MLX's own ``eval``.
        async_eval: MLX's own ``async_eval``.
    """

    def __init__(
        self, mx: Any, evaluate: Callable[..., Any], async_eval: Callable[..., Any]
    ) -> None:
        self._mx = mx
        self._eval = evaluate
        self._async_eval = async_eval
        self._begin()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget what is under way; in a forked child there is no thread to wait for it."""
        # Not freed: a thread that is not in the child may have held the lock of MLX's allocator.
        _abandoned.append(vars(self).copy())
        self._begin()

    def _begin(self) -> None:
        # Re-entrant: a signal handler may submit work while its thread is in here.
        self._lock = threading.RLock()
        self._jobs: queue.SimpleQueue[Job | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._markers = _Markers()
        self._under_way = 0
        self._unmarked: list[Submission] = []

    def follow(self, submission: Submission, arrays: Sequence[Any]) -> RuntimeError | None:
        """Record ``submission`` once ``arrays`` are there. Call on the thread that submitted them.

        Returns the failure of earlier work where MLX hands it over here: MLX reports a failure
        once, to whoever touches the array or its stream next, and that was to be the program.
        """
        if not arrays:
            submission.completed()
            return None
        submissions = self._admit(submission)
        if not submissions:
            return None
        failure: RuntimeError | None = None
        try:
            self._hand_over((self._marker(arrays), submissions))
        except _WorkFailed as error:
            failure = error.failure
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            submission.telemetry.internal_error("instrument.mlx", error)
        else:
            return None
        with self._lock:
            self._under_way -= 1
        _completed(submissions, failure)
        return failure

    def settle(self, timeout: float) -> bool:
        """Wait until all that was submitted so far is recorded; false where time ran out."""
        with self._lock:
            if self._thread is None or self._thread is threading.current_thread():
                return True
            if self._unmarked:
                self._under_way += 1
                self._jobs.put((None, self._unmarked))
                self._unmarked = []
            self._jobs.put(settled := threading.Event())
        return settled.wait(timeout)

    def _marker(self, arrays: Sequence[Any]) -> Any:
        markers = self._markers
        if markers.stream is None:
            self._open_stream()
        try:
            return self._submit_marker(arrays)
        except RuntimeError as error:
            # Either earlier work failed, or mx.clear_streams() took our stream away.
            if self._stream_works():
                raise _WorkFailed(error) from None
            self._open_stream()
            return self._submit_marker(arrays)

    def _submit_marker(self, arrays: Sequence[Any]) -> Any:
        mx, markers = self._mx, self._markers
        # depends() runs where its first input does, so that one is put on our stream.
        own = mx.expand_dims(markers.seed, 0, stream=markers.stream)
        (marker,) = mx.depends([own], list(arrays))
        self._async_eval(marker)
        return marker

    def _open_stream(self) -> None:
        # MLX's streams belong to the thread that made them.
        self._markers.stream = self._mx.new_stream(self._mx.cpu)
        self._markers.seed = self._mx.array(0)

    def _stream_works(self) -> bool:
        try:
            probe = self._mx.expand_dims(self._markers.seed, 0, stream=self._markers.stream)
            self._async_eval(probe)
        except RuntimeError:
            return False
        return True

    def _admit(self, submission: Submission) -> list[Submission]:
        """What the next marker stands for, the new submission last; nothing while it must wait."""
        with self._lock:
            if self._under_way >= MAX_MARKERS and len(self._unmarked) < MAX_UNMARKED:
                self._unmarked.append(submission)
                return []
            self._under_way += 1
            submissions, self._unmarked = [*self._unmarked, submission], []
            return submissions

    def _hand_over(self, job: Job) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, args=(self._jobs,), name="metalscope-mlx", daemon=True
                )
                self._thread.start()
                atexit.register(self.settle, EXIT_SECONDS)
            self._jobs.put(job)

    def _run(self, jobs: queue.SimpleQueue[Job | threading.Event]) -> None:
        while True:
            job = jobs.get()
            if isinstance(job, threading.Event):
                job.set()
                continue
            marker, submissions = job
            failure: BaseException | None = None
            try:
                if marker is not None:
                    self._eval(marker)
            except Exception as error:  # noqa: BLE001 - the failure of the work, recorded below
                failure = error
            _completed(submissions, failure)
            with self._lock:
                self._under_way -= 1
            # Nothing may be kept alive while this thread waits for the next job.
            del job, marker, submissions, failure


def _completed(submissions: list[Submission], failure: BaseException | None) -> None:
    *earlier, last = submissions
    for one in earlier:
        one.completed()
    last.completed(failure)
