"""The drawing kit: pixels, keyboard, hostile labels and what is absent, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from draw_page import START, DrawPage
from playwright.sync_api import Browser, expect

from metalscope.manager import MetalTelemetryManager
from metalscope.server import start_server

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
LINES = ".draw-lines"
HEAT = ".draw-heatmap"
HISTOGRAM = ".draw-histogram"

A_LINE = """
    window.zoomed = [];
    window.chart = kit.add(kit.createLines({
        title: "Durations", value: kit.ms, emptyText: "No operation ran.",
        onZoom: (since, until) => zoomed.push([since, until]),
    }));
    const t = Array.from({ length: 11 }, (_, n) => kit.start + n);
    const values = [4, 4, 4, null, null, 8, 8, 8, 8, 8, null];
    chart.update({
        t, since: t[0], until: t[10],
        lines: [
            { label: given.label, values },
            { label: "before", values: t.map(() => 2), dashed: true, colourIndex: 1 },
            { label: "forecast", values: t.map(() => 6), lower: t.map(() => 5),
              upper: t.map(() => 7), colourIndex: 2 },
        ],
        marks: [{ t: t[6], label: given.mark, bad: true }],
    });
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with MetalTelemetryManager() as telemetry:
        running = start_server(telemetry, host="127.0.0.1", port=0)
        yield running.url
        running.stop()


@pytest.fixture(scope="module")
def one_page(browser: Browser, address: str) -> Iterator[DrawPage]:
    page = browser.new_page()
    yield DrawPage(page, address)
    page.close()


@pytest.fixture
def made(one_page: DrawPage) -> DrawPage:
    one_page.clear()
    return one_page


def no_markup(made: DrawPage) -> bool:
    return made.page.locator("main img, main script").count() == 0


def test_lines_bands_and_marks_are_drawn_with_gaps_and_reasons(made: DrawPage) -> None:
    made.run(A_LINE, {"label": HOSTILE, "mark": "deploy"})
    canvas = f"{LINES} canvas"
    for colour in ("--series-1", "--series-2", "--series-3", "--bad"):
        assert made.pixels(canvas, colour) > 20, colour
    # Dashed, a level line across the plot has fewer pixels than the unbroken one beside it.
    assert made.pixels(canvas, "--series-2") < made.pixels(canvas, "--series-3")
    # Nothing bridges what is not known, and the band of the forecast is a veil.
    assert made.pixels(canvas, "--series-1", (0.05, 0.15)) > 20
    assert made.pixels(canvas, "--series-1", (0.25, 0.45)) == 0
    assert made.inked(canvas, 30, 70) > 10_000
    legend = made.page.locator(f"{LINES} .legend li")
    expect(legend).to_have_count(3)
    expect(legend.first).to_contain_text(HOSTILE)
    expect(legend.first.locator("strong")).to_have_text("—")
    expect(legend.first.locator("strong")).to_have_attribute("title", "nothing ran")
    expect(legend.nth(1).locator("strong")).to_have_text("2.00 ms")
    name = made.plot(LINES).get_attribute("aria-label") or ""
    assert "now not known (nothing ran), from 4.00 ms to 8.00 ms" in name
    assert no_markup(made)
    assert made.complaints == []


def test_lines_are_read_and_zoomed_by_keys_and_by_dragging(made: DrawPage) -> None:
    made.run(A_LINE, {"label": "now", "mark": "deploy"})
    page = made.page
    made.plot(LINES).focus()
    page.keyboard.press("ArrowLeft")
    assert "now not known: nothing ran; before 2.00 ms; forecast 6.00 ms" in made.said(LINES)
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert "now 8.00 ms" in made.said(LINES)
    assert made.said(LINES).endswith("deploy")
    page.keyboard.press("Home")
    assert "now 4.00 ms" in made.said(LINES)
    expect(page.locator(f"{LINES} .cursor-dot:visible")).to_have_count(3)
    page.keyboard.press("+")
    assert page.evaluate("zoomed.pop()") == [START - 2.5, START + 2.5]
    page.keyboard.press("Escape")
    expect(page.locator(f"{LINES} .chart-time")).to_have_text("")

    box = page.locator(f"{LINES} .u-over").bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, y)
    page.mouse.move(box["x"] + box["width"] * 0.7, y)
    page.mouse.up()
    [[since, until]] = page.evaluate("zoomed")
    assert since == pytest.approx(START + 2, abs=0.1)
    assert until == pytest.approx(START + 7, abs=0.1)
    expect(page.locator(f"{LINES} .legend li strong").first).to_have_text("8.00 ms")
    assert made.complaints == []


def test_of_two_hundred_lines_the_highest_are_named_and_all_on_demand(made: DrawPage) -> None:
    made.run("""
        const t = Array.from({ length: 3600 }, (_, n) => kit.start + n);
        const level = (n) => (n < 194 ? n + 1 : 1000 * (n - 193));
        const lines = Array.from({ length: 200 }, (_, n) => ({
            label: `operation ${n}`,
            values: t.map((_, i) => (n === 7 && i > 1000 ? null : level(n))),
        }));
        window.chart = kit.add(kit.createLines({
            title: "Many", value: kit.format.count, emptyText: "No operation ran.",
        }));
        window.show = (moved) => chart.update({
            t: t.map((one) => one + moved), lines, since: t[0] + moved, until: t.at(-1) + moved,
        });
        show(0);
    """)
    legend = made.page.locator(f"{LINES} .legend li")
    expect(legend).to_have_count(12)
    expect(legend.first).to_have_text("operation 1996,000")
    expect(legend.last).to_have_text("operation 188189")
    # The picture of many lines is made in slices; its axes are there before.
    made.page.wait_for_function(
        """() => kit.read(".draw-lines canvas").filter((v, n) => n % 4 === 3 && v > 200).length
            > 5000"""
    )
    for hue in range(1, 7):
        assert made.pixels(f"{LINES} canvas", f"--series-{hue}") > 100

    made.page.get_by_role("button", name="Show all 200").click()
    expect(legend).to_have_count(200)
    expect(legend.nth(7).locator("strong")).to_have_text("—")
    made.page.get_by_role("button", name="Show the 12 highest").click()
    expect(legend).to_have_count(12)

    made.plot(LINES).focus()
    made.page.keyboard.press("End")
    before = made.said(LINES)
    assert "operation 199 6,000" in before
    assert before.endswith("and 196 more lines")
    # Lines told apart by hue are told apart by dash where the hues begin again.
    looks = made.run(
        "return Array.from({ length: 36 }, (_, n) => `${kit.hueOf(n)} ${kit.dashOf(n)}`)"
    )
    assert len(set(looks)) == 36
    assert made.complaints == []


def test_what_has_no_value_draws_nothing_and_says_why(made: DrawPage) -> None:
    made.run("""
        const lines = kit.add(kit.createLines({
            title: "Power", value: kit.ms, emptyText: "No sensor gives it." }));
        const t = [kit.start, kit.start + 1];
        lines.update({ t, lines: [{ label: "", values: [null, null] }], since: t[0], until: t[1] });
        const heat = kit.add(kit.createHeatmap({
            title: "Heat", rowAxis: "Duration", value: kit.format.count,
            emptyText: "No duration was recorded." }));
        heat.update({ t0: kit.start, step: 1, columns: 5, rows: ["1 ms"], cells: [] });
        const bars = kit.add(kit.createHistogram({ title: "Spread", emptyText: "None yet." }));
        bars.update({ edges_ms: [1, 2], counts: [0, 0, 0], marks: [{ label: "p50", ms: null }] });
        kit.add(kit.createWaterfall({ title: "Trace" })).update({ spans: [] });
        kit.add(kit.createTable({ caption: "Rows", columns: [], key: (row) => row,
            emptyText: "No rows." }));
    """)
    for text in ("No sensor gives it.", "No duration was recorded.", "None yet.", "No rows."):
        expect(made.page.get_by_text(text, exact=True)).to_be_visible()
    expect(made.page.get_by_text("This trace has no spans.")).to_be_visible()
    assert made.pixels(f"{LINES} canvas", "--series-1") == 0
    expect(made.page.locator(f"{HISTOGRAM} .legend strong")).to_have_text("—")
    assert "None yet." in (made.plot(HISTOGRAM).get_attribute("aria-label") or "")
    assert made.complaints == []


A_HEATMAP = """
    window.heat = kit.add(kit.createHeatmap({
        title: "Durations", rowAxis: "Duration", value: kit.format.count, emptyText: "None.",
    }));
    heat.update({
        t0: kit.start, step: 60, columns: 4, rows: ["1 ms", given, "100 ms"], scale: "log",
        cells: [[0, 0, 1], [1, 1, 30], [2, 0, 0], [3, 2, 1000]],
    });
"""


@pytest.mark.parametrize(("theme", "strongest"), [("light", "#00224e"), ("dark", "#fee838")])
def test_a_heat_map_colours_cells_and_reads_them_out(
    theme: str, strongest: str, made: DrawPage
) -> None:
    made.clear(theme=theme)
    made.run(A_HEATMAP, HOSTILE)
    assert made.pixels(f"{HEAT} canvas", strongest) > 1000
    # A cell of 0 is seen; the eight of which nothing is known are not.
    weakest = made.run("return kit.heat(0).map((n) => n.toString(16).padStart(2, '0')).join('')")
    assert made.pixels(f"{HEAT} canvas", f"#{weakest}") > 1000
    assert made.inked(f"{HEAT} canvas") < 0.45 * 900 * 240
    name = made.plot(HEAT).get_attribute("aria-label") or ""
    assert re.search(r"4 steps by 3 rows of Duration\. Highest 1,000 at 100 ms", name)
    expect(made.page.locator(f"{HEAT} .heat-scale")).to_contain_text("1,000")
    expect(made.page.locator(f"{HEAT} .heat-scale")).to_contain_text("logarithmic")

    made.plot(HEAT).focus()
    made.page.keyboard.press("ArrowRight")
    assert made.said(HEAT).endswith("Duration 100 ms: 1,000")
    made.page.keyboard.press("ArrowDown")
    assert made.said(HEAT).endswith(f"Duration {HOSTILE}: not known: not known")
    made.page.keyboard.press("Home")
    made.page.keyboard.press("ArrowDown")
    assert made.said(HEAT).endswith("Duration 1 ms: 1")

    place = made.page.locator(f"{HEAT} canvas").bounding_box()
    assert place
    made.page.mouse.move(place["x"] + place["width"] - 30, place["y"] + 30)
    expect(made.page.locator(f"{HEAT} .draw-reading")).to_contain_text("100 ms: 1,000")
    assert no_markup(made)
    assert made.complaints == []


def lightness(rgb: list[int]) -> float:
    """L* of CIELAB, of its grey part (IEC 61966-2-1 for the curve)."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in
              (part / 255 for part in rgb)]  # fmt: skip
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_the_colours_of_heat_rise_evenly_in_lightness(made: DrawPage) -> None:
    for dark, sign in (("true", 1), ("false", -1)):
        colours = made.run(
            f"return Array.from({{ length: 41 }}, (_, n) => kit.heat(n / 40, {dark}))"
        )
        steps = [sign * (lightness(b) - lightness(a)) for a, b in pairwise(colours)]
        assert min(steps) > 0
        assert max(steps) < 4 * sum(steps) / len(steps)


def test_a_histogram_has_bars_marks_and_is_read_bar_by_bar(made: DrawPage) -> None:
    made.run(
        """
        const bars = kit.add(kit.createHistogram({ title: "Spread", emptyText: "None." }));
        bars.update({
            edges_ms: [1, 10, 100], counts: [0, 60, 30, 10],
            marks: [{ label: "p50", ms: 8 }, { label: given, ms: 90 }],
        });
        """,
        HOSTILE,
    )
    assert made.inked(f"{HISTOGRAM} canvas") > 5000
    made.plot(HISTOGRAM).focus()
    readings = []
    for key in ("Home", "ArrowRight", "ArrowRight"):
        made.page.keyboard.press(key)
        readings.append(made.said(HISTOGRAM))
    assert readings == [
        "1.00 ms to 10.0 ms: 60, 60.0 %",
        "10.0 ms to 100 ms: 30, 30.0 %",
        "above 100 ms: 10, 10.0 %",
    ]
    assert "100 in all, p50 8.00 ms" in (made.plot(HISTOGRAM).get_attribute("aria-label") or "")
    expect(made.page.locator(f"{HISTOGRAM} .legend li").first).to_have_text("p508.00 ms")
    assert no_markup(made)
    assert made.complaints == []


A_TRACE = """
    const span = (span_id, parent_id, name, start_ms, duration_ms, more) => ({
        span_id, parent_id, name, kind: "internal", start_ms, duration_ms, error: null,
        failed: false, attributes: {}, events: [], correlation_id: null, thread_name: null, ...more,
    });
    window.trace = kit.add(kit.createWaterfall({ title: "Trace" }));
    trace.update({ spans: [
        span("a", null, "request", 0, 100),
        span("c", "b", given, 30, 10, {
            failed: true, error: "out_of_memory", attributes: { "gpu.name": given },
            events: [{ name: "retry", at_ms: 35, attributes: { attempt: 2 } }],
        }),
        span("b", "a", "execute", 20, 60),
        span("d", "gone", "orphan", 90, null),
        span("x", "y", "of each other", 1, 1),
        span("y", "x", "each of other", 1, 1),
    ] });
"""


def test_a_trace_is_a_tree_that_keys_walk_and_that_tells_of_failures(made: DrawPage) -> None:
    page = made.page
    made.run(A_TRACE, HOSTILE)
    rows = page.get_by_role("treeitem")
    expect(rows).to_have_count(6)
    assert [row.get_attribute("aria-level") for row in rows.all()] == list("123121")
    failed = page.locator(".waterfall-row.failed")
    expect(failed).to_have_count(1)
    expect(failed).to_contain_text("✕")
    expect(failed).to_contain_text(HOSTILE)

    rows.first.focus()
    page.keyboard.press("Enter")
    details = page.locator(".waterfall-details")
    expect(details.locator("h3")).to_have_text("request")
    page.keyboard.press("ArrowRight")
    expect(details.locator("h3")).to_have_text("execute")
    page.keyboard.press("ArrowDown")
    expect(details).to_contain_text("✕ Failed: out_of_memory")
    expect(details).to_contain_text("gpu.name")
    expect(details).to_contain_text("retry, at 35.0 ms")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(rows).to_have_count(5)
    expect(page.locator("[role=treeitem]:focus")).to_have_attribute("aria-expanded", "false")
    assert page.locator(".waterfall-rows [tabindex='0']").count() == 1
    page.keyboard.press("End")
    expect(details).to_contain_text("gone, which is not here")
    expect(details).to_contain_text("—")
    bars = page.evaluate(
        "[...document.querySelectorAll('.waterfall-bar')].map((bar) => bar.offsetWidth)"
    )
    assert bars[0] > bars[-1] > 0
    assert no_markup(made)
    assert made.complaints == []


def test_a_table_sorts_with_what_is_unknown_last_and_rows_are_buttons(made: DrawPage) -> None:
    page = made.page
    made.run(
        """
        window.opened = [];
        window.table = kit.add(kit.createTable({
            caption: "Operations", sortBy: "p99", descending: true, key: (row) => row.name,
            emptyText: "None.", most: 3, onRow: (row) => opened.push(row.name),
            columns: [
                { id: "name", label: "Name", cell: (row) => row.name, sort: (row) => row.name },
                { id: "p99", label: "p99", numeric: true, cell: (row) => kit.ms(row.p99),
                  sort: (row) => row.p99 },
            ],
        }));
        table.update([
            { name: "b", p99: 2 }, { name: "a", p99: null }, { name: given, p99: 9 },
            { name: "c", p99: 30 },
        ]);
        """,
        HOSTILE,
    )
    names = page.locator("tbody th")
    numbers = page.locator("tbody td")
    expect(names).to_have_text(["c", HOSTILE, "b"])
    page.get_by_role("button", name="Show all 4").click()
    expect(numbers).to_have_text(["30.0 ms", "9.00 ms", "2.00 ms", "—"])
    expect(numbers.last).to_have_attribute("title", "nothing ran")
    heading = page.get_by_role("columnheader", name="p99")
    expect(heading).to_have_attribute("aria-sort", "descending")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    expect(numbers).to_have_text(["2.00 ms", "9.00 ms", "30.0 ms", "—"])
    page.get_by_role("button", name="b", exact=True).focus()
    page.keyboard.press("Enter")
    numbers.nth(2).click()
    assert page.evaluate("opened") == ["b", "c"]
    # A row keeps its node, and so its focus, while numbers move.
    made.run("table.update([{ name: 'b', p99: 50 }, { name: 'c', p99: 1 }])")
    expect(names).to_have_text(["c", "b"])
    assert no_markup(made)
    assert made.complaints == []


@pytest.mark.parametrize("width", [320, 3840])
def test_drawings_fit_a_phone_and_a_wall_screen_and_follow_the_theme(
    width: int, made: DrawPage
) -> None:
    made.clear(width=width)
    made.run(A_LINE, {"label": "long " * 30, "mark": "deploy"})
    made.run(A_HEATMAP, "10 ms")
    made.run(A_TRACE, "kernel " * 30)
    assert made.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    box = made.page.locator(f"{LINES} canvas").bounding_box()
    assert box
    assert box["width"] > width * 0.8 - 40
    made.run("document.documentElement.dataset.theme = 'dark'; chart.redraw(); heat.redraw();")
    assert made.pixels(f"{LINES} canvas", "#56b4e9") > 20
    assert made.pixels(f"{HEAT} canvas", "#fee838") > 500
    made.page.set_viewport_size({"width": 600, "height": 800})
    made.painted()
    expect(made.page.locator(f"{LINES} canvas")).to_have_js_property("offsetWidth", 546)
    assert made.complaints == []


def test_on_a_screen_of_twice_the_density_drawings_are_as_sharp(
    browser: Browser, address: str
) -> None:
    context = browser.new_context(device_scale_factor=2)
    made = DrawPage(context.new_page(), address)
    made.run(A_LINE, {"label": "now", "mark": "deploy"})
    made.run(A_HEATMAP, "10 ms")
    for drawing in (LINES, HEAT):
        canvas = made.page.locator(f"{drawing} canvas")
        assert canvas.evaluate("(node) => node.width") == 2 * canvas.evaluate(
            "(n) => n.offsetWidth"
        )
    assert made.pixels(f"{LINES} canvas", "--series-3") > 100
    assert made.pixels(f"{HEAT} canvas", "#00224e") > 4000
    context.close()
