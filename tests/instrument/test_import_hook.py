from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from metalscope.instrument._import_hook import ImportHook


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that can be imported and has not been."""
    name = "library_to_hook"
    (tmp_path / f"{name}.py").write_text("value = 'bare'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def replace_value(name: str) -> None:
    sys.modules[name].value = "replaced"  # type: ignore[attr-defined]


def test_the_importing_code_already_sees_what_the_hook_did(library: str) -> None:
    hook = ImportHook({library: lambda: replace_value(library)})
    hook.install()
    try:
        namespace: dict[str, object] = {}
        exec(f"from {library} import value", namespace)
    finally:
        hook.remove()
    assert namespace["value"] == "replaced"


def test_the_module_keeps_its_own_loader(library: str) -> None:
    hook = ImportHook({library: lambda: None})
    hook.install()
    try:
        module = importlib.import_module(library)
    finally:
        hook.remove()
    bare = importlib.util.spec_from_file_location(library, module.__file__)
    assert bare is not None
    assert type(module.__loader__) is type(bare.loader)
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__


def test_looking_for_a_module_does_not_run_the_hook(library: str) -> None:
    calls: list[int] = []
    hook = ImportHook({library: lambda: calls.append(1)})
    hook.install()
    try:
        spec = importlib.util.find_spec(library)
        assert spec is not None
        assert spec.loader is not None
        assert spec.loader.get_source(library) == "value = 'bare'\n"  # type: ignore[attr-defined]
        assert calls == []
        importlib.import_module(library)
    finally:
        hook.remove()
    assert calls == [1]


def test_after_removal_imports_are_bare(library: str) -> None:
    hook = ImportHook({library: lambda: replace_value(library)})
    before = list(sys.meta_path)
    hook.install()
    hook.remove()
    hook.remove()
    assert sys.meta_path == before
    assert importlib.import_module(library).value == "bare"


def test_a_module_that_is_not_there_fails_as_before(library: str) -> None:
    hook = ImportHook({"no_such_module_at_all": lambda: None})
    hook.install()
    try:
        with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module_at_all'"):
            importlib.import_module("no_such_module_at_all")
    finally:
        hook.remove()


def test_a_module_that_fails_to_import_fails_as_before(tmp_path: Path, library: str) -> None:
    calls: list[int] = []
    (tmp_path / f"{library}.py").write_text("1 / 0\n")
    hook = ImportHook({library: lambda: calls.append(1)})
    hook.install()
    try:
        with pytest.raises(ZeroDivisionError):
            importlib.import_module(library)
    finally:
        hook.remove()
    assert calls == []
    assert library not in sys.modules


def test_threads_that_import_at_once_run_the_hook_once(library: str) -> None:
    calls: list[int] = []
    hook = ImportHook({library: lambda: calls.append(1)})
    hook.install()
    try:
        threads = [
            threading.Thread(target=importlib.import_module, args=(library,)) for _ in range(8)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    finally:
        hook.remove()
    assert calls == [1]
