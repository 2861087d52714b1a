"""Be told the moment a module has been imported, before the importing code sees it."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

__all__ = ["ImportHook"]


class ImportHook(importlib.abc.MetaPathFinder):
    """Calls a function at the end of the import of each of some modules.

    Args:
        then: by full module name, what to call; it must not raise. It runs within the import, so
            ``from module import name`` gets what it put there.
    """

    def __init__(self, then: Mapping[str, Callable[[], None]]) -> None:
        self._then = then
        self._asking = threading.local()

    def install(self) -> None:
        """Watch imports from now on."""
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Watch imports no more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Have the other finders find the module, and put our loader before theirs."""
        then = self._then.get(fullname)
        if then is None or getattr(self._asking, "now", False):
            return None
        self._asking.now = True
        try:
            spec = _ask_others(self, fullname, path, target)
        finally:
            self._asking.now = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _ThenLoader(spec.loader, then)  # type: ignore[assignment]
        return spec


def _ask_others(
    hook: ImportHook, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> importlib.machinery.ModuleSpec | None:
    for finder in list(sys.meta_path):
        find_spec = getattr(finder, "find_spec", None)
        if finder is hook or find_spec is None:
            continue
        spec: importlib.machinery.ModuleSpec | None = find_spec(fullname, path, target)
        if spec is not None:
            return spec
    return None


class _ThenLoader:
    """A module's own loader, and one call after it. It takes itself out of the module's spec."""

    def __init__(self, loader: Any, then: Callable[[], None]) -> None:
        self._loader = loader
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then()
