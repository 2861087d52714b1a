from __future__ import annotations

from collections.abc import Iterator

import pytest

from metalscope import MetalTelemetryManager, instrument, uninstrument
from recorded import Recorded


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """MLX instrumented with telemetry of its own."""
    pytest.importorskip("mlx.core")
    telemetry = MetalTelemetryManager()
    instrument("mlx", telemetry)
    yield Recorded(telemetry)
    uninstrument("mlx")
