from __future__ import annotations

import asyncio

import pytest
import textual.app
import textual.pilot

QUIET_ROUNDS = 3
ROUND_SECONDS = 0.001


async def nothing_is_left_to_do(*_: float) -> None:
    """Go on when the event loop has nothing but timers and sockets to wait for.

    Textual goes on when the process used little processor time for 20 ms: twice a key.
    """
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    quiet = 0
    while quiet < QUIET_ROUNDS:
        await asyncio.sleep(ROUND_SECONDS)
        quiet = quiet + 1 if not ready else 0


@pytest.fixture(autouse=True)
def no_waiting_for_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (textual.app, textual.pilot):
        monkeypatch.setattr(module, "wait_for_idle", nothing_is_left_to_do)
