"""A real Pushgateway on a free loopback port, for the length of a with block."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer_process import running
from peers import free_port, require_peer


@dataclass(frozen=True)
class Pushgateway:
    """A running Pushgateway; ``address`` is host:port."""

    address: str

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def groups(self) -> list[dict[str, Any]]:
        """The groups it holds, each with its labels and metrics."""
        with urllib.request.urlopen(f"{self.url}/api/v1/metrics", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]
        return found

    def page(self) -> str:
        """What a scrape of it gets."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
        return text


@contextmanager
def running_pushgateway(directory: Path) -> Iterator[Pushgateway]:
    """Start ``prometheus-pushgateway``, yield it when ready, stop it by its pid."""
    program = require_peer("prometheus-pushgateway")
    gateway = Pushgateway(f"127.0.0.1:{free_port()}")
    command = [program, f"--web.listen-address={gateway.address}", "--persistence.file="]
    with running(command, ready=f"{gateway.url}/-/ready", directory=directory):
        yield gateway
