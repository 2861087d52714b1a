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
