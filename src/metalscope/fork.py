"""After a fork the child counts from zero: what the parent counted is the parent's to tell."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["StartsAgain", "StartsAtZero", "reset_in_child", "restart_in_child"]


class StartsAtZero(Protocol):
    """Something that can be put back to its first state."""

    def start_at_zero(self) -> None:
        """Forget all counts, and make new locks: a thread that held one may not be in the child."""
        ...


class StartsAgain(Protocol):
    """Something that goes on in a child."""

    def start_in_child(self) -> None:
        """Start again, after everything was put back to zero."""
        ...


_registered: weakref.WeakSet[StartsAtZero] = weakref.WeakSet()


_restarted: weakref.WeakSet[StartsAgain] = weakref.WeakSet()


def reset_in_child(one: StartsAtZero) -> None:
    """Have ``one.start_at_zero()`` called in every child that this process forks."""
    _registered.add(one)


def restart_in_child(one: StartsAgain) -> None:
    """Have ``one.start_in_child()`` called in every child, when all counts are zero."""
    _restarted.add(one)


def _after_fork() -> None:
    for one in list(_registered):
        one.start_at_zero()
    for again in list(_restarted):
        again.start_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
