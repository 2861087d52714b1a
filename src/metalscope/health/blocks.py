"""Which blocks of circuit breakers are open where the program stands, by thread and by task."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

__all__ = ["Block", "enter", "leave"]


class Block:
    """One ``with`` block of a breaker, and the block around it, of whichever breaker.

    ``era`` is what its call was let in under; ``None`` where the block is a part of a call that an
    outer block of the same breaker stands for. ``term`` is the breaker's at that time.
    """

    __slots__ = ("breaker", "era", "outer", "running", "term")

    def __init__(self, breaker: object, era: int | None, outer: Block | None, term: int) -> None:
        self.breaker = breaker
        self.era = era
        self.outer = outer
        self.term = term
        self.running = era is not None


# A thread begins without one. A task, and a function in `asyncio.to_thread`, begins within the
# blocks of who started it.
_innermost: Final[ContextVar[Block | None]] = ContextVar("metalscope_breaker_block", default=None)


def enter(breaker: object, term: int, admit: Callable[[], int]) -> None:
    """Open a block inside the innermost one.

    It is a part of a call of the same breaker that was entered in the same term and goes on here;
    where there is none it is a call, and ``admit`` gives its era, or raises.
    """
    outer = _innermost.get()
    part = outer is not None and _part_of_a_call(outer, breaker, term)
    _innermost.set(Block(breaker, None if part else admit(), outer, term))


def leave(breaker: object) -> Block | None:
    """Close the innermost block of this breaker; ``None`` where it was not entered here.

    That is so where a generator that holds a block is ended by another thread or task than the one
    that ran it to there.
    """
    block = _innermost.get()
    if block is None or block.breaker is not breaker:
        return _leave_out_of_order(breaker, block)
    _innermost.set(block.outer)
    block.running = False
    return block


def _part_of_a_call(outer: Block | None, breaker: object, term: int) -> bool:
    while outer is not None:
        if outer.breaker is breaker and outer.running and outer.term == term:
            return True
        outer = outer.outer
    return False


def _leave_out_of_order(breaker: object, inner: Block | None) -> Block | None:
    """Close a block under others: generators that hold some may end in any order."""
    while inner is not None:
        block = inner.outer
        if block is not None and block.breaker is breaker:
            inner.outer = block.outer
            block.running = False
            return block
        inner = block
    return None
