"""A real Prometheus server on a free loopback port, for the length of a with block."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer_process import running
from peers import free_port, require_peer


@dataclass(frozen=True)
class Target:
    """Something to scrape: ``address`` is host:port."""

    job: str
    address: str
    path: str = "/metrics"
    honor_labels: bool = False


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
    *targets: Target,
    directory: Path,
    scrape_interval: str = "1s",
    arguments: Sequence[str] = (),
    prefix: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Iterator[PrometheusServer]:
    """Start Debian's or anyone's ``prometheus``, yield it when ready, stop it by its pid.

    ``arguments`` go on its command line. ``prefix`` is the path before all of its own. ``settings``
    are more of its configuration.
    """
    program = require_peer("prometheus")
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "prometheus.json"  # JSON is YAML
    config.write_text(json.dumps(_config(targets, scrape_interval) | dict(settings or {})))
    address = f"127.0.0.1:{free_port()}"
    server = PrometheusServer(f"http://{address}{prefix}")
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
        f"--web.route-prefix={prefix or '/'}",
        "--log.level=warn",
        *arguments,
    ]
    with running(command, ready=f"{server.url}/-/ready", directory=directory):
        yield server


def _config(targets: tuple[Target, ...], scrape_interval: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": scrape_interval, "scrape_timeout": scrape_interval},
        "scrape_configs": [
            {
                "job_name": target.job,
                "metrics_path": target.path,
                "honor_labels": target.honor_labels,
                "static_configs": [{"targets": [target.address]}],
            }
            for target in targets
        ],
    }
