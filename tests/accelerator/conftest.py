from __future__ import annotations

import languages
import pytest

from metalscope.accelerator import MetalAccelerator
from metalscope.manager import MetalTelemetryManager


@pytest.fixture
def tel():
    return MetalTelemetryManager()


@pytest.fixture(params=["mlx", pytest.param("webgpu", marks=pytest.mark.webgpu), "metal"])
def language(request, monkeypatch):
    if request.param == "metal":
        chosen = languages.metal(monkeypatch)
    else:
        chosen = {"mlx": languages.mlx, "webgpu": languages.webgpu}[request.param]()
    yield chosen
    chosen.release_slow()


@pytest.fixture
def acc(language, tel):
    with MetalAccelerator(language.driver, tel) as accelerator:
        yield accelerator
