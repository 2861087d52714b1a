"""A real Prometheus server on a free loopback port, for the length of a with block."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import free_port, require_peer

READY_SECONDS = 30.0


@dataclass(frozen=True)
class Target:
    """Something to scrape: ``address`` is host:port."""

    job: str
    address: str
    path: str = "/metrics"


@dataclass(frozen=True)
class PrometheusServer:
    """A running server's HTTP API."""

    url: str

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        """Return the ``data`` of an API answer."""
        query = urllib.parse.urlencode(parameters or {})
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        return body["data"]

    def query(self, promql: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Return the labels and value of each series of an instant query."""
        parameters = {"query": promql} | ({} if at is None else {"time": f"{at:.3f}"})
        result = self.get("query", parameters)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def targets(self) -> list[dict[str, Any]]:
        """Return the active targets with their health and last error."""
        active: list[dict[str, Any]] = self.get("targets")["activeTargets"]
        return active

    def wait_for(self, promql: str, seconds: float = 30.0) -> list[tuple[dict[str, str], float]]:
        """Return the answer of a query as soon as it has one."""
        deadline = time.monotonic() + seconds
        while not (answer := self.query(promql)):
            assert time.monotonic() < deadline, f"no answer to {promql}; {self.targets()}"
            time.sleep(0.2)
        return answer


@contextmanager
def running_prometheus(
    *targets: Target, directory: Path, scrape_interval: str = "1s"
) -> Iterator[PrometheusServer]:
    """Start Debian's or anyone's ``prometheus``, yield it when ready, stop it by its pid."""
    program = require_peer("prometheus")
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "prometheus.json"  # JSON is YAML
    config.write_text(json.dumps(_config(targets, scrape_interval)))
    log = directory / "prometheus.log"
    port = free_port()
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=directory)
    try:
        server = PrometheusServer(f"http://127.0.0.1:{port}")
        _wait_until(
            lambda: process.poll() is not None or _answers(f"{server.url}/-/ready"),
            f"prometheus did not become ready: {log.read_text()}",
        )
        assert process.poll() is None, f"prometheus ended: {log.read_text()}"
        yield server
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _config(targets: tuple[Target, ...], scrape_interval: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": scrape_interval, "scrape_timeout": scrape_interval},
        "scrape_configs": [
            {
                "job_name": target.job,
                "metrics_path": target.path,
                "static_configs": [{"targets": [target.address]}],
            }
            for target in targets
        ],
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _wait_until(done: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not done():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.1)
