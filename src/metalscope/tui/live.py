"""A running process as a source: asked again and again, on a thread of its own.

The thread keeps a slow network off the event loop, and is one that the interpreter does not wait
for at its end. A snapshot that was not drawn before the next one came is skipped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from time import monotonic
from typing import Final

from metalscope.session import SourceUnavailableError, fetch_snapshot
from metalscope.tui.source import Arrived, Lost, Update

__all__ = ["LiveSource"]

PATIENCE_SECONDS: Final = 10.0
"""How long an answer may take."""

LONGEST_PAUSE_SECONDS: Final = 3.0
"""Between two attempts where nothing answers; the pause doubles up to this."""


class LiveSource:
    """Fetches the snapshots of one process.

    Args:
        address: where it serves its telemetry, without a slash at the end.
        every: seconds from one snapshot to the next.
    """

    def __init__(self, address: str, *, every: float) -> None:
        self._address = address
        self._every = every

    @property
    def label(self) -> str:
        """The address."""
        return self._address

    async def updates(self) -> AsyncIterator[Update]:
        """Snapshots, and why there is none, for as long as anyone listens."""
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        newest: list[Update] = []
        closed = threading.Event()

        def tell(update: Update) -> None:
            newest[:] = [update]
            wake.set()

        def work() -> None:
            pause = self._every
            while not closed.is_set():
                began = monotonic()
                update = self._ask()
                with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                    loop.call_soon_threadsafe(tell, update)
                is_there = isinstance(update, Arrived)
                pause = self._every if is_there else min(2 * pause, LONGEST_PAUSE_SECONDS)
                closed.wait(max(0.0, pause - (monotonic() - began)))

        threading.Thread(target=work, name=f"metalscope-top {self._address}", daemon=True).start()
        try:
            while True:
                await wake.wait()
                wake.clear()
                yield newest[0]
        finally:
            closed.set()

    def _ask(self) -> Update:
        try:
            return Arrived(fetch_snapshot(self._address, timeout=PATIENCE_SECONDS))
        except SourceUnavailableError as error:
            # The view names the address already.
            return Lost(str(error).removeprefix(f"cannot fetch from {self._address}: "))
        except Exception as error:  # noqa: BLE001 - told to the person; the thread lives on
            return Lost(f"its answer cannot be read ({type(error).__name__}: {error})")
