"""Every view, light, dark and on a phone, of a program that works, fails, logs and is traced."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

import metalscope
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.snapshot import ResourceKind, ResourceMetrics, ThermalState

pytestmark = pytest.mark.browser

MODES = {
    "light": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 812}, "color_scheme": "dark"},
}


class Mac:
    """Says what the sensors of a Mac would."""

    name = "mac"

    def read(self) -> Iterator[ResourceMetrics]:
        swing = time.monotonic() % 10
        yield ResourceMetrics(ResourceKind.GPU_UTILIZATION, "active", "Apple M1", 40 + swing)
        yield ResourceMetrics(ResourceKind.FREQUENCY, "gpu", "Apple M1", 1.2e9, limit=1.278e9)
        yield ResourceMetrics(ResourceKind.POWER, "gpu", "Apple M1", 7 + swing / 10)
        yield ResourceMetrics(ResourceKind.ENERGY, "gpu", "Apple M1", 100 * time.monotonic())
        yield ResourceMetrics(ResourceKind.TEMPERATURE, "gpu", "Apple M1", 60 + swing)
        yield ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", ThermalState.FAIR)
        yield ResourceMetrics(ResourceKind.BANDWIDTH, "total", "Apple M1", 34e9, limit=68e9)
        yield ResourceMetrics(ResourceKind.FAN_SPEED, "0", "", 1200.0, limit=5800.0)
        yield ResourceMetrics(ResourceKind.MEMORY, "active", "Apple M1", 2e9, limit=16e9)


@pytest.fixture(scope="module")
def tel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetalTelemetryManager]:
    own = tmp_path_factory.mktemp("pages") / "service.yml"
    own.write_text(
        "title: My service\n"
        "panels:\n"
        "  - {title: Tokens, type: line, series: [{measure: custom, name: tokens_total}]}\n"
        "  - {title: Now, type: stat, series: [{measure: operations}]}\n"
        "  - {title: How long, type: heatmap, series: [{measure: duration_ms}]}\n"
        "  - {title: Words, type: text, text: What this is about.}\n"
    )
    options = MetalTelemetryOptions(
        server={"enabled": True, "port": 0, "page": {"descriptions": [own]}},
        logging={"enabled": True, "sinks": [{"type": "stderr", "enabled": False}]},
        traces={"enabled": True, "sample_ratio": 1.0},
        alerts={"enabled": True},
    )
    with MetalTelemetryManager(options) as manager:
        manager.add_sensor(Mac())
        for step in range(30):
            with metalscope.correlation(f"request-{step}"), manager.span("request"):
                manager.record("execute", "attention", duration_ns=(1 + step % 7) * 10**6, nbytes=1)
                if step % 5 == 0:
                    manager.record("execute", "halve", duration_ns=10**5, error="out_of_memory")
            manager.record_custom_metric("tokens_total", 64)
        manager.record_custom_event("deployed", {"version": "1.2"})
        manager.log.warning("memory is short", pool="active")
        while len(manager.get_snapshot().recent.points) < 4:
            time.sleep(0.05)
        yield manager


@pytest.fixture
def page(browser: Browser, tel: MetalTelemetryManager, mode: str) -> Iterator[Page]:
    context = browser.new_context(**MODES[mode])
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


def grave(page: Page) -> list[str]:
    """What axe-core finds serious or worse, as one line each."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("mode", MODES)
def test_every_view_is_drawn_readable_by_all_and_quiet(
    page: Page, tel: MetalTelemetryManager, mode: str
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    assert tel.server is not None
    page.goto(f"{tel.server.url}/#/overview?range=1m")
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#views a", has_text="My service")).to_be_visible()
    faults: dict[str, list[str]] = {}
    titles = page.locator("#views a").all_inner_texts()
    assert len(titles) == 13
    for title in titles:
        link = page.locator("#views a", has_text=re.compile(f"^{title}$"))
        link.click()
        expect(link).to_have_attribute("aria-current", "page")
        expect(page.locator("main h2:visible").first).to_be_visible()
        # Nothing of it waits for an answer any more.
        expect(page.locator("main [aria-busy=true]")).to_have_count(0)
        faults[title] = grave(page)
        if page.evaluate("document.documentElement.scrollWidth - innerWidth") > 0:
            faults[title].append("is wider than the window")
    assert {title: found for title, found in faults.items() if found} == {}
    assert complaints == []
