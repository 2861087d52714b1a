"""Be told when a promise of wgpu's is kept or broken, without waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["when_settled"]


def when_settled(promise: Any, then: Callable[[BaseException | None], None]) -> None:
    """Call ``then`` once, with the failure or ``None``, the moment wgpu says how it ended.

    On whichever thread that is; at once, if it has been. ``then`` must not raise. The promise's own
    ``then()`` is no help: it needs a running loop, and makes the program's promise another one.
    """
    todo = [then]

    def settle(failure: BaseException | None) -> None:
        try:
            once = todo.pop()
        except IndexError:
            return
        # They refer to the promise, which refers to them.
        vars(promise).pop("_wgpu_set_input", None)
        vars(promise).pop("_wgpu_set_error", None)
        once(failure)

    kept, broken = promise._wgpu_set_input, promise._wgpu_set_error

    def set_input(result: Any) -> None:
        settle(None)
        kept(result)

    def set_error(error: Any) -> None:
        settle(error if isinstance(error, Exception) else RuntimeError(str(error)))
        broken(error)

    promise._wgpu_set_input = set_input
    promise._wgpu_set_error = set_error
    # It may have ended before, or on another thread just now: whoever comes first tells it.
    state = promise._state
    if state != "pending":
        settle(promise._value if state.endswith("rejected") else None)
