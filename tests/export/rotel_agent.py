"""A real OpenTelemetry agent, rotel, that receives OTLP and passes it on."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peers import free_port, require_peer

READY_SECONDS = 30.0


@dataclass(frozen=True)
class RotelAgent:
    """A running agent's two receivers."""

    grpc_url: str
    http_url: str
    log: Path


@contextmanager
def running_rotel(
    forward_to: str, *options: str, directory: Path, forward_by: str = "grpc"
) -> Iterator[RotelAgent]:
    """Start ``rotel-agent`` of the package rotel; stop it by its pid.

    Args:
        forward_to: the OTLP endpoint that all it receives is sent to.
        options: more options of its ``start`` command.
        directory: where it may write.
        forward_by: ``grpc`` or ``http``.
    """
    found = importlib.util.find_spec("rotel")
    folder = Path(found.origin).parent if found and found.origin else Path()
    program = require_peer(str(folder / "rotel-agent"))
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "rotel.log"
    ports = free_port(), free_port()
    command = [
        program,
        "start",
        f"--pid-file={directory / 'rotel.pid'}",
        f"--log-file={directory / 'rotel-agent.log'}",
        f"--otlp-grpc-endpoint=127.0.0.1:{ports[0]}",
        f"--otlp-http-endpoint=127.0.0.1:{ports[1]}",
        "--exporter=otlp",
        f"--otlp-exporter-endpoint={forward_to}",
        f"--otlp-exporter-protocol={forward_by}",
        "--disable-batching",
        *options,
    ]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ROTEL_") and not name.lower().endswith("_proxy")
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=directory, env=environment
        )
    try:
        for port in ports:
            _wait_until_open(port, process, log)
        yield RotelAgent(f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", log)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        assert process.poll() is None, f"rotel ended: {log.read_text()}"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            assert time.monotonic() < deadline, f"rotel is not ready: {log.read_text()}"
            time.sleep(0.05)
