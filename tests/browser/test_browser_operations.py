"""The views of operations and of a fleet: they show what happened, and the address keeps it."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.page.data import PageData
from metalscope.page.source import (
    Described,
    Durations,
    HostState,
    Line,
    Lines,
    OperationRow,
    Operations,
    SourceError,
    TimeRange,
    Wanted,
)
from metalscope.page_options import PageOptions
from metalscope.server import RunningServer, start_server

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror=alert(1)>"\\{{:%' + "long" * 40
MS = 1_000_000


@pytest.fixture
def tel() -> Iterator[MetalTelemetryManager]:
    options = MetalTelemetryOptions.model_validate({"tick_interval": "100ms"})
    with MetalTelemetryManager(options) as manager:
        yield manager


def do_work(tel: MetalTelemetryManager, server: RunningServer) -> None:
    """Record known operations, and wait until the past knows them."""
    for _ in range(40):
        tel.record("execute", "matmul", duration_ns=1 * MS, nbytes=1024, device="gpu0")
    for _ in range(20):
        tel.record("execute", "matmul", duration_ns=8 * MS)
    for n in range(10):
        tel.record("transfer", "copy", duration_ns=3 * MS, error="timeout" if n < 4 else None)
    tel.record("compile", HOSTILE, duration_ns=50 * MS, error="out_of_memory", device=HOSTILE)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{server.url}/api/v1/past/operations") as answer:
            total = json.load(answer)["total"]
        if total and total["operations"] == 71:
            return
        time.sleep(0.05)
    raise AssertionError("the past does not know what ran")


def table(page: Page) -> Locator:
    return page.locator(".operations-view")


def shown_rows(page: Page) -> list[list[str]]:
    rows = table(page).locator("tbody tr")
    return [[cell.strip() for cell in row.split("\t")] for row in rows.all_inner_texts()]


def names(page: Page) -> list[str]:
    return table(page).locator("tbody .operation-name").all_inner_texts()


def detail(page: Page) -> Locator:
    return page.locator(".detail")


def figure(page: Page, label: str) -> Locator:
    term = page.locator("dt").filter(has_text=re.compile(f"^{label}$"))
    return detail(page).locator(".figures div", has=term).locator("dd").first


def grave(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [one["id"] for one in found if one["impact"] in {"serious", "critical"}]


def test_the_table_says_what_ran_and_its_order_and_filters_are_in_the_address(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    do_work(tel, server)
    page = watched.page
    page.goto(f"{server.url}/#/operations?range=15m")
    expect(table(page).locator("tbody tr")).to_have_count(4)
    first, second, third, last = shown_rows(page)
    assert first[:4] == ["matmul", "execute", "gpu0", "40"]
    assert first[5:7] == ["0", "0 %"]
    assert first[-2:] == ["40.0 KiB", "—"]
    assert second[:4] == ["matmul", "execute", "—", "20"]
    assert third[:4] == ["copy", "transfer", "—", "10"]
    assert third[5:7] == ["4", "40.0 %"]
    assert last[0] == HOSTILE
    # Of what failed there are no percentiles: that is a dash which says why, and no zero.
    assert last[8:13] == ["—"] * 5
    assert float(second[10].split()[0]) == pytest.approx(8, rel=0.1)
    why = table(page).locator("tbody tr").last.locator("td").nth(8)
    expect(why).to_have_attribute("aria-label", "not known: none that went well was timed")

    table(page).get_by_role("button", name="p95").click()
    expect(page).to_have_url(re.compile(r"sort=p95_ms&order=descending"))
    assert names(page) == ["matmul", "copy", "matmul", HOSTILE]
    table(page).get_by_label("Failed only").check()
    table(page).get_by_role("searchbox").fill("COPY")
    expect(table(page).locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"failed=true&?.*filter=COPY|filter=COPY&?.*failed=true"))

    page.reload()
    expect(table(page).locator("tbody .operation-name")).to_have_text(["copy"])
    expect(table(page).locator("[aria-sort=descending]")).to_have_text("p95")
    table(page).get_by_role("searchbox").fill("no such thing")
    expect(table(page).get_by_text("No operation fits the filter.")).to_be_visible()
    assert watched.complaints == []
    assert watched.hosts() == {f"127.0.0.1:{server.port}"}


def test_an_operation_is_chosen_by_keyboard_and_back_leads_to_all(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    do_work(tel, server)
    page = watched.page
    page.goto(f"{server.url}/#/operations?range=1m&sort=name&order=ascending")
    expect(detail(page).locator("h2")).to_have_text("All operations")
    expect(figure(page, "Operations")).to_have_text("71")
    expect(figure(page, "Failed")).to_have_text("5")
    kinds = detail(page).locator(".failures .label")
    expect(kinds).to_have_text(["timeout", "out of memory"])
    expect(detail(page).locator(".failures .value")).to_have_text(["4 · 80.0 %", "1 · 20.0 %"])

    table(page).get_by_role("button", name="matmul").first.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(detail(page).locator("h2")).to_have_text("copy")
    expect(page).to_have_url(re.compile("operation=transfer%3Acopy%3A"))
    expect(page.locator(".row-button:focus")).to_have_text(re.compile("copy"))
    expect(page.locator(".row-button:focus")).to_have_attribute("aria-pressed", "true")
    expect(figure(page, "Operations")).to_have_text("10")
    expect(figure(page, "Error rate")).to_have_text("40.0 %")
    expect(kinds).to_have_text(["timeout"])

    # The six that went well are in the heat map and in the histogram, and can be read out.
    histogram = detail(page).get_by_role("application", name=re.compile("spread. 6 in all, p50"))
    expect(histogram).to_be_visible()
    heat = detail(page).get_by_role(
        "application", name=re.compile(r"^Durations over time.*Highest 6")
    )
    heat.focus()
    page.keyboard.press("Home")
    expect(detail(page).locator(".durations-chart [role=status]")).to_contain_text(" ms: ")
    for name in ("Operations per second", "Error rate", "Percentiles"):
        line = detail(page).get_by_role("application", name=re.compile(f"^{name}.* from "))
        expect(line).to_be_visible()

    traces = detail(page).get_by_role("link", name="Its traces")
    expect(traces).to_have_attribute("href", "#/traces?range=1m&name=copy")
    page.go_back()
    expect(detail(page).locator("h2")).to_have_text("All operations")
    expect(figure(page, "Operations")).to_have_text("71")
    assert watched.complaints == []


def test_an_address_opens_an_operation_with_a_hostile_name_on_a_phone(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    do_work(tel, server)
    page = watched.page
    page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 320, "height": 800})
    page.goto(f"{server.url}/#/operations?range=1m")
    table(page).get_by_role("button", name=HOSTILE[:20]).click()
    expect(detail(page).locator("h2")).to_have_text(HOSTILE)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(detail(page).locator("h2")).to_have_text(HOSTILE)
    expect(figure(page, "Failed")).to_have_text("1")
    expect(detail(page).locator(".failures .label")).to_have_text(["out of memory"])
    expect(detail(page).get_by_text("no durations are known of this time").first).to_be_visible()
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert grave(page) == []
    detail(page).get_by_role("button", name="All operations").click()
    expect(detail(page).locator("h2")).to_have_text("All operations")
    expect(table(page).get_by_role("searchbox")).to_be_focused()
    assert watched.complaints == []


def test_an_operation_of_no_device_is_told_apart_from_that_of_any(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    do_work(tel, server)
    page = watched.page
    histogram = detail(page).locator(".draw-histogram [role=application]")
    for operation, timed in (("execute:matmul:", 20), ("execute:matmul", 60), ("matmul", 60)):
        page.goto(f"{server.url}/#/operations?operation={operation}")
        expect(figure(page, "Operations")).to_have_text(str(timed))
        expect(histogram).to_have_attribute("aria-label", re.compile(f"{timed} in all"))
    page.goto(f"{server.url}/#/operations?operation=execute:unheard_of")
    expect(detail(page).get_by_text("It did not run in this time.")).to_be_visible()
    expect(figure(page, "p95")).to_have_text("—")
    assert watched.complaints == []


def test_what_goes_on_is_joined_by_time_and_by_the_edges_of_each_answer(
    watched, server: RunningServer
) -> None:
    watched.page.goto(server.url)
    join = "async (pieces) => (await import('./js/past.js')).join(...pieces, 10)"
    known = {"start": 8, "step": 2, "steps": 3, "edges_ms": [2, 4]}
    newer = {"start": 12, "step": 2, "steps": 2, "edges_ms": [1, 2, 4, 8]}
    joined = watched.page.evaluate(
        join,
        [
            {**known, "cells": [[0, 1, 9], [1, 0, 5], [1, 2, 6], [2, 1, 7]]},
            {**newer, "cells": [[0, 1, 3], [1, 4, 2]]},
        ],
    )
    assert [joined["start"], joined["steps"], joined["edges_ms"]] == [10, 3, [1, 2, 4, 8]]
    # Of each step what was last said, in the cell below the same edge as then.
    assert sorted(joined["cells"]) == [[0, 1, 5], [0, 3, 6], [1, 1, 3], [2, 4, 2]]

    line = {"kind": "execute", "name": "late", "device": "", "host": ""}
    begun = watched.page.evaluate(
        join,
        [
            {"start": 8, "step": 2, "lines": []},
            {"start": 12, "step": 2, "lines": [{**line, "values": [4, 5]}]},
        ],
    )
    assert [begun["start"], begun["lines"][0]["values"]] == [10, [None, 4, 5]]
    assert watched.complaints == []


def test_without_a_past_the_view_says_why(watched, tel: MetalTelemetryManager) -> None:
    server = start_server(tel, host="127.0.0.1", port=0, page=PageOptions(keep_past=False))
    try:
        page = watched.page
        page.goto(f"{server.url}/#/operations")
        expect(page.locator(".view .notice")).to_have_text(
            re.compile("There is no past.*keep_past is false")
        )
        expect(table(page)).to_be_hidden()
        assert watched.complaints == []
    finally:
        server.stop()


class Fleet:
    """Three hosts, of which one is ill; what ran now and an hour before."""

    hosts_named = ("calm:9464", HOSTILE, "ill:9464")

    def __init__(self) -> None:
        self.fails = False

    def describe(self) -> Described:
        return Described("prometheus", "http://db:9090", hosts=self.hosts_named)

    def lines(self, wanted: Wanted, within: TimeRange) -> Lines:
        values = [float(n % 7) for n in range(int((within.until - within.since) / within.step))]
        hosts = self.hosts_named if wanted.by == "host" else ("",)
        lines = tuple(Line(values, host=host) for host in hosts)
        return Lines(within.since.timestamp(), within.step.total_seconds(), lines)

    def operations(self, since: datetime, until: datetime, *, host: str, limit: int) -> Operations:
        if self.fails:
            raise SourceError("the database has gone away")
        is_now = time.time() - until.timestamp() < 1800
        went = OperationRow(
            "execute", "matmul", operations=1500 if is_now else 1000, p95_ms=3 if is_now else 4,
            mean_ms=1, p50_ms=1, p90_ms=2, p99_ms=5, p999_ms=6, max_ms=7,
        )  # fmt: skip
        fresh = OperationRow("execute", f"only {host or 'everywhere'}", operations=3)
        return Operations(went, (went, fresh) if is_now else (went,))

    def durations(self, wanted: Wanted, within: TimeRange) -> Durations:
        steps = int((within.until - within.since) / within.step)
        cells = ((0, 1, 5.0), (2, 2, 2.0))
        return Durations(
            within.since.timestamp(), within.step.total_seconds(), steps, (1, 2), cells
        )

    def hosts(self) -> tuple[HostState, ...]:
        calm, odd, ill = self.hosts_named
        return (
            HostState(calm, operations=10, error_rate=0.0, health="healthy", version="1.0"),
            HostState(odd, health="degraded", gpu_percent=50, power_watts=7.25),
            HostState(
                ill,
                operations=5,
                error_rate=0.25,
                p99_ms=12,
                memory_bytes=2**30,
                health="critical",
                components={"memory": "critical", "kernel": "healthy"},
                alerts=(("MetalLow", "low"), ("MetalMemory", "critical")),
            ),
        )

    def query(self, text: str, within: TimeRange, *, limit: int) -> Lines:
        raise ValueError(text)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def fleet_server(tel: MetalTelemetryManager, fleet: Fleet) -> Iterator[RunningServer]:
    page = PageData(fleet, kind="prometheus")
    running = start_server(tel, host="127.0.0.1", port=0, page=page)
    yield running
    running.stop()


def hosts(page: Page) -> Locator:
    return page.locator(".fleet-view tbody tr")


def test_a_fleet_begins_with_who_is_in_trouble_and_a_row_chooses_its_host(
    watched, fleet_server: RunningServer
) -> None:
    page = watched.page
    page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    page.goto(fleet_server.url)
    expect(hosts(page)).to_have_count(3)
    expect(page.locator(".fleet-view .hint")).to_have_text(re.compile("^3 hosts, 2 in trouble"))
    ill, odd, calm = (
        [cell.strip() for cell in row.split("\t")] for row in hosts(page).all_inner_texts()
    )
    assert ill[0] == "ill:9464"
    assert ill[2:] == [
        "5.00", "25.0 %", "—", "12.0 ms", "1.00 GiB", "—", "—",
        "critical: MetalMemory and 1 more", "—",
    ]  # fmt: skip
    assert "critical" in ill[1]
    assert odd[0] == HOSTILE
    assert odd[7:10] == ["50.0 %", "7.25 W", "none"]
    assert [calm[0], calm[-1]] == ["calm:9464", "1.0"]
    legend = page.locator(".chart", has_text="Error rate by host").locator(".legend-label")
    expect(legend).to_have_text(list(Fleet.hosts_named))
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)

    hosts(page).get_by_role("button", name="ill:9464").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("host=ill%3A9464"))
    expect(page.locator("#host")).to_have_value("ill:9464")
    expect(hosts(page).first.get_by_role("button")).to_have_attribute("aria-pressed", "true")
    page.set_viewport_size({"width": 320, "height": 800})
    assert grave(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.locator("main img, main script").count() == 0

    page.locator(".fleet-view").get_by_role("link", name="Its operations").click()
    expect(table(page).locator("tbody .operation-name").last).to_have_text("only ill:9464")
    expect(page.get_by_role("link", name="Its traces")).to_have_count(0)
    assert watched.complaints == []


def test_what_is_compared_with_stands_beside_the_figures_and_what_cannot_be_read_is_said(
    watched, fleet: Fleet, fleet_server: RunningServer
) -> None:
    page = watched.page
    page.goto(f"{fleet_server.url}/#/operations?range=5m&compare=1h&operation=execute:matmul")
    changes = table(page).locator("tbody tr").first.locator(".change")
    expect(changes).to_have_text(["+50 %", "\N{MINUS SIGN}25 %"])
    expect(changes.last).to_have_class(re.compile("better"))
    expect(changes.last).to_have_attribute("title", "against an hour before")
    new = table(page).locator("tbody tr").last.locator(".change")
    expect(new.first).to_have_text("new")
    chart = detail(page).locator(".chart", has_text="Operations per second")
    expect(chart.locator(".legend-label")).to_have_text(["this time", "an hour before"])
    expect(detail(page).locator(".figures .change").nth(6)).to_have_text("\N{MINUS SIGN}25 %")

    fleet.fails = True
    page.get_by_role("button", name="15 min").click()
    expect(page.locator(".view .notice")).to_have_text(
        "What ran cannot be read now: the database has gone away."
    )
    assert [text for text in watched.complaints if "502" not in text] == []
