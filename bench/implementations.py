"""metalscope twice in one process: with its compiled core and in pure Python.

Which of the two is used is chosen when the package is imported. So it is imported twice, and each
copy is kept out of the other's sight: both then run in the same rounds on the same machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from types import ModuleType

PURE = "METALSCOPE_PURE_PYTHON"

_copies: dict[bool, dict[str, ModuleType]] = {}


@contextmanager
def implementation(*, pure: bool) -> Iterator[ModuleType]:
    """Make one copy of ``metalscope`` the imported one; make what you need of it in here."""
    before = _take_out()
    sys.modules.update(_copies.get(pure, {}))
    variable = os.environ.pop(PURE, None)
    if pure:
        os.environ[PURE] = "1"
    try:
        yield import_module("metalscope")
    finally:
        _copies[pure] = _take_out()
        sys.modules.update(before)
        os.environ.pop(PURE, None)
        if variable is not None:
            os.environ[PURE] = variable


def has_compiled_core() -> bool:
    """Whether metalscope finds a compiled core here."""
    with implementation(pure=False) as package:
        package.MetalTelemetryManager()
        return any(
            isinstance(getattr(module.__spec__, "loader", None), ExtensionFileLoader)
            for name, module in sys.modules.items()
            if _is_ours(name)
        )


def _take_out() -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if _is_ours(name)}


def _is_ours(name: str) -> bool:
    return name == "metalscope" or name.startswith("metalscope.")
