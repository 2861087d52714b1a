"""What the server needs of telemetry, and how it asks without holding up its event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from metalscope.report import MetalProductionReport
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Asker", "TelemetrySource"]

T = TypeVar("T")


class TelemetrySource(Protocol):
    """The part of :class:`~metalscope.manager.MetalTelemetryManager` that the server uses."""

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        """Collect now; called on threads of the server's own."""
        ...

    def generate_report(self) -> MetalProductionReport:
        """Collect now and analyse; called on threads of the server's own."""
        ...

    def subscribe(
        self, consumer: Callable[[MetalTelemetrySnapshot], None], /
    ) -> Callable[[], None]:
        """Call ``consumer`` with a snapshot each tick; return what ends that."""
        ...

    def internal_error(self, room: str, error: BaseException, /) -> None:
        """Count a failure of the server's own."""
        ...


class Asker:
    """Runs blocking questions on daemon threads, a bounded number at a time.

    The pools of asyncio and anyio have threads that the interpreter waits for at its exit, so one
    sensor that never answers would hold the host program open; these it does not wait for.
    """

    def __init__(self, *, at_once: int, patience: float) -> None:
        """Let ``at_once`` questions run together and wait ``patience`` seconds for an answer."""
        self._free = asyncio.Semaphore(at_once)
        self._patience = patience

    async def ask(self, question: Callable[[], T]) -> T:
        """Return what ``question()`` returns; raise what it raises.

        Raises:
            TimeoutError: there is no answer within the patience, the wait for a turn included.
        """
        async with asyncio.timeout(self._patience):
            await self._free.acquire()
            return await self._start(question)

    def _start(self, question: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            self._free.release()
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # None only with an error

        def work() -> None:
            result, failure = None, None
            try:
                result = question()
            except BaseException as error:  # noqa: BLE001 - handed to the one who asked
                failure = error
            with suppress(RuntimeError):  # the loop closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(settle, result, failure)

        try:
            threading.Thread(target=work, name="metalscope-http-ask", daemon=True).start()
        except RuntimeError:  # no thread to be had: the program is ending, or is at its limit
            self._free.release()
            raise
        return answer
