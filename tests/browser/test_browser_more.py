"""Alerts, forecasts, events, the report and pages of one's own: they show what happened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

import metalscope
from health_source import Source, report_of
from metalscope.access.key_changes import KeyChanges
from metalscope.access.roles import Role
from metalscope.access_options import AccessOptions
from metalscope.forecast.robust import RobustForecaster
from metalscope.health_report import HealthStatus, Prediction, PredictionKind
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import Component
from metalscope.options import MetalTelemetryOptions
from metalscope.page.data import PageData
from metalscope.page.descriptions import load_descriptions
from metalscope.page.source import (
    Described,
    Durations,
    HostState,
    Line,
    Lines,
    OperationRow,
    Operations,
    TimeRange,
    Wanted,
)
from metalscope.page_options import PageOptions
from metalscope.server import RunningServer, start_server

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror=alert(1)>"\\{{|`&lt;' + "long" * 40
GIB = 2**30
RULES = [
    {
        "name": "FailedAgain",
        "expr": "sum by (name) (metal_errors_total) > 2",
        "severity": "high",
        "summary": "{name} has failed {value} times",
        "actions": ["Look at it."],
    },
    {"name": "NeverFires", "expr": "sum(metal_errors_total) > 1e9", "summary": "Too much"},
]
OPTIONS = {
    "tick_interval": "100ms",
    "server": {"enabled": True, "port": 0},
    "logging": {"enabled": True, "sinks": [{"type": "stderr", "enabled": False}]},
    "traces": {"enabled": True, "sample_ratio": 1.0},
    "alerts": {
        "evaluation_interval": "100ms",
        "sampling_interval": "100ms",
        "disabled_rules": ["Metal*"],
        "rules": RULES,
    },
}
PAGE = """
title: What matters
panels:
  - title: Load
    type: line
    width: 4
    about: Of all operations.
    series: [{measure: operations, label: "all"}, {measure: errors, label: "failed"}]
    thresholds: {warn: 3, bad: 9}
  - title: Tokens
    type: stat
    width: 1
    series: [{measure: custom, name: tokens_total, rate: true}]
    unit: tokens/s
    thresholds: {warn: 200, bad: 50}
  - {title: Each, type: table, width: 1, series: [{measure: p99_ms, by: operation}]}
  - {title: Over time, type: heatmap, series: [{kind: execute}]}
  - {title: Spread, type: histogram, series: [{kind: execute}]}
  - {title: Asked, query: up}
  - {title: Words, type: text, text: "One.\\n\\n<b>Two</b>"}
"""


@pytest.fixture
def tel() -> Iterator[MetalTelemetryManager]:
    with MetalTelemetryManager(MetalTelemetryOptions.model_validate(OPTIONS)) as manager:
        yield manager


@pytest.fixture
def server(tel: MetalTelemetryManager) -> RunningServer:
    """The program's own, which has its log and its traces."""
    assert tel.server
    return tel.server


def fail(tel: MetalTelemetryManager, name: str) -> None:
    for _ in range(3):
        tel.record("execute", name, duration_ns=1_000_000, error="timeout")


def card(page: Page, title: str) -> Locator:
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.locator("#view section").filter(has=heading)


def grave(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [one["id"] for one in found if one["impact"] in {"serious", "critical"}]


class Past:
    """A past that a test makes: memory that grows to its limit, and two operations."""

    def __init__(self, kind: str = "history") -> None:
        self.kind = kind
        self.known = 10_000

    def describe(self) -> Described:
        if self.kind == "prometheus":
            return Described("prometheus", "http://db:9090", hosts=("calm:1", HOSTILE))
        now = datetime.now(UTC)
        return Described("history", first=now - timedelta(days=9), last=now)

    def lines(self, wanted: Wanted, within: TimeRange) -> Lines:
        steps = int((within.until - within.since) / within.step)
        start, step = within.since.timestamp(), within.step.total_seconds()

        def answer(*lines: Line) -> Lines:
            return Lines(start, step, lines)

        if wanted.measure == "resource":
            if wanted.name not in {"*", HOSTILE}:
                return answer()
            values = [(1 + 6 * n / steps) * GIB for n in range(steps)]
            return answer(
                Line(values, "memory", HOSTILE, "m1", unit="bytes", ceiling=8.0 * GIB),
            )
        if wanted.measure == "custom":
            totals = [100.0 * step * n for n in range(steps)]
            return answer(Line(totals, "custom", "tokens_total"))
        if wanted.by == "operation":
            return answer(
                Line([7.0] * steps, "execute", "op7", "m1", unit="ms"),
                Line([5.0] * steps, "execute", "op5", "m1", unit="ms"),
            )
        value = 0.0 if wanted.measure == "errors" else 4.0
        known = min(self.known, steps)
        return answer(Line([None] * (steps - known) + [value] * known, unit="/s"))

    def operations(self, since: datetime, until: datetime, *, host: str, limit: int) -> Operations:
        return Operations(OperationRow(operations=4), ())

    def durations(self, wanted: Wanted, within: TimeRange) -> Durations:
        cells = ((0, 1, 6.0), (2, 2, 2.0))
        step = within.step.total_seconds()
        return Durations(within.since.timestamp(), step, 3, (1.0, 2.0, 4.0), cells)

    def hosts(self) -> tuple[HostState, ...]:
        return (
            HostState("calm:1", health="healthy"),
            HostState(
                HOSTILE,
                health="critical",
                alerts=(("MetalKernelFailures", "high"), ("MetalDeviceLost", "critical")),
            ),
        )

    def query(self, text: str, within: TimeRange, *, limit: int) -> Lines:
        raise ValueError("a history has no language of its own")


def test_an_alert_is_silenced_for_as_long_as_was_chosen_and_the_silence_is_ended(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    page.goto(f"{server.url}/#/alerts")
    active = card(page, "Active")
    expect(active).to_contain_text("Nothing fires, and nothing is about to.")
    expect(card(page, "Silences")).to_contain_text("Nothing is kept quiet.")
    expect(card(page, "What has fired")).to_contain_text("No alert has fired yet.")

    fail(tel, "matmul")
    expect(active.locator(".hint")).to_have_text("1 firing")
    line = active.locator(".alert")
    line.get_by_role("button", name="Acknowledge: matmul").click()
    expect(line.locator(".mark")).to_have_text("acknowledged by dashboard")
    line.get_by_role("button", name="Silence…: matmul").click()
    expect(line.get_by_label("For")).to_be_focused()
    page.keyboard.press("Escape")
    expect(line.get_by_role("button", name="Silence…: matmul")).to_be_focused()
    page.keyboard.press("Enter")
    line.get_by_label("For").select_option("4 hours")
    line.get_by_label("Why").fill("a new kernel \U0001f600 is tried out")
    page.keyboard.press("Enter")
    silences = card(page, "Silences").get_by_role("list", name="Silences", exact=True)
    expect(silences.locator("li.silence")).to_have_count(1)
    expect(silences).to_contain_text("by dashboard")
    expect(silences).to_contain_text("3 h 59 min more")
    expect(silences).to_contain_text("a new kernel \U0001f600 is tried out")
    expect(silences.locator(".matchers li")).to_have_text(
        ['alertname="FailedAgain"', 'name="matmul"']
    )
    assert tel.alerts
    [silence] = tel.alerts.silences()
    assert silence.ends_at - silence.starts_at == timedelta(hours=4)

    silences.get_by_role("button", name="End the silence").click()
    expect(card(page, "Silences")).to_contain_text("Nothing is kept quiet.")
    expect(card(page, "Silences").locator("summary")).to_have_text("1 that has ended")
    expect(line.get_by_role("button", name="Silence…: matmul")).to_be_visible()
    assert watched.complaints == []


def test_the_address_opens_an_alert_and_says_of_which_rule_the_history_is(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    fail(tel, HOSTILE)
    page.goto(f"{server.url}/#/alerts")
    active = card(page, "Active")
    active.locator("summary").click()
    expect(page).to_have_url(re.compile(r"alerts\?alert=[0-9a-f]+$"))
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(active.locator("details")).to_have_attribute("open", "")
    expect(active.locator("summary")).to_be_focused()
    expect(card(page, "The alert of the address")).to_have_count(0)

    rules = card(page, "Rules")
    expect(rules.locator(".rule-name")).to_have_text(["FailedAgain", "NeverFires"])
    expect(rules.locator(".rule-state")).to_have_text(["high · 1 firing", "medium · quiet"])
    rules.locator("summary").last.click()
    expect(rules).to_contain_text("sum(metal_errors_total) > 1e9")
    rules.get_by_role("link", name="What it has fired").last.click()
    history = card(page, "What has fired")
    expect(history).to_contain_text("No alert of NeverFires has fired.")
    history.get_by_role("combobox", name="Rule").select_option("FailedAgain")
    expect(page).to_have_url(re.compile("rule=FailedAgain"))
    expect(history.locator(".alert-title")).to_contain_text("has failed 3 times")
    active.get_by_role("searchbox").fill("no such thing")
    expect(active).to_contain_text("No alert fits the filter.")

    page.goto(f"{server.url}/#/alerts?alert=unheard-of")
    expect(page.locator("#view [role=status]:visible")).to_contain_text(
        ["unheard-of is not known here"]
    )
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.locator("main img, main script").count() == 0
    assert grave(page) == []
    assert [text for text in watched.complaints if "404" not in text] == []


def test_of_a_fleet_what_fires_is_told_by_host(watched, tel: MetalTelemetryManager) -> None:
    server = start_server(
        tel, host="127.0.0.1", port=0, page=PageData(Past("prometheus"), kind="prometheus")
    )
    try:
        page = watched.page
        page.goto(f"{server.url}/#/alerts")
        rows = card(page, "Firing").locator("tbody tr")
        expect(rows.locator("th")).to_have_text(["MetalDeviceLost", "MetalKernelFailures"])
        expect(rows.first).to_contain_text("✕ critical")
        expect(rows.first.get_by_role("link")).to_have_text(HOSTILE)
        expect(card(page, "Firing").locator(".hint")).to_contain_text("on 1 of 2 hosts")
        page.goto(f"{server.url}/#/alerts?host=calm%3A1")
        expect(card(page, "Firing")).to_contain_text("Nothing fires on any host.")
        assert watched.complaints == []
    finally:
        server.stop()


def predicting() -> Source:
    """A program that expects its memory to be full in two hours."""
    soon = datetime.now(UTC) + timedelta(hours=2)
    prediction = Prediction(
        PredictionKind.MEMORY_EXHAUSTED,
        subject=f"memory:{HOSTILE}:m1",
        message="memory reaches its limit of 8.0 GiB in 2 h",
        component=Component.MEMORY,
        at=soon,
        earliest=soon - timedelta(hours=1),
        confidence=0.9,
        value=8.0 * GIB,
        unit="bytes",
        evidence=("4.0 GiB of 8.0 GiB in use", HOSTILE),
    )
    return Source(replace(report_of(HealthStatus.HEALTHY), predictions=(prediction,)))


def test_what_is_to_come_is_told_with_its_evidence_and_drawn_with_its_band(watched) -> None:
    own = PageData(Past(), forecaster=RobustForecaster)
    server = start_server(predicting(), host="127.0.0.1", port=0, page=own)
    try:
        page = watched.page
        page.goto(f"{server.url}/#/forecasts?range=1h")
        told = card(page, "What the program expects").locator(".prediction")
        expect(told.locator("h3")).to_contain_text("Memory exhausted")
        for text in ("in 2 h", "possibly never", "90.0 % likely", "8.00 GiB", HOSTILE):
            expect(told).to_contain_text(text)
        charts = page.locator("#view figure")
        expect(charts.locator(".chart-title")).to_have_text(
            ["Operations per second", re.compile("^Memory: ")]
        )
        memory = charts.last
        expect(memory.locator(".chart-note")).to_contain_text(
            re.compile(r"Limit 8.00 GiB, reached at about .*at the soonest")
        )
        expect(memory.locator(".legend")).to_contain_text("90 % within the band")
        expect(memory.locator(".legend")).to_contain_text("limit")
        assert grave(page) == []

        told.get_by_role("link", name="Its forecast").click()
        expect(charts).to_have_count(1)
        expect(charts.locator(".chart-title")).to_have_text(re.compile("^Memory: "))
        charts.get_by_role("application").focus()
        page.keyboard.press("End")
        expect(charts.locator("[role=status]")).to_contain_text("forecast")
        page.get_by_role("combobox", name="Series").select_option("Mean duration")
        page.get_by_role("combobox", name="Ahead").select_option("5 minutes")
        expect(page).to_have_url(re.compile("series=duration&horizon=300"))
        page.reload()
        expect(charts.locator(".chart-title")).to_have_text("Mean duration")
        expect(charts.locator(".chart-note")).to_contain_text("about")
        expect(page.get_by_role("combobox", name="Ahead")).to_have_value("300")
        assert page.locator("main img, main script").count() == 0
        assert watched.complaints == []
    finally:
        server.stop()


def test_where_too_little_is_known_no_forecast_is_made_up(
    watched, tel: MetalTelemetryManager
) -> None:
    past = Past()
    past.known = 5
    own = PageData(past, forecaster=RobustForecaster)
    server = start_server(tel, host="127.0.0.1", port=0, page=own)
    try:
        page = watched.page
        page.goto(f"{server.url}/#/forecasts?series=operations")
        note = page.locator("#view .chart-note")
        expect(note).to_contain_text("No forecast: too little of the past is known")
        expect(page.locator("#view .legend")).not_to_contain_text("band")
        past.known = 10_000
        then = int(datetime.now(UTC).timestamp()) - 7200
        page.goto(f"{server.url}/#/forecasts?series=operations&since={then}&until={then + 1800}")
        expect(page.locator("#view .legend")).to_contain_text("what came4.00 /s")
        expect(page.locator(".choices .hint")).to_contain_text("at the end of this time")
        assert watched.complaints == []
    finally:
        server.stop()


def test_events_health_and_alerts_are_in_one_line_of_time_and_lead_to_their_log(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    page.goto(f"{server.url}/#/events")
    expect(page.locator("#view")).to_contain_text("Nothing")
    with metalscope.correlation("req-7"):
        tel.record_custom_event("saved", {"step": 3, HOSTILE: HOSTILE})
    tel.record_custom_event("another", {})
    fail(tel, "matmul")
    entries = page.locator(".entry")
    expect(entries.filter(has_text="fires: matmul has failed")).to_have_count(1)
    saved = entries.filter(has_text="saved")
    expect(saved).to_contain_text("step=3")
    expect(saved.get_by_role("link", name="Its log")).to_have_attribute(
        "href", "#/logs?correlation_id=req-7"
    )
    expect(saved.get_by_role("link", name="Its traces")).to_have_attribute(
        "href", "#/traces?correlation_id=req-7"
    )
    # The latest first.
    names = entries.locator("strong").all_inner_texts()
    assert names.index("another") < names.index("saved")

    saved.get_by_role("button", name="req-7").click()
    expect(entries.filter(has_not_text="req-7")).to_have_count(0)
    expect(page).to_have_url(re.compile("filter=req-7"))
    page.reload()
    expect(entries.first).to_contain_text("req-7")
    expect(page.get_by_role("searchbox").last).to_have_value("req-7")
    page.get_by_role("searchbox").last.fill("")
    kinds = page.get_by_role("group", name="Kinds")
    kinds.get_by_role("button", name="Events").click()
    expect(entries.filter(has_text="saved")).to_have_count(0)
    expect(entries.filter(has_text="fires: matmul")).to_have_count(1)
    expect(kinds.get_by_role("button", name="Events")).to_have_attribute("aria-pressed", "false")
    expect(page).to_have_url(re.compile("kinds=health%2Calert"))
    assert page.locator("main img, main script").count() == 0
    assert grave(page) == []
    assert watched.complaints == []


def test_the_report_is_shown_whole_and_saved_as_it_is(
    watched, server: RunningServer, tel: MetalTelemetryManager
) -> None:
    fail(tel, HOSTILE)
    page = watched.page
    page.goto(f"{server.url}/#/report")
    report = page.locator(".report")
    headings = report.locator("h3")
    expect(headings.first).to_have_text("Summary")
    told = [
        line[3:]
        for line in tel.generate_report().to_markdown().split("\n")
        if line.startswith("## ")
    ]
    assert headings.all_inner_texts() == told
    errors = report.locator("section", has=page.get_by_role("heading", name="Errors", exact=True))
    expect(errors.locator("tbody td").nth(1)).to_have_text(HOSTILE)
    expect(errors.locator("tbody td.num").last).to_have_text("3")
    for name, file in (("Markdown", "md"), ("Text", "txt"), ("JSON", "json")):
        with page.expect_download() as saving:
            report.get_by_role("link", name=name).click()
        assert saving.value.suggested_filename == f"metalscope-report.{file}"
    assert HOSTILE[:9] in Path(saving.value.path()).read_text()

    page.emulate_media(media="print")
    expect(report.get_by_role("button", name="Print")).to_be_hidden()
    expect(page.locator(".top")).to_be_hidden()
    expect(errors).to_be_visible()
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.locator("main img, main script").count() == 0
    assert grave(page) == []
    assert watched.complaints == []


def test_where_a_key_is_asked_for_the_report_is_saved_with_it(
    watched, tel: MetalTelemetryManager, tmp_path: Path
) -> None:
    _, given = KeyChanges(tmp_path / "keys.json").create("a person", Role.VIEWER)
    access = AccessOptions(keys_file=tmp_path / "keys.json")
    server = start_server(tel, host="127.0.0.1", port=0, access=access)
    try:
        page = watched.page
        page.goto(f"{server.url}/#/report")
        page.get_by_label("Key", exact=True).fill(given.text)
        page.keyboard.press("Enter")
        expect(page.locator(".report h3").first).to_have_text("Summary")
        with page.expect_download() as saving:
            page.locator(".report").get_by_role("link", name="Text").click()
        assert saving.value.suggested_filename == "metalscope-report.txt"
        assert Path(saving.value.path()).read_text().startswith("Metal production report")
        assert not [url for url in watched.requested if given.secret in url]
    finally:
        server.stop()


def test_a_page_of_ones_own_shows_its_panels_as_they_are_described(
    watched, tel: MetalTelemetryManager, tmp_path: Path
) -> None:
    (tmp_path / "mine.yml").write_text(PAGE)
    own = PageData(Past(), descriptions=load_descriptions([tmp_path]))
    server = start_server(tel, host="127.0.0.1", port=0, page=own)
    try:
        page = watched.page
        page.goto(f"{server.url}/#/page-mine")
        panels = page.locator(".own-panel")
        expect(panels.locator("h3")).to_have_text(
            ["Load", "Tokens", "Each", "Over time", "Spread", "Asked", "Words"]
        )
        load, tokens, each, over, spread, asked, words = panels.all()
        expect(load.locator(".own-word")).to_have_text("warning")
        expect(load.locator(".legend")).to_contain_text("all4.00 /s")
        expect(load.locator(".legend")).to_contain_text("warning3.00 /s")
        # 100 a second is between 200 and 50, of which the lower is the bad one.
        expect(tokens.locator(".own-value")).to_have_text(re.compile("100 tokens/s.*warning"))
        expect(each.locator("tbody tr")).to_have_text(
            [re.compile(r"op7.*7\.00 ms"), re.compile(r"op5.*5\.00 ms")]
        )
        heat = over.get_by_role("application", name=re.compile("Highest 6"))
        expect(heat).to_be_visible()
        expect(spread.get_by_role("application", name=re.compile("8 in all"))).to_be_visible()
        expect(asked).to_contain_text("a history has no language of its own")
        expect(words).to_contain_text("<b>Two</b>")
        box = [panel.bounding_box() for panel in (load, tokens)]
        assert box[0]
        assert box[1]
        assert box[0]["width"] > 3.9 * box[1]["width"]
        assert grave(page) == []
        page.set_viewport_size({"width": 320, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert [text for text in watched.complaints if "400 (Bad Request)" not in text] == []
    finally:
        server.stop()


def test_without_a_past_or_rules_the_views_say_why(watched) -> None:
    options = MetalTelemetryOptions.model_validate({"alerts": {"enabled": False}})
    with MetalTelemetryManager(options) as tel:
        server = start_server(tel, host="127.0.0.1", port=0, page=PageOptions(keep_past=False))
        try:
            page = watched.page
            page.goto(f"{server.url}/#/alerts")
            expect(page.locator("#view .notice")).to_contain_text("No rules are looked at here")
            page.goto(f"{server.url}/#/forecasts")
            expect(page.locator("#view .notice")).to_contain_text("There is no past")
            page.goto(f"{server.url}/#/events")
            expect(page.locator("#view")).to_contain_text("Nothing")
            assert watched.complaints == []
        finally:
            server.stop()
