"""Take docs/images/dashboard-*.png and view-*.png of `metalscope demo`, in headless Chromium.

    python scripts/screenshots.py [--seconds 75]

Needs chromium, playwright and the extras `mlx` and `server`.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parent.parent / "docs" / "images"
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE = {"width": 1440, "height": 1262}
VIEW = {"width": 1440, "height": 900}
PHONE = {"width": 375, "height": 812}
TALLER = {"operations": {"height": 1760}}
CHOSEN = {"traces": "&name=sample", "operations": "&operation=execute%3Aeval"}
VIEWS = ("operations", "memory", "health", "logs", "traces", "forecasts")


def main() -> None:
    """Run the demo, let its charts fill, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=75, help="how long the charts fill")
    seconds = parser.parse_args().seconds
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with _demo(seconds + 60) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        pages = {
            "light": _open(browser, url, WIDE, "light"),
            "dark": _open(browser, url, WIDE, "dark"),
            "phone": _open(browser, url, PHONE, "dark", scale=1.5),
        }
        sleep(seconds)
        for name, page in pages.items():
            page.bring_to_front()
            page.wait_for_timeout(1500)
            page.screenshot(path=IMAGES / f"dashboard-{name}.png")
        for number, view in enumerate(VIEWS):
            scheme = "dark" if number % 2 else "light"
            size = VIEW | TALLER.get(view, {})
            page = _open(browser, f"{url}/#/{view}?range=1m{CHOSEN.get(view, '')}", size, scheme)
            page.wait_for_timeout(4000)
            if view == "traces":
                # One that failed, as a waterfall.
                page.locator("main tbody button").first.click()
                page.wait_for_timeout(1500)
            page.screenshot(path=IMAGES / f"view-{view}.png")
        browser.close()


def _open(
    browser: Browser, url: str, viewport: dict[str, int], scheme: str, scale: float = 1
) -> Page:
    context = browser.new_context(viewport=viewport, color_scheme=scheme, device_scale_factor=scale)
    page = context.new_page()
    page.goto(url)
    return page


@contextmanager
def _demo(seconds: float) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "metalscope", "demo", "--headless"]
    command += ["--seconds", str(seconds), "--port", str(port)]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, demo)
        yield url
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait()


def _wait_for(url: str, demo: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + 60
    while monotonic() < deadline and demo.poll() is None:
        try:
            if httpx.get(f"{url}/livez", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            sleep(0.2)
    sys.exit("the demo does not answer")


if __name__ == "__main__":
    main()
