"""A real VictoriaMetrics on a free loopback port, for the length of a with block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peer_process import running
from peers import free_port, require_peer
from prometheus_server import PrometheusServer


@contextmanager
def running_victoria_metrics(directory: Path) -> Iterator[PrometheusServer]:
    """Start ``victoria-metrics``, yield it when ready, stop it by its pid.

    It answers Prometheus's HTTP API. What it took can be asked for after a second or so.
    """
    program = require_peer("victoria-metrics")
    server = PrometheusServer(f"http://127.0.0.1:{free_port()}")
    command = [
        program,
        f"-storageDataPath={directory / 'data'}",
        f"-httpListenAddr={server.url.removeprefix('http://')}",
        "-retentionPeriod=100y",
        "-memory.allowedBytes=64MB",
        "-loggerLevel=WARN",
    ]
    with running(command, ready=f"{server.url}/health", directory=directory):
        yield server
