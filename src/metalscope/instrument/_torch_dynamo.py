"""Keep Dynamo, the compiler behind ``torch.compile``, from compiling our own functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

__all__ = ["can_keep_out", "keep_out"]

_OURS: Final = "metalscope"


def can_keep_out(torch: Any) -> bool:
    """Whether this PyTorch can be told so."""
    return _skipper(torch) is not None


def keep_out(torch: Any) -> None:
    """Mark the functions of metalscope loaded so far as not to be compiled.

    Dynamo takes up every Python function that runs below a compiled one, ours too, when it is
    called where the graph is broken. Marked, they run as they are. What a compiled function calls
    is traced through them all the same, so that no graph breaks because of us.
    """
    skip = _skipper(torch)
    if skip is None:
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == _OURS and module is not None:
            for code in _codes_of(module):
                skip(code)


def _skipper(torch: Any) -> Callable[[CodeType], None] | None:
    # What torch._dynamo.eval_frame.skip_code is made of; importing that would import Dynamo.
    frames = torch._C._dynamo.eval_frame
    try:
        action = frames._FrameAction
        strategy = frames._FrameExecStrategy(action.SKIP, action.DEFAULT)
        set_strategy = frames.set_code_exec_strategy
    except AttributeError:
        older: Callable[[CodeType], None] | None = getattr(frames, "skip_code", None)
        return older
    return lambda code: set_strategy(code, strategy)


def _codes_of(module: ModuleType) -> Iterator[CodeType]:
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        members = list(vars(value).values()) if isinstance(value, type) else [value]
        for member in members:
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(function, FunctionType):
                yield from _nested(function.__code__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
