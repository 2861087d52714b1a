from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import Running


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Starts commands, and ends those that are still running."""
    started: list[Running] = []

    def begin(*args: str | Path, cwd: Path | None = None) -> Running:
        started.append(Running(*args, cwd=cwd))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.end()


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Makes an environment in which some packages are not installed, as far as Python can tell."""

    def block(*packages: str) -> dict[str, str]:
        folder = tmp_path / "not-installed"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            "import sys\n"
            "class NotInstalled:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name.partition('.')[0] in {packages!r}:\n"
            "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
            "sys.meta_path.insert(0, NotInstalled())\n"
        )
        return {"PYTHONPATH": str(folder)}

    return block
