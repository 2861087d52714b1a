"""What is to be done when the process ends, by whichever way it does."""

from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Ends", "at_end", "at_end_of_child"]


class Ends(Protocol):
    """What has something left to do at the end."""

    def at_exit(self) -> None:
        """Do it; the interpreter ends after this."""
        ...


def at_end(one: Ends) -> None:
    """Have ``one.at_exit()`` called when this process ends, unless it is gone by then."""
    call = _calling(one)
    atexit.register(call)
    weakref.finalize(one, atexit.unregister, call).atexit = False
    at_end_of_child(one)
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _by_multiprocessing(one)


def at_end_of_child(one: Ends) -> None:
    """The same for a child that is just being forked, and for those forked later.

    Those of ``multiprocessing`` run no exit handlers of the interpreter, only its own, which they
    begin anew when they have read what they are to do.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None and one not in _known:
        _known.add(one)  # as the registry of multiprocessing, it comes along to children
        util.register_after_fork(one, _by_multiprocessing)


_known: weakref.WeakSet[Ends] = weakref.WeakSet()


def _by_multiprocessing(one: Ends) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _calling(one), exitpriority=0)


def _calling(one: Ends) -> Callable[[], None]:
    known = weakref.ref(one)

    def call() -> None:
        there = known()
        if there is not None:
            there.at_exit()

    return call
