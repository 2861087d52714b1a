"""Calls of an exporter on a thread of its own, so that one that hangs holds up nothing else."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import copy_context
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from metalscope.sending.attempt import tried
from metalscope.sending.calls import CallThread
from metalscope.sending.result import ExportResult

if TYPE_CHECKING:
    from metalscope.export.base import MetricsExporter
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["AttemptThread", "Attempts"]


class Attempts(Protocol):
    """Where an exporter is called."""

    def export(self, snapshot: MetalTelemetrySnapshot) -> Future[ExportResult]:
        """Begin one export. The future never fails: what the exporter raises is in the result."""
        ...

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Tell the exporter, before the next export, what the peer has as the last."""
        ...

    def close(self, timeout: float) -> None:
        """Have the exporter let go of what it has, and wait for that so many seconds."""
        ...


class AttemptThread:
    """Calls an exporter, sync or async, on one daemon thread, one call at a time.

    Args:
        exporter: what is called.
        timeout: when an async export is cancelled. A sync one cannot be: whoever waits for the
            future gives up on it.
        on_error: told of what the exporter raises, as (room, exception).
    """

    def __init__(
        self,
        exporter: MetricsExporter,
        *,
        timeout: timedelta,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._exporter = exporter
        self._timeout = timeout.total_seconds()
        self._on_error = on_error
        self._calls = CallThread("metalscope-export")
        self._loop: asyncio.Runner | None = None

    def export(self, snapshot: MetalTelemetrySnapshot) -> Future[ExportResult]:
        """Begin one export."""
        return self._calls.begin(lambda: self._result(snapshot))

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Tell the exporter what the peer has as the last."""
        self._calls.begin(lambda: self._resume(delivered))

    def close(self, timeout: float) -> None:
        """Let the exporter shut down; where it does not within ``timeout`` s it is left behind."""
        if not self._calls.has_begun:
            # Never called: it holds nothing that another thread made.
            self._shutdown()
            return
        done = self._calls.begin(self._shutdown_and_let_go)
        self._calls.end()
        try:
            done.result(timeout)
        except TimeoutError as error:
            self._on_error("export", error)

    def _result(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        return tried(
            lambda: self._awaited(self._exporter.export(snapshot)),
            self._timeout,
            lambda error: self._on_error("export", error),
        )

    def _resume(self, delivered: MetalTelemetrySnapshot) -> None:
        try:
            self._exporter.resume(delivered)
        except Exception as error:  # noqa: BLE001 - as above
            self._on_error("export", error)

    def _shutdown(self) -> None:
        try:
            self._awaited(self._exporter.shutdown())
        except Exception as error:  # noqa: BLE001 - as above
            self._on_error("export", error)

    def _shutdown_and_let_go(self) -> None:
        self._shutdown()
        if self._loop is not None:
            self._loop.close()

    def _awaited(self, value: Any) -> Any:
        if not inspect.isawaitable(value):
            return value
        if self._loop is None:
            # One loop for all calls, as async clients belong to the loop they were made in.
            self._loop = asyncio.Runner()
        # Else the loop would keep the context, and with it the deadline, of the first call.
        call = _cancelled_after(value, self._timeout)
        return self._loop.run(call, context=copy_context())


async def _cancelled_after(value: Awaitable[Any], timeout: float) -> Any:
    async with asyncio.timeout(timeout):
        return await value
