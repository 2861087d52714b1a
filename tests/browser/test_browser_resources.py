"""The views of memory, GPU, power and heat, and health, in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from pasts import SECOND, START, Program, opened
from playwright.sync_api import Browser, Locator, Page, expect

from metalscope import MetalTelemetryOptions
from metalscope.errors import CircuitOpenError, DeviceLostError
from metalscope.history import History
from metalscope.manager import MetalTelemetryManager
from metalscope.page.data import PageData
from metalscope.page.history_source import HistorySource
from metalscope.page.source import (
    Described,
    Durations,
    HostState,
    Line,
    Lines,
    Operations,
    TimeRange,
    Wanted,
)
from metalscope.page_options import PageOptions
from metalscope.server import RunningServer, start_server
from metalscope.snapshot import MemoryPressure, ResourceKind, ResourceMetrics, ThermalState

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
GIB = 2**30
SECONDS = 120
HALF = SECONDS // 2


def during(since: int, until: int) -> str:
    """The part of an address that says so, in seconds from the start."""
    begin = int(START.timestamp())
    return f"since={begin + since}&until={begin + until}"


PAST = during(0, SECONDS)


def readings(second: int) -> Iterator[ResourceMetrics]:
    """What the sensors of a Mac say over two minutes; the second minute is the hard one."""
    late = second >= HALF
    gpu = "gpu:0"
    yield ResourceMetrics(
        ResourceKind.MEMORY, "mlx_active", gpu, (6 if late else 2) * GIB, limit=8 * GIB
    )
    yield ResourceMetrics(ResourceKind.MEMORY, "mlx_cache", gpu, GIB)
    yield ResourceMetrics(ResourceKind.MEMORY, "buffers", "llvmpipe", 3 * GIB, limit=64 * GIB)
    yield ResourceMetrics(ResourceKind.HOST_MEMORY, "used", "", 12 * GIB, limit=16 * GIB)
    yield ResourceMetrics(ResourceKind.HOST_MEMORY, "process_resident", "", 5 * GIB)
    pressure = MemoryPressure.HIGH if late else MemoryPressure.LOW
    yield ResourceMetrics(ResourceKind.MEMORY_PRESSURE, "system", "", pressure)
    yield ResourceMetrics(ResourceKind.GPU_UTILIZATION, "active", gpu, 90.0 if late else 0.0)
    yield ResourceMetrics(ResourceKind.GPU_UTILIZATION, "tiler", gpu, 10.0)
    yield ResourceMetrics(ResourceKind.FREQUENCY, "gpu", gpu, 1.2e9, limit=1.278e9)
    yield ResourceMetrics(ResourceKind.CPU_UTILIZATION, "host", "", 25.0)
    yield ResourceMetrics(ResourceKind.RECOVERIES, "gpu", gpu, 5 if late else 4)
    yield ResourceMetrics(ResourceKind.POWER, "gpu", gpu, 10.0)
    yield ResourceMetrics(ResourceKind.POWER, "cpu", "", 2.0)
    yield ResourceMetrics(ResourceKind.ENERGY, "gpu", gpu, 500.0 + 10.0 * second)
    # The sensor of the processor was opened anew in the middle, and began at 0 again.
    joules = 2.0 * (second - HALF) if late else 1000.0 + 2.0 * second
    yield ResourceMetrics(ResourceKind.ENERGY, "cpu", "", joules)
    yield ResourceMetrics(ResourceKind.TEMPERATURE, "gpu", gpu, 91.0 if late else 61.5)
    yield ResourceMetrics(ResourceKind.FAN_SPEED, "0", "", 1200.0, limit=5800.0)
    heat = ThermalState.SERIOUS if late else ThermalState.NOMINAL
    yield ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", heat)
    yield ResourceMetrics(ResourceKind.LOW_POWER_MODE, "system", "", int(late))


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    program = Program()
    with opened(tmp_path_factory.mktemp("resources") / "past.db", program) as history:
        for second in range(1, SECONDS):
            program.passes(SECOND)
            history.append(program.snapshot(*readings(second)))
            if second % 8 == 7:  # it drops what it has no room for
                assert history.flush(30)
        assert history.dropped == 0
        yield history


@pytest.fixture(scope="module")
def still() -> Iterator[MetalTelemetryManager]:
    """Nothing happens in it: what is looked at is the past, or others."""
    with MetalTelemetryManager() as manager:
        yield manager


@pytest.fixture(scope="module")
def at_past(still: MetalTelemetryManager, past: History) -> Iterator[str]:
    running = start_server(still, host="127.0.0.1", port=0, page=PageData(HistorySource(past)))
    yield running.url
    running.stop()


def open_view(page: Page, url: str, view: str, query: str = PAST) -> None:
    page.goto(f"{url}/#/{view}?{query}")
    expect(page.locator("#view")).to_be_visible()


def chart(page: Page, title: str) -> Locator:
    named = page.locator(".chart-title", has_text=re.compile(f"^{re.escape(title)}$"))
    return page.locator("#view .chart").filter(has=named)


def card(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


def meter(page: Page, label: str) -> Locator:
    return page.locator("#view .meter-row").filter(has_text=label)


# -- memory ------------------------------------------------------------------------------------


def test_memory_has_a_chart_for_each_device_and_limits_where_they_are_near(
    watched, at_past: str
) -> None:
    page = watched.page
    open_view(page, at_past, "memory")
    gpu = chart(page, "Memory of gpu:0")
    expect(gpu.locator(".legend li")).to_have_text(
        ["mlx active6.00 GiB", "mlx cache1.00 GiB", "limit of mlx active8.00 GiB"]
    )
    other = chart(page, "Memory of llvmpipe")
    expect(other.locator(".legend li")).to_have_text(["buffers3.00 GiB"])
    # The other one's limit is far above it: it comes where it is asked for, and by the address.
    page.get_by_role("button", name="Up to the limits").click()
    expect(other.locator(".legend li")).to_have_text(["buffers3.00 GiB", "limit64.0 GiB"])
    assert "limits=all" in page.url
    page.reload()
    expect(other.locator(".legend li")).to_have_text(["buffers3.00 GiB", "limit64.0 GiB"])
    button = page.get_by_role("button", name="Up to the limits")
    expect(button).to_have_attribute("aria-pressed", "true")

    expect(chart(page, "Host memory").locator(".legend")).to_contain_text("12.0 GiB")
    resident = chart(page, "Resident memory of the process")
    expect(resident.locator(".legend")).to_contain_text("5.00 GiB")
    assert watched.complaints == []


def test_meters_of_a_past_say_what_was_last_and_highest_and_pressure_is_told_in_words(
    watched, at_past: str
) -> None:
    page = watched.page
    open_view(page, at_past, "memory")
    expect(card(page, "At the end of this time")).to_be_visible()
    active = meter(page, "mlx active · gpu:0")
    expect(active.locator(".value")).to_have_text("6.00 GiB")
    expect(active.locator(".meter-note")).to_have_text("75.0 % of 8.00 GiB · peak 6.00 GiB")
    expect(active.locator(".meter")).to_have_attribute("data-level", "high")
    expect(meter(page, "Memory pressure").locator(".value")).to_have_text("high")
    # What no sensor gave is named, and is no empty chart.
    expect(card(page, "Not read here")).to_contain_text("Memory traffic")
    expect(card(page, "Not read here")).to_contain_text("metalscope doctor")
    expect(chart(page, "Memory traffic")).to_be_hidden()
    # States are told in words, also as a list that keys open.
    strip = chart(page, "Memory pressure")
    expect(strip.locator(".strip-span")).to_have_text(["low", "high"])
    levels = strip.locator(".strip-span").evaluate_all("spans => spans.map(s => s.offsetHeight)")
    assert levels[0] < levels[1]  # told apart by more than a colour
    summary = strip.locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(strip.locator(".strip-list li")).to_have_text(
        [re.compile(r"low, .* \(1 min 0 s\)$"), re.compile(r"high, .* \(1 min 0 s\)$")]
    )
    assert watched.complaints == []


# -- GPU ---------------------------------------------------------------------------------------


def test_the_gpu_heat_map_has_a_row_for_each_engine_and_is_read_by_keys(
    watched, at_past: str
) -> None:
    page = watched.page
    open_view(page, at_past, "gpu")
    drawing = chart(page, "GPU utilisation by engine").get_by_role("application")
    drawing.focus()
    page.keyboard.press("End")
    said = chart(page, "GPU utilisation by engine").get_by_role("status")
    expect(said).to_contain_text("active: 90.0 %")
    page.keyboard.press("ArrowDown")
    expect(said).to_contain_text("tiler: 10.0 %")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    expect(said).to_contain_text("active: 0 %")

    lines = chart(page, "GPU utilisation")
    expect(lines.locator(".legend li")).to_have_text(["active90.0 %", "tiler10.0 %"])
    expect(chart(page, "GPU clock").locator(".legend")).to_contain_text("limit1.28 GHz")
    expect(page.locator(".restarts")).to_contain_text("restarted a GPU once in this time")
    cpu = chart(page, "CPU load, all processors together")
    expect(cpu.locator(".legend")).to_contain_text("25.0 %")
    assert watched.complaints == []


def test_where_no_sensor_reads_a_gpu_the_view_says_so_and_where_to_read_why(
    watched, server: RunningServer
) -> None:
    page = watched.page
    open_view(page, server.url, "gpu", "")
    absent = card(page, "Not read here")
    expect(absent).to_contain_text("GPU utilisation no sensor on this machine gives it")
    expect(absent.locator("code")).to_have_text("metalscope doctor")
    expect(chart(page, "GPU utilisation")).to_be_hidden()
    assert watched.complaints == []


# -- power and heat ----------------------------------------------------------------------------


def test_energy_is_what_was_used_in_this_time_and_states_are_told_over_it(
    watched, at_past: str
) -> None:
    page = watched.page
    open_view(page, at_past, "power")
    rows = card(page, "Energy used in this time").locator("tbody tr")
    # 118 s at 10 W; at 2 W but for the second in which the sensor was opened anew.
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_have_text(re.compile(r"gpu\s*1\.18 kJ\s*10\.0 W\s*10\.0 W"))
    expect(rows.nth(1)).to_have_text(re.compile(r"cpu\s*234 J\s*1\.98 W\s*2\.00 W"))
    expect(chart(page, "Power by rail").locator(".legend li")).to_have_text(
        ["cpu2.00 W", "gpu10.0 W"]
    )
    expect(chart(page, "Temperature").locator(".legend")).to_contain_text("91.0 °C")
    expect(chart(page, "Fans").locator(".legend")).to_contain_text("1,200 rpm")

    # Heat and saving are states over time.
    heat = chart(page, "Thermal state")
    expect(heat.locator(".strip-span")).to_have_text(["nominal", "serious"])
    expect(heat.locator(".hint")).to_contain_text("serious since")
    expect(chart(page, "Low-power mode").locator(".strip-span")).to_have_text(["off", "on"])
    # Another time, and only its states are there.
    open_view(page, at_past, "power", during(0, 40))
    expect(heat.locator(".strip-span")).to_have_text(["nominal"])
    assert watched.complaints == []


def test_a_span_before_is_drawn_beside_the_one_that_is_looked_at(watched, at_past: str) -> None:
    page = watched.page
    open_view(page, at_past, "power", f"{during(HALF, SECONDS)}&compare=previous")
    legend = chart(page, "Temperature").locator(".legend li")
    expect(legend).to_have_text(["gpu91.0 °C", "gpu, the span before61.5 °C"])
    assert watched.complaints == []


# -- health ------------------------------------------------------------------------------------


@pytest.fixture
def ill() -> Iterator[MetalTelemetryManager]:
    """Its device cannot be reached: a breaker is open, an objective is missed."""
    options = MetalTelemetryOptions(
        tick_interval=timedelta(milliseconds=100),
        health_monitor={
            "objectives": [{"name": "multiplications", "operation": "matmul*", "target": 0.99}],
            "circuit_breaker_threshold": 2,
        },
    )
    with MetalTelemetryManager(options) as tel:
        for n in range(20):
            error = "device_unavailable" if n % 2 else None
            tel.record("execute", "matmul", duration_ns=1_000_000, error=error)
        for _ in range(2):
            with pytest.raises(DeviceLostError), tel.breaker("shards", "device"):
                raise DeviceLostError("gone")
        with pytest.raises(CircuitOpenError), tel.breaker("shards", "device"):
            pass
        yield tel


def test_health_shows_reasons_what_stands_behind_them_and_how_it_came(
    watched, ill: MetalTelemetryManager
) -> None:
    running = start_server(ill, host="127.0.0.1", port=0)
    page = watched.page
    open_view(page, running.url, "health", "")
    device = card(page, "Health").locator(".component", has_text="Device")
    status = ill.get_snapshot().health.status.value
    expect(card(page, "Health").locator(".overall")).to_contain_text(status.capitalize())
    expect(device.locator(".status")).to_have_text(re.compile("degraded|critical"))
    expect(device.locator(".reasons")).to_contain_text("shards")
    # Its history says since when, and of before the program nothing.
    row = chart(page, "Status over time").locator(".strip-row", has_text="Device")
    expect(row.locator(".strip-span").last).to_have_attribute(
        "title", re.compile("^(degraded|critical), ")
    )

    breaker = card(page, "Circuit breakers").locator("tbody tr")
    expect(breaker).to_have_text(re.compile(r"shards.*✕ open.*device.*2.*1.*DeviceLostError"))
    objective = card(page, "Objectives").locator(".objective")
    expect(objective.locator("h3")).to_have_text("multiplications")
    expect(objective).to_contain_text("50.0 %")
    expect(objective).to_contain_text("The error budget is spent 50.0 times over.")
    expect(objective).to_contain_text("10 of 20 kept it")
    expect(objective.locator(".burn-rates")).to_contain_text("50.0 ×")
    events = card(page, "Latest health events")
    expect(events).to_contain_text("circuit breaker 'shards' is open")
    link = card(page, "What is to be expected").get_by_role("link", name="Forecasts")
    expect(link).to_have_attribute("href", "#/forecasts")
    running.stop()
    assert watched.complaints == []


# -- a fleet -----------------------------------------------------------------------------------


@dataclass
class Fleet:
    """Two hosts, as a store of metrics would have them."""

    asked: list[Wanted] = field(default_factory=list)

    def describe(self) -> Described:
        return Described("prometheus", "http://db:9090", hosts=("ada", HOSTILE))

    def lines(self, wanted: Wanted, within: TimeRange) -> Lines:
        self.asked.append(wanted)
        steps = int((within.until - within.since) / within.step)
        found = [
            Line(values=[value] * steps, kind=kind, name=name, device="gpu:0", host=host, unit=unit)
            for host, share in (("ada", 20.0), (HOSTILE, 80.0))
            for kind, name, unit, value in (
                ("gpu_utilization", "active", "percent", share),
                ("gpu_utilization", "tiler", "percent", share / 2),
                ("memory", HOSTILE, "bytes", share * GIB),
                ("power", HOSTILE, "watts", share),
            )
            if kind in (wanted.kind, f"gpu{wanted.kind.removeprefix('*')}")
            or (kind == "memory" and wanted.kind == "*memory*")
        ]
        chosen = [line for line in found if wanted.host in ("", line.host)]
        return Lines(within.since.timestamp(), within.step.total_seconds(), tuple(chosen))

    def operations(self, *_: object, **__: object) -> Operations:
        return Operations()

    def durations(self, wanted: Wanted, within: TimeRange) -> Durations:
        return Durations(within.since.timestamp(), within.step.total_seconds(), 0)

    def hosts(self) -> tuple[HostState, ...]:
        well = {"memory": "healthy", "device": "healthy"}
        return (
            HostState("ada", health="healthy", components=well),
            HostState(
                HOSTILE,
                health="critical",
                components={**well, "device": "critical"},
                alerts=(("MetalDeviceDown", "critical"),),
            ),
        )

    def query(self, text: str, within: TimeRange, *, limit: int) -> Lines:
        raise ValueError(text)


@pytest.fixture(scope="module")
def fleet(still: MetalTelemetryManager) -> Iterator[str]:
    running = start_server(still, host="127.0.0.1", port=0, page=PageData(Fleet()))
    yield running.url
    running.stop()


def test_of_a_fleet_the_gpu_heat_map_has_a_row_for_each_host(watched, fleet: str) -> None:
    page = watched.page
    page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    open_view(page, fleet, "gpu")
    title = "GPU utilisation by host, the busiest engine of each"
    drawing = chart(page, title).get_by_role("application")
    drawing.focus()
    page.keyboard.press("End")
    expect(chart(page, title).get_by_role("status")).to_contain_text(f"{HOSTILE}: 80.0 %")
    legend = chart(page, "GPU utilisation").locator(".legend li")
    expect(legend).to_have_text([f"{HOSTILE}80.0 %", "ada20.0 %"])
    # Of one host each engine.
    page.locator("#host").select_option("ada")
    expect(legend).to_have_text(["active20.0 %", "tiler10.0 %"])
    # Names are text wherever they stand.
    for view in ("memory", "power", "health"):
        open_view(page, fleet, view)
        expect(page.locator("#view")).to_contain_text(HOSTILE)
    assert page.locator("main img, main script").count() == 0
    assert watched.complaints == []


def test_of_a_fleet_health_is_that_of_each_host_the_worst_first(watched, fleet: str) -> None:
    page = watched.page
    open_view(page, fleet, "health", "")
    rows = card(page, "Health of hosts").locator("tbody tr")
    expect(rows.nth(0)).to_have_text(re.compile(r"✕ critical.*✓ healthy.*✕ critical.*1$"))
    expect(rows.nth(1)).to_have_text(re.compile(r"^ada\s*✓ healthy"))
    # What a host says nothing of is a dash with a reason.
    dash = rows.nth(1).locator("td").nth(3)
    expect(dash).to_have_text("—")
    expect(dash).to_have_attribute("title", "it says nothing of it")
    rows.get_by_role("link", name="ada").click()
    expect(rows).to_have_count(1)
    assert "host=ada" in page.url
    assert watched.complaints == []


# -- all of them -------------------------------------------------------------------------------


def test_without_a_past_the_views_say_why_and_show_what_is_read_now(
    watched, still: MetalTelemetryManager
) -> None:
    running = start_server(still, host="127.0.0.1", port=0, page=PageOptions(keep_past=False))
    page = watched.page
    for view in ("memory", "gpu", "power"):
        open_view(page, running.url, view, "")
        expect(page.locator("#view .notice")).to_contain_text("no past is kept")
    open_view(page, running.url, "memory", "")
    expect(card(page, "Now")).to_contain_text("host memory")
    running.stop()
    assert watched.complaints == []


DRAWN = {
    "memory": "Memory pressure",
    "gpu": "GPU utilisation by engine",
    "power": "Thermal state",
    "health": "Status over time",
}


@pytest.mark.parametrize(
    ("scheme", "width", "views"),
    [("light", 1280, ("gpu", "health")), ("dark", 320, ("memory", "power"))],
)
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(
    scheme: str, width: int, views: tuple[str, ...], browser: Browser, at_past: str
) -> None:
    context = browser.new_context(
        color_scheme=scheme, reduced_motion="reduce", viewport={"width": width, "height": 800}
    )
    page = context.new_page()
    for view in views:
        open_view(page, at_past, view)
        expect(chart(page, DRAWN[view])).to_be_visible()
        found = Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    context.close()
