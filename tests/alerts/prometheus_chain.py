"""Prometheus with exported rules, an Alertmanager with the exported example, and who it tells."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

from metalscope.alert_options import AlertsOptions
from metalscope.alerts.prometheus import alertmanager_text, rules_text
from metalscope.alerts.prometheus.alertmanager import EXAMPLE_RECEIVER
from peer_process import running
from peers import free_port, require_peer
from prometheus_server import PrometheusServer, Target, running_prometheus

WAIT_SECONDS = 40.0


class Told:
    """What Alertmanager told its webhook, message by message."""

    def __init__(self) -> None:
        self._messages: Queue[dict[str, Any]] = Queue()

    def put(self, message: dict[str, Any]) -> None:
        self._messages.put(message)

    def next(self) -> dict[str, Any]:
        """The next message."""
        return self._messages.get(timeout=WAIT_SECONDS)


@contextmanager
def receiver() -> Iterator[tuple[str, Told]]:
    """A webhook on a free port: its URL, and what comes to it."""
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", told
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def chain(
    options: AlertsOptions, scraped: str, directory: Path
) -> Iterator[tuple[PrometheusServer, Told]]:
    """All of it as the files that metalscope exports say, over a process at ``scraped``."""
    alertmanager = shutil.which("alertmanager") or require_peer("prometheus-alertmanager")
    directory.mkdir(parents=True, exist_ok=True)
    rules = directory / "metalscope.rules.yml"
    rules.write_text(rules_text(options))
    with receiver() as (url, told):
        config = directory / "alertmanager.yml"
        config.write_text(alertmanager_text(options).replace(EXAMPLE_RECEIVER, url))
        address = f"127.0.0.1:{free_port()}"
        command = [
            alertmanager,
            f"--config.file={config}",
            f"--storage.path={directory / 'alertmanager'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ]
        settings = {
            "rule_files": [str(rules)],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]},
        }
        with (
            running(command, ready=f"http://{address}/-/ready", directory=directory),
            running_prometheus(
                Target("app", scraped),
                directory=directory / "prometheus",
                settings=settings,
            ) as prometheus,
        ):
            yield prometheus, told
