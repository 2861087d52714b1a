from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from metalscope.manager import MetalTelemetryManager
from metalscope.server import RunningServer, start_server
from metalscope.snapshot import ResourceKind, ResourceMetrics, ThermalState

pytestmark = pytest.mark.browser

CONNECTION = "#connection"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def row(page: Page, name: str) -> str:
    return page.locator("table.operations tbody tr", has_text=name).inner_text()


def count_of(page: Page, name: str) -> int:
    cells = page.locator("table.operations tbody tr", has_text=name).locator("td")
    return int(cells.nth(3).inner_text().replace(",", ""))


def wait_for_more(page: Page, name: str, than: int) -> int:
    cell = page.locator("table.operations tbody tr", has_text=name).locator("td").nth(3)
    expect(cell).not_to_have_text(f"{than:,}")
    return count_of(page, name)


def test_numbers_move_while_operations_run(
    watched, server: RunningServer, tel: MetalTelemetryManager, work
) -> None:
    page = watched.page
    page.goto(server.url)
    expect(page.locator(CONNECTION)).to_have_text("Live")
    expect(page.locator("table.operations tbody tr")).to_have_count(1)
    first = count_of(page, "matmul")
    second = wait_for_more(page, "matmul", first)
    third = wait_for_more(page, "matmul", second)
    assert first < second < third

    for quantile in (4, 5, 6):
        cell = page.locator("table.operations tbody td").nth(quantile + 1)
        assert re.fullmatch(r"[\d.,]+ (ns|µs|ms|s)", cell.inner_text())
    rate = page.locator(".tile", has_text="Operations/s").locator(".tile-value")
    expect(rate).to_have_text(re.compile(r"^[1-9][\d.,]*/s$"))
    assert page.locator(".plot canvas").count() == 4
    # A line was drawn: the canvas of the first chart has a pixel of its colour.
    drawn = page.evaluate(
        """() => {
            const canvas = document.querySelector(".plot canvas");
            const pen = canvas.getContext("2d");
            const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
            let blue = 0;
            for (let i = 0; i < data.length; i += 4)
                if (data[i + 3] > 200 && data[i + 2] - data[i] > 120) blue += 1;
            return blue;
        }"""
    )
    assert drawn > 0

    work.end()
    exact = tel.get_snapshot().total_operations
    expect(page.locator("table.operations tbody td").nth(3)).to_have_text(f"{exact:,}")
    assert watched.complaints == []
    assert watched.hosts() == {f"127.0.0.1:{server.port}"}


class AppleSensor:
    """Says what the sensors of a Mac would."""

    name = "apple"

    def read(self):
        yield ResourceMetrics(ResourceKind.GPU_UTILIZATION, "active", "Apple M1", 42.0)
        yield ResourceMetrics(ResourceKind.FREQUENCY, "gpu", "Apple M1", 1.2e9, limit=1.278e9)
        yield ResourceMetrics(ResourceKind.POWER, "gpu", "Apple M1", 7.25)
        yield ResourceMetrics(ResourceKind.ENERGY, "gpu", "Apple M1", 12_500.0)
        yield ResourceMetrics(ResourceKind.TEMPERATURE, "gpu", "Apple M1", 61.5)
        yield ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", ThermalState.SERIOUS)
        yield ResourceMetrics(ResourceKind.BANDWIDTH, "total", "Apple M1", 34e9, limit=68e9)
        yield ResourceMetrics(ResourceKind.FAN_SPEED, "0", "", 1200.0, limit=5800.0)
        yield ResourceMetrics(ResourceKind.LOW_POWER_MODE, "system", "", 0)


def test_readings_are_shown_in_their_units(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    tel.add_sensor(AppleSensor())
    page = watched.page
    page.goto(server.url)
    meters = page.locator(".meter-row")
    for label, value, note in (
        ("GPU · active", "42.0 %", ""),
        ("Clock · gpu", "1.20 GHz", "93.9 % of 1.28 GHz"),
        ("Power · gpu", "7.25 W", ""),
        ("Energy · gpu", "12.5 kJ", ""),
        ("Temperature · gpu", "61.5 °C", ""),
        ("Thermal state", "serious", ""),
        ("Memory traffic · total", "34.0 GB/s", "50.0 % of 68.0 GB/s"),
        ("Fan · 0", "1,200 rpm", "20.7 % of 5,800 rpm"),
        ("Low-power mode", "off", ""),
    ):
        row = meters.filter(has_text=label)
        expect(row.locator(".value")).to_have_text(value)
        expect(row.locator(".meter-note")).to_have_text(note)
    gpu = page.locator(".tile", has_text="GPU utilisation").locator(".tile-value")
    expect(gpu).to_have_text("42.0%")
    assert watched.complaints == []


def test_hostile_names_are_shown_as_text(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    tel.record("execute", HOSTILE, duration_ns=1_000_000, device=HOSTILE)
    tel.record_custom_event(HOSTILE, {HOSTILE: HOSTILE})
    tel.record_custom_metric("hostile_total", 1, {"label": HOSTILE})
    page.goto(server.url)

    expect(page.locator("table.operations tbody th")).to_contain_text(HOSTILE)
    expect(page.locator("#events")).to_contain_text(HOSTILE)
    expect(page.locator("#custom")).to_contain_text(HOSTILE)
    assert page.locator("main img, main script").count() == 0
    assert watched.complaints == []
    assert watched.hosts() == {f"127.0.0.1:{server.port}"}


def test_before_the_first_operation_the_page_says_how_to_get_one(
    watched, server: RunningServer
) -> None:
    page = watched.page
    page.goto(server.url)
    expect(page.locator("#operations-body")).to_contain_text("No operations yet")
    expect(page.locator("#operations-body")).to_contain_text("metalscope run")
    gpu = page.locator(".tile", has_text="GPU utilisation").locator(".tile-value span").first
    expect(gpu).to_have_text("—")
    assert "no sensor" in (gpu.get_attribute("title") or "")
    assert watched.complaints == []


def test_pause_freezes_the_view_and_resume_catches_up(
    watched, server: RunningServer, tel: MetalTelemetryManager, work
) -> None:
    page = watched.page
    page.goto(server.url)
    expect(page.locator("table.operations tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(CONNECTION)).to_have_text("Paused")
    frozen = count_of(page, "matmul")
    # The stream goes on: two later snapshots have come, and the page shows neither.
    page.evaluate(
        """() => new Promise((resolve) => {
            const source = new EventSource("api/v1/events");
            let seen = 0;
            source.addEventListener("snapshot", () => {
                if (++seen === 3) { source.close(); resolve(); }
            });
        })"""
    )
    page.locator("#operations-filter").fill("mat")  # drawing again draws what is frozen
    assert count_of(page, "matmul") == frozen

    page.get_by_role("button", name="Resume").click()
    expect(page.locator(CONNECTION)).to_have_text("Live")
    assert wait_for_more(page, "matmul", frozen) > frozen
    assert watched.complaints == []


def test_the_page_finds_the_server_again_after_a_restart(
    watched, server: RunningServer, tel: MetalTelemetryManager, work
) -> None:
    page = watched.page
    page.goto(server.url)
    expect(page.locator(CONNECTION)).to_have_text("Live")
    server.stop()
    expect(page.locator(CONNECTION)).to_contain_text("Connection lost")

    again = start_server(tel, host="127.0.0.1", port=server.port)
    try:
        expect(page.locator(CONNECTION)).to_have_text("Live")
        before = count_of(page, "matmul")
        assert wait_for_more(page, "matmul", before) > before
    finally:
        again.stop()


def test_another_run_on_the_same_port_starts_from_nothing(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    tel.record("execute", "of the first run", duration_ns=1)
    tel.record_custom_event("event of the first run", {})
    page.goto(server.url)
    expect(page.locator("#events")).to_contain_text("event of the first run")
    server.stop()

    with MetalTelemetryManager() as second:
        second.record("execute", "of the second run", duration_ns=1)
        again = start_server(second, host="127.0.0.1", port=server.port)
        try:
            expect(page.locator("table.operations")).to_contain_text("of the second run")
            expect(page.locator("table.operations")).not_to_contain_text("of the first run")
            expect(page.locator("#events")).to_contain_text("No event has been recorded")
        finally:
            again.stop()


def test_the_table_sorts_filters_and_folds(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    for n in range(130):
        for _ in range(1 + n % 3):
            tel.record("execute", f"kernel_{n:03}", duration_ns=1_000 * (n + 1))
    page.goto(server.url)
    rows = page.locator("table.operations tbody tr")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Show all 130").click()
    expect(rows).to_have_count(130)

    page.get_by_role("button", name="Max", exact=True).click()
    expect(rows.first).to_contain_text("kernel_129")
    heading = page.locator("table.operations thead th", has_text="Max")
    expect(heading).to_have_attribute("aria-sort", "descending")
    heading.get_by_role("button").press("Enter")
    expect(rows.first).to_contain_text("kernel_000")
    expect(heading).to_have_attribute("aria-sort", "ascending")

    page.get_by_label("Filter operations").fill("kernel_07")
    expect(rows).to_have_count(10)
    page.get_by_label("Filter operations").fill("no such kernel")
    expect(page.locator("#operations-body")).to_contain_text("No operation fits the filter")
    assert watched.complaints == []


@pytest.mark.parametrize("width", [320, 375, 768, 1920])
def test_no_width_makes_the_page_scroll_sideways(
    width: int, watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    page.set_viewport_size({"width": width, "height": 812})
    tel.record("execute", "a_kernel_" + "with_a_long_name_" * 12, duration_ns=1, device="d" * 90)
    tel.record_custom_event("e" * 200, {"p" * 200: "v" * 400})
    tel.record_custom_metric("m" * 150, 1.5, {"label": "l" * 200}, "gauge")
    page.goto(server.url)
    expect(page.locator("table.operations tbody tr")).to_have_count(1)
    expect(page.locator("#events")).to_contain_text("eee")
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0


CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (colour) => {
        const [r, g, b] = rgb(colour).slice(0, 3).map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (rgb(colour)[3] === 255) return colour;
        }
        return "white";
    };
    const poor = [];
    let checked = 0;
    for (const node of document.querySelectorAll("body *")) {
        const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || !node.checkVisibility() || node.closest(".skip")) continue;
        const [a, b] = [luminance(getComputedStyle(node).color), luminance(ground(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        checked += 1;
        if (ratio < 4.5) poor.push(`${node.className || node.tagName}: ${ratio.toFixed(2)}`);
    }
    return [checked, poor];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_reaches_the_contrast_of_wcag_aa_in_both_themes(
    scheme: str, browser: Browser, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    for n in range(40):
        tel.record("execute", "matmul", duration_ns=10**n % 10**9, error="out_of_memory")
    tel.record_custom_event("checkpoint", {"step": 1})
    tel.record_custom_metric("loss", 0.5, {"split": "train"}, "gauge")
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(server.url)
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    expect(page.locator("table.operations tbody tr")).to_have_count(1)
    checked, poor = page.evaluate(CONTRAST)
    assert checked > 60
    assert poor == []
    moving = page.evaluate("document.getAnimations().length")
    assert moving == 0
    context.close()


def test_the_theme_button_overrules_the_system_and_is_remembered(
    watched, server: RunningServer
) -> None:
    page = watched.page
    page.emulate_media(color_scheme="light")
    page.goto(server.url)
    button = page.get_by_role("button", name="Theme")
    button.click()
    button.click()
    expect(button).to_have_text("Theme: dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert watched.complaints == []


def test_every_control_is_reached_by_the_keyboard(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    tel.record("execute", "matmul", duration_ns=1)
    page.goto(server.url)
    expect(page.locator("table.operations tbody tr")).to_have_count(1)
    reached = set()
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
        )
    assert {"skip", "pause", "theme", "operations-filter", "p95"} <= reached
    assert {"1 min", "5 min", "15 min", "metrics", "report"} <= reached


def test_a_page_that_opens_late_shows_what_happened_before(
    watched, server: RunningServer, tel: MetalTelemetryManager, work
) -> None:
    while len(tel.get_snapshot().recent.points) < 3:
        watched.page.wait_for_timeout(100)
    work.end()
    page = watched.page
    page.goto(server.url)
    expect(page.locator("#charts .chart-empty").first).to_be_hidden()
    known = page.evaluate("fetch('api/v1/recent').then((r) => r.json())")
    assert any(point[1] > 0 for point in known["points"][:-1])


def test_a_violation_of_the_policy_would_be_seen(watched, server: RunningServer) -> None:
    """The watch itself works: code the policy forbids does not run, and the console says so."""
    page = watched.page
    page.goto(server.url)
    expect(page.locator(CONNECTION)).to_have_text("Live")
    page.evaluate(
        "() => { const s = document.createElement('style'); s.textContent = 'body{color:red}';"
        " document.head.append(s); }"
    )
    page.wait_for_function("() => true")
    assert any("Content Security Policy" in text for text in watched.complaints)
