"""A real manager with a short tick, and a server of it on a free port."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.server import RunningServer, start_server


@pytest.fixture
def tel() -> Iterator[MetalTelemetryManager]:
    options = MetalTelemetryOptions(tick_interval=timedelta(milliseconds=100))
    with MetalTelemetryManager(options) as manager:
        yield manager


@pytest.fixture
def server(tel: MetalTelemetryManager) -> Iterator[RunningServer]:
    running = start_server(tel, host="127.0.0.1", port=0)
    yield running
    running.stop()


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
        yield client
