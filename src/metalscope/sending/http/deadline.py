"""One deadline for all that an export does, however many reads, writes and look-ups that is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["remaining", "within"]

# A moment of the monotonic clock.
_deadline: ContextVar[float | None] = ContextVar("metalscope_export_deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is sent in this block has ``seconds`` in all; within another such block, no longer."""
    mine, outer = time.monotonic() + seconds, _deadline.get()
    token = _deadline.set(mine if outer is None else min(mine, outer))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float | None:
    """Seconds that are left; ``None`` where there is no deadline.

    Raises:
        TimeoutError: none are left.
    """
    deadline = _deadline.get()
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left
