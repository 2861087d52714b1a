"""After a fork the child counts from zero: what the parent counted is the parent's to tell."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["StartsAtZero", "reset_in_child"]


class StartsAtZero(Protocol):
    """Something that can be put back to its first state."""

    def start_at_zero(self) -> None:
        """Forget all counts, and make new locks: a thread that held one may not be in the child."""
        ...


_registered: weakref.WeakSet[StartsAtZero] = weakref.WeakSet()


def reset_in_child(one: StartsAtZero) -> None:
    """Have ``one.start_at_zero()`` called in every child that this process forks."""
    _registered.add(one)


def _after_fork() -> None:
    for one in list(_registered):
        one.start_at_zero()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
