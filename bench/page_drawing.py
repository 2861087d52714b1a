"""How smooth the page draws 200 series of an hour while a pointer sweeps, and when it first paints.

python bench/page_drawing.py [--quick] [--rounds N] [--output PATH]
"""

from __future__ import annotations

import argparse
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from goals import Result, Row, at_least, at_most, parser, publish, rounds_of
from metalscope.manager import MetalTelemetryManager
from metalscope.server import start_server
from timing import Spread

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SERIES = 200
POINTS = 3600
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
VIEWPORT = {"width": 1280, "height": 800}
EMPTY = b"<!doctype html><meta charset=utf-8><title>empty</title><p>nothing</p>"

PREPARE = """async ([series, points, own]) => {
    for (const file of ["css/parts.css", "css/draw.css", "vendor/uPlot.min.css"]) {
        const link = document.createElement("link");
        link.rel = "stylesheet";
        link.href = "/" + file;
        document.head.append(link);
        await new Promise((done) => (link.onload = done));
    }
    const { createLines } = await import("/js/draw/lines.js");
    const { duration } = await import("/js/format.js");
    let now = 1.8e9;
    let state = 1;
    // A generator with a seed (Lehmer's), so that every run draws the same.
    const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
    const t = Array.from({ length: points }, (_, n) => now - points + 1 + n);
    const lines = Array.from({ length: series }, (_, n) => {
        let level = n + 20;
        const values = t.map(() => (level = Math.max(0, level + random() * 4 - 2)));
        return { label: `operation ${n}`, values };
    });
    let show;
    if (own) {
        const chart = createLines({ title: "200 series", value: duration, emptyText: "nothing" });
        document.body.replaceChildren(chart.node);
        show = () => chart.update({ t, lines, since: t[0], until: now });
    } else {
        const { default: uPlot } = await import("/vendor/uPlot.esm.js");
        const box = document.createElement("div");
        document.body.replaceChildren(box);
        const each = lines.map(({ label }) => ({ label, stroke: "#0072b2", width: 1.75 }));
        const look = { width: 1240, height: 168, legend: { show: false }, series: [{}, ...each] };
        const data = () => [t, ...lines.map(({ values }) => values)];
        const plot = new uPlot(look, data(), box);
        show = () => plot.setData(data());
    }
    show();
    window.append = () => {
        now += 1;
        t.shift();
        t.push(now);
        for (const { values } of lines) {
            values.shift();
            values.push(Math.max(0, values.at(-1) + random() * 4 - 2));
        }
        show();
    };
    await new Promise((done) => setTimeout(done, 500));
    return document.querySelectorAll(own ? ".legend li" : ".u-over").length;
}"""

WATCH = """async (seconds) => {
    const over = document.querySelector(".u-over");
    const stamps = [];
    const moving = [];
    const began = performance.now();
    let appended = began;
    const place = over?.getBoundingClientRect();
    await new Promise((done) => {
        const frame = (now) => {
            stamps.push(now);
            if (performance.now() - began > seconds * 1000) return done();
            if (over) {
                const share = ((now - began) / 2000) % 1;
                const clientX = place.left + 1 + share * (place.width - 2);
                const at = { bubbles: true, clientX, clientY: place.top + 40, movementX: 1 };
                const start = performance.now();
                over.dispatchEvent(new MouseEvent("mousemove", at));
                moving.push(performance.now() - start);
                if (now - appended >= 1000) {
                    appended = now;
                    window.append();
                }
            }
            requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
    });
    const gaps = stamps.slice(1).map((stamp, n) => stamp - stamps[n]);
    return { gaps, moving };
}"""

FRAME_MS = 1000 / 60


def kept(gaps: list[float]) -> float:
    """Which share of the display's 60 beats a second had a frame of the page.

    Not which share of frames came in time: a page that stands still for a second has but one late
    frame in it, and sixty beats without any.
    """
    return min(1.0, len(gaps) * FRAME_MS / sum(gaps))


def frames(browser: Browser, address: str, seconds: float, rounds: int) -> tuple[list[Row], Any]:
    """Turn by turn on an empty page, on one with the chart, and on one with uPlot's own lines."""
    pages = {"empty": browser.new_page(viewport=VIEWPORT)}
    pages["empty"].goto(f"{address}/runbooks.html")
    pages["empty"].evaluate("document.body.replaceChildren('nothing')")
    for name in ("chart", "uplot"):
        pages[name] = browser.new_page(viewport=VIEWPORT)
        pages[name].goto(f"{address}/runbooks.html")
        shown = pages[name].evaluate(PREPARE, [SERIES, POINTS, name == "chart"])
        assert shown > 0, f"{name} shows nothing"
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in pages}
    for number in range(-1, rounds):
        for name, page in pages.items():
            # Frames are for the page in front only.
            page.bring_to_front()
            measured = page.evaluate(WATCH, seconds)
            if number >= 0:
                found[name].append(measured)
    for page in pages.values():
        page.close()
    shares = {name: [kept(one["gaps"]) for one in all_] for name, all_ in found.items()}

    def ratio(name: str) -> Spread:
        pairs = zip(shares[name], shares["empty"], strict=True)
        return Spread.of([one / empty for one, empty in pairs])

    def longest(name: str) -> Spread:
        return Spread.of([max(one["gaps"]) for one in found[name]])

    def move(name: str) -> Spread:
        """The 99th percentile in each round."""
        each = [sorted(one["moving"]) for one in found[name]]
        return Spread.of([values[int(len(values) * 0.99)] for values in each])

    goal = at_least(0.95, "x")
    rows = [
        Row("an empty page: share of beats with a frame", Spread.of(shares["empty"]), ""),
        Row("the chart: share of beats with a frame", Spread.of(shares["chart"]), ""),
        Row("uPlot's own lines: share of beats with a frame", Spread.of(shares["uplot"]), ""),
        Row("the chart / an empty page", ratio("chart"), "x", goal),
        Row("uPlot's own lines / an empty page", ratio("uplot"), "x"),
        Row("an empty page: longest time between frames", longest("empty"), "ms"),
        Row("the chart: longest time between frames", longest("chart"), "ms"),
        Row("uPlot's own lines: longest time between frames", longest("uplot"), "ms"),
        Row("the chart: one move of the pointer, p99", move("chart"), "ms"),
        Row("uPlot's own lines: one move of the pointer, p99", move("uplot"), "ms"),
    ]
    return rows, shares


@contextmanager
def empty_page() -> Iterator[str]:
    """The address of a page with one word."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(EMPTY)))
            self.end_headers()
            self.wfile.write(EMPTY)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def first_paint(browser: Browser, address: str) -> float:
    """Milliseconds until something is to be seen, with nothing in the browser's cache."""
    context = browser.new_context(viewport=VIEWPORT)
    page: Page = context.new_page()
    page.goto(address)
    handle = page.wait_for_function(
        "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    )
    paint = float(handle.json_value())
    context.close()
    return paint


def paints(browser: Browser, address: str, rounds: int) -> tuple[list[Row], Any]:
    with empty_page() as empty:
        found: dict[str, list[float]] = {empty: [], f"{address}/": []}
        for number in range(-1, rounds):
            for one, all_ in found.items():
                paint = first_paint(browser, one)
                if number >= 0:
                    all_.append(paint)
    bare, page = found.values()
    ratio = [a / b for a, b in zip(page, bare, strict=True)]
    rows = [
        Row("an empty page: first paint", Spread.of(bare), "ms"),
        Row("the page: first paint", Spread.of(page), "ms", at_most(1000, "ms")),
        Row("first paint: the page / an empty page", Spread.of(ratio), "x"),
    ]
    return rows, {"empty": bare, "page": page}


def measure(*, seconds: float, rounds: int, parts: str) -> Result:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed")
    rows: list[Row] = []
    raw: dict[str, Any] = {}
    with MetalTelemetryManager() as telemetry, sync_playwright() as playwright:
        telemetry.record("execute", "matmul", duration_ns=1_000_000)
        server = start_server(telemetry, host="127.0.0.1", port=0)
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        version = browser.version
        try:
            if parts in {"all", "frames"}:
                more, raw["shares"] = frames(browser, server.url, seconds, rounds)
                rows += more
            if parts in {"all", "paint"}:
                more, raw["paint_ms"] = paints(browser, server.url, rounds)
                rows += more
        finally:
            browser.close()
            server.stop()
    facts = {"chromium": version, "viewport": VIEWPORT, "gpu": "none: pixels by the processor"}
    return Result(
        f"{SERIES} series of {POINTS:,} points, hovered, one more a second", rows, facts, raw
    )


def main() -> None:
    options: argparse.ArgumentParser = parser(__doc__, name="page_drawing")
    options.add_argument("--parts", choices=["all", "frames", "paint"], default="all")
    arguments = options.parse_args()
    seconds = 2.0 if arguments.quick else 5.0
    found = measure(seconds=seconds, rounds=rounds_of(arguments), parts=arguments.parts)
    publish(found, arguments.output)


if __name__ == "__main__":
    main()
