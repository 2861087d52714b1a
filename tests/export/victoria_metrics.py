"""A real VictoriaMetrics on a free loopback port, for the length of a with block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from peer_process import running
from peers import free_port, require_peer
from prometheus_server import PrometheusServer


@contextmanager
def running_victoria_metrics(directory: Path) -> Iterator[PrometheusServer]:
    """Start ``victoria-metrics``, yield it when ready, stop it by its pid.

    It answers Prometheus's HTTP API. What it took can be asked for at once: it writes out what it
    holds in memory for that, as an address of its own for tests has it do.
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
    with (
        running(command, ready=f"{server.url}/health", directory=directory),
        _flushing(f"{server.url}/internal/force_flush"),
    ):
        yield server


@contextmanager
def _flushing(address: str) -> Iterator[None]:
    """Ask for it again and again; by itself it makes new series wait for ten seconds."""
    over = threading.Event()

    def flush() -> None:
        while not over.wait(0.2):
            urlopen(address, timeout=5).close()

    thread = threading.Thread(target=flush, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
