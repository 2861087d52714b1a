"""Commands that ask a server which wants a key send that of METALSCOPE_API_KEY, and to it alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from command import metalscope

from metalscope.access.key_changes import KeyChanges
from metalscope.access.roles import Role
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def url(keys_file: Path) -> Iterator[str]:
    KeyChanges(keys_file).create("there is one", Role.SCRAPER)
    options = MetalTelemetryOptions(
        server={"enabled": True, "port": 0, "access": {"keys_file": keys_file}}
    )
    with MetalTelemetryManager(options) as telemetry:
        telemetry.record("execute", "matmul", duration_ns=1)
        assert telemetry.server is not None
        yield telemetry.server.url


def test_with_a_key_it_is_answered(url: str, keys_file: Path) -> None:
    _, key = KeyChanges(keys_file).create("me", Role.VIEWER)
    done = metalscope("report", "--url", url, env={"METALSCOPE_API_KEY": key.text})
    assert done.returncode == 0, done.stderr
    assert b"matmul" in done.stdout


def test_without_one_the_variable_is_named(url: str) -> None:
    done = metalscope("report", "--url", url)
    assert done.returncode != 0
    assert b"METALSCOPE_API_KEY" in done.stderr


def test_a_role_that_may_not_is_told_so(url: str, keys_file: Path) -> None:
    _, key = KeyChanges(keys_file).create("prometheus", Role.SCRAPER)
    done = metalscope("report", "--url", url, env={"METALSCOPE_API_KEY": key.text})
    assert done.returncode != 0
    assert b"role" in done.stderr


def test_no_redirect_takes_the_key_elsewhere() -> None:
    seen: list[str | None] = []

    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("X-API-Key"))
            self.send_response(302)
            self.send_header("location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Redirects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        done = metalscope("report", "--url", address, env={"METALSCOPE_API_KEY": "msk_of_mine"})
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode != 0
    assert seen == ["msk_of_mine"]
    assert b"msk_of_mine" not in done.stderr + done.stdout
