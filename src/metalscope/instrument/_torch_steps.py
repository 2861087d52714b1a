"""The steps of optimizers, of all their classes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from metalscope.instrument._patch import Patches
from metalscope.instrument._torch_calls import Calls, Level

__all__ = ["Steps"]


class Steps:
    """Wraps ``step`` in every class of optimizer the program uses.

    PyTorch itself replaces ``step`` in a class when the first of its optimizers is made, so ours
    goes around it after that. The hooks PyTorch offers for steps are not told of one that fails.

    Args:
        calls: makes the wrappers.
        level: that of steps.
        patches: where the wrapping is noted.
    """

    def __init__(self, calls: Calls, level: Level, patches: Patches) -> None:
        self._calls = calls
        self._level = level
        self._patches = patches

    def install(self, optimizer: type[Any]) -> None:
        """Wrap the steps of the classes below ``optimizer``, now or when they are first used."""
        for one in _below(optimizer):
            self._wrap(one)
        original: Callable[[Any], None] = optimizer._patch_step_function

        @functools.wraps(original)
        def patch_step_function(self_: Any) -> None:
            original(self_)
            self._wrap(type(self_))

        self._patches.replace(optimizer, "_patch_step_function", patch_step_function)

    def _wrap(self, optimizer: type[Any]) -> None:
        step = vars(optimizer).get("step")
        if getattr(step, "hooked", False) and not getattr(step, "_metalscope", False):
            wrapper: Any = self._calls.outermost(step, _describe, self._level)
            wrapper._metalscope = True
            self._patches.replace(optimizer, "step", wrapper)


def _below(optimizer: type[Any]) -> list[type[Any]]:
    found: list[type[Any]] = []
    for one in optimizer.__subclasses__():
        if one not in found:
            found += [one, *_below(one)]
    return list(dict.fromkeys(found))


def _describe(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[str, Any]:
    optimizer = args[0]
    return f"{type(optimizer).__name__}.step", optimizer.param_groups
