"""The health servicer of ``grpcio-health-checking``, kept from blocking the server it serves in.

As it comes, it sends to watchers while it holds the lock that a closing watcher's callback needs.
That callback runs on the one thread of the server that would also report the message as sent: where
a status changes as a watcher leaves, the whole server stands still (seen with 1.85.1; an outline of
the same is in https://github.com/grpc/grpc/pull/43403). Its other way, in which each watcher is an
iterator on a thread of its own, holds nothing while it sends. That is taken here, with threads that
are not the server's, so that watchers take none of them from other calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse

__all__ = ["MAX_WATCHERS", "Servicer"]

MAX_WATCHERS: Final = 100
"""Open ``Watch`` calls; the next one is refused with ``RESOURCE_EXHAUSTED``."""


class Servicer(health.HealthServicer):
    """A servicer whose ``set`` never waits for a watcher."""

    def __init__(self) -> None:
        super().__init__(experimental_non_blocking=False, experimental_thread_pool=_ThreadEach())
        self._watchers = 0
        self._watchers_lock = threading.Lock()

    # A function of its own: the settings above are kept at it, and those of another servicer in
    # this process at the one it inherits.
    def Watch(  # type: ignore[override]  # noqa: N802 - gRPC's name, and one of its two ways
        self, request: Any, context: Any, send_response_callback: Any = None
    ) -> Iterator[HealthCheckResponse]:
        """Stream the status of a service, now and at each change."""
        with self._watchers_lock:
            refused = self._watchers >= MAX_WATCHERS
            self._watchers += not refused
        if refused:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {MAX_WATCHERS} watch already"
            )
        if not context.add_callback(self._left):
            self._left()
        answers: Iterator[HealthCheckResponse] = super().Watch(
            request, context, send_response_callback
        )
        return answers

    def _left(self) -> None:
        with self._watchers_lock:
            self._watchers -= 1


class _ThreadEach(ThreadPoolExecutor):
    """A daemon thread for each call.

    gRPC takes nothing but an executor, and those of the standard library are waited for at the
    interpreter's end, which a watcher would hold up for ever.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            future.set_running_or_notify_cancel()
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it is the future's to tell
                future.set_exception(error)

        try:
            threading.Thread(target=work, name="metalscope-grpc-watch", daemon=True).start()
        except RuntimeError as error:  # at the limit of threads: the caller's deadline ends it
            future.set_exception(error)
        return future
