"""A real Alertmanager on a free loopback port, for the length of a with block."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer_process import running
from peers import free_port, require_peer


@dataclass(frozen=True)
class AlertmanagerServer:
    """A running server, asked by its own tool."""

    url: str

    def alerts(self, *matchers: str) -> list[dict[str, Any]]:
        """What ``amtool alert`` says: the alerts that fire, those that fulfil the matchers."""
        made: list[dict[str, Any]] = json.loads(
            self.tool("alert", "query", *matchers, "--output=json")
        )
        return made

    def tool(self, *arguments: str) -> str:
        """What ``amtool`` prints."""
        done = subprocess.run(
            [require_peer("amtool"), f"--alertmanager.url={self.url}", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def running_alertmanager(directory: Path) -> Iterator[AlertmanagerServer]:
    """Start Debian's or anyone's Alertmanager, yield it when ready, stop it by its pid."""
    program = shutil.which("alertmanager") or require_peer("prometheus-alertmanager")
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "alertmanager.json"  # JSON is YAML
    config.write_text(json.dumps({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}))
    address = f"127.0.0.1:{free_port()}"
    server = AlertmanagerServer(f"http://{address}")
    command = [
        program,
        f"--config.file={config}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address={address}",
        # It would look for others like it.
        "--cluster.listen-address=",
    ]
    with running(command, ready=f"{server.url}/-/ready", directory=directory):
        yield server
