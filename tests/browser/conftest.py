"""Headless Chromium, a manager doing real work, and a watch over console and network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from metalscope.manager import MetalTelemetryManager
from metalscope.server import RunningServer, start_server
from peers import require_peer

CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Not for the session: while Playwright is there its event loop runs in this thread, and tests of
# other files that need a loop of their own would fail.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # The first has no windows to draw, and takes half as long.
    program = require_peer("chromium-headless-shell", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield browser
        browser.close()


class Work:
    """Multiplies matrices in MLX on a thread of its own, each product one operation."""

    def __init__(self, tel: MetalTelemetryManager) -> None:
        self._tel = tel
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        import mlx.core as mx

        a = mx.random.normal((96, 96))
        while not self._ending.wait(0.005):
            with self._tel.operation("execute", "matmul", nbytes=a.nbytes, device="cpu"):
                mx.eval(a @ a)

    def end(self) -> None:
        self._ending.set()
        self._thread.join()


@pytest.fixture
def tel() -> Iterator[MetalTelemetryManager]:
    with MetalTelemetryManager() as manager:
        yield manager


@pytest.fixture
def work(tel: MetalTelemetryManager) -> Iterator[Work]:
    working = Work(tel)
    yield working
    working.end()


@pytest.fixture
def server(tel: MetalTelemetryManager) -> Iterator[RunningServer]:
    running = start_server(tel, host="127.0.0.1", port=0)
    yield running
    running.stop()


@dataclass
class Watched:
    """A page, what its console complained of, and every address it asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        return {urlsplit(url).netloc for url in self.requested if not url.startswith("data:")}


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(30_000)
    watch = Watched(page)
    page.on("console", lambda m: watch.complaints.append(f"{m.type}: {m.text}"))
    page.on("pageerror", lambda error: watch.complaints.append(str(error)))
    page.on("request", lambda request: watch.requested.append(request.url))
    yield watch
    context.close()
