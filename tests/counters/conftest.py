from __future__ import annotations

from collections.abc import Callable

import pytest
from counter_bench import Bench

from metalscope.options import MetalTelemetryOptions


@pytest.fixture
def bench() -> Bench:
    return Bench(MetalTelemetryOptions())


@pytest.fixture
def bench_with() -> Callable[..., Bench]:
    def make(**options: object) -> Bench:
        return Bench(MetalTelemetryOptions(**options))

    return make
