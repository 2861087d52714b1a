from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Installs a distribution that is nothing but metadata, before all others on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(name: str, version: str, more: str = "") -> None:
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"
        )

    return add


@pytest.fixture
def tel() -> Iterator[MetalTelemetryManager]:
    options = MetalTelemetryOptions(
        tick_interval=timedelta(milliseconds=100), server={"enabled": True, "port": 0}
    )
    with MetalTelemetryManager(options) as manager:
        yield manager
