"""One reading for all who ask the same at about the same time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from metalscope.server.writing import RefusedError

if TYPE_CHECKING:
    from metalscope.server.source import Asker

__all__ = ["JoinedAnswers", "Refusal"]

FRESH_SECONDS: Final = 1.0
"""How long an answer is given again."""

MOST_ANSWERS: Final = 64
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of all answers that are kept; a larger one is given to those who wait for it and forgotten."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A question that is answered with an error: the status code, and why."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: bytes | Refusal
    until: float

    @property
    def size(self) -> int:
        return len(self.answer if isinstance(self.answer, bytes) else self.answer.detail)


class JoinedAnswers:
    """Asks a question once for all who ask it until a second after it was answered.

    For use on one event loop.

    Args:
        asker: runs the questions off the loop.
        now: seconds that only ever grow.
    """

    def __init__(self, asker: Asker, *, now: Callable[[], float] = monotonic) -> None:
        self._asker = asker
        self._now = now
        self._asked: dict[str, asyncio.Task[bytes | Refusal]] = {}
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    async def ask(self, name: str, question: Callable[[], bytes | Refusal]) -> bytes:
        """What ``question()`` returns, or returned to another.

        Args:
            name: the same for the same question, and for no other.
            question: asked on another thread, or not at all.

        Raises:
            RefusedError: that is a refusal.
            TimeoutError: it takes too long.
        """
        self._forget_old()
        kept = self._kept.get(name)
        answer = await self._join(name, question) if kept is None else kept.answer
        if isinstance(answer, Refusal):
            raise RefusedError(answer.status, answer.detail)
        return answer

    async def _join(self, name: str, question: Callable[[], bytes | Refusal]) -> bytes | Refusal:
        asked = self._asked.get(name)
        if asked is None or asked.get_loop() is not asyncio.get_running_loop():
            asked = asyncio.create_task(self._asker.ask(question))
            self._asked[name] = asked
            asked.add_done_callback(lambda task: self._settle(name, task))
        # Whoever goes away leaves the others their answer.
        return await asyncio.shield(asked)

    def _settle(self, name: str, task: asyncio.Task[bytes | Refusal]) -> None:
        if self._asked.get(name) is task:
            del self._asked[name]
        # The error is looked at here, so that it is not told of where all who waited have gone.
        if task.cancelled() or task.exception() is not None:
            return
        kept = _Kept(task.result(), self._now() + FRESH_SECONDS)
        if kept.size > MOST_BYTES:
            return
        self._drop(name)
        self._kept[name] = kept
        self._bytes += kept.size
        task.get_loop().call_later(FRESH_SECONDS, self._forget_old)
        while len(self._kept) > MOST_ANSWERS or self._bytes > MOST_BYTES:
            self._drop(next(iter(self._kept)))

    def _forget_old(self) -> None:
        now = self._now()
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._drop(next(iter(self._kept)))

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._bytes -= kept.size
