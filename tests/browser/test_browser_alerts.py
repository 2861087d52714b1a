"""Alerts on the page: they appear, and what is clicked reaches the program."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from alert_samples import FIRING, RESOLVED
from alerts_at_hand import MILD, SourceWithAlerts
from metalscope.alert_report import Alert
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.server import start_server

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror=alert(1)>"\\{{' + "long" * 60
RULE = {
    "name": "FailedAgain",
    "expr": "sum by (name) (metal_errors_total) > 2",
    "severity": "high",
    "summary": "{name} has failed {value} times",
    "actions": ["Look at it.", HOSTILE],
    "runbook": "javascript:alert(1)",
}
OPTIONS = {
    "tick_interval": "100ms",
    "server": {"enabled": True, "port": 0},
    "alerts": {
        "evaluation_interval": "100ms",
        "sampling_interval": "100ms",
        "disabled_rules": ["Metal*"],
        "rules": [RULE],
    },
}


@pytest.fixture
def tel() -> Iterator[MetalTelemetryManager]:
    with MetalTelemetryManager(MetalTelemetryOptions.model_validate(OPTIONS)) as manager:
        yield manager


def fail(tel: MetalTelemetryManager, name: str) -> None:
    for _ in range(3):
        tel.record("execute", name, duration_ns=1_000_000, error="timeout")


def url_of(tel: MetalTelemetryManager) -> str:
    assert tel.server
    return tel.server.url


def of_the_program(tel: MetalTelemetryManager) -> Alert:
    assert tel.alerts
    [alert] = tel.alerts.active
    return alert


def card(page: Page) -> Locator:
    return page.locator("#alerts-card")


def test_an_alert_appears_and_is_acknowledged_and_silenced_by_clicks(
    watched, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    page.goto(url_of(tel))
    expect(card(page).locator("#alerts-hint")).to_have_text("None is active")
    expect(page).not_to_have_title(re.compile(r"^\("))

    fail(tel, "matmul")
    expect(card(page).locator("#alerts-hint")).to_have_text("1 firing")
    expect(page).to_have_title(re.compile(r"^\(1\) metalscope"))
    line = card(page).locator(".alert")
    expect(line.locator("summary")).to_contain_text("high")
    expect(line.locator("summary")).to_contain_text("matmul has failed 3 times")

    button = line.get_by_role("button", name="Acknowledge: matmul")
    button.focus()
    page.keyboard.press("Enter")
    expect(line.locator(".mark")).to_have_text("acknowledged by dashboard")
    expect(line.get_by_role("button", name="Unacknowledge: matmul")).to_be_focused()
    known = of_the_program(tel).acknowledged
    assert known
    assert known.by == "dashboard"

    line.get_by_role("button", name="Silence for 1 h").click()
    marks = line.locator(".mark")
    expect(marks).to_have_text(["acknowledged by dashboard", "silenced"])
    expect(line.locator(".alert-said")).to_contain_text("Silenced until")
    assert tel.alerts
    [silence] = tel.alerts.silences()
    assert {str(one) for one in silence.matchers} == {'alertname="FailedAgain"', 'name="matmul"'}
    assert (silence.ends_at - silence.starts_at).total_seconds() == 3600
    assert of_the_program(tel).silenced_by == (silence.id,)

    line.get_by_role("button", name="End silence").click()
    expect(line.locator(".alert-said")).to_have_text("The silence has ended.")
    expect(marks).to_have_text(["acknowledged by dashboard"])
    assert watched.complaints == []
    assert watched.hosts() == {f"127.0.0.1:{tel.server.port}"}  # type: ignore[union-attr]


@pytest.mark.parametrize("width", [320, 1280])
def test_hostile_text_is_text_and_the_address_opens_its_alert(
    width: int, watched, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    page.set_viewport_size({"width": width, "height": 812})
    page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    fail(tel, HOSTILE)
    page.goto(url_of(tel))
    line = card(page).locator(".alert")
    expect(line.locator("summary")).to_contain_text(HOSTILE[:40])
    line.get_by_role("button", name="Silence for 1 h").click()
    expect(line.locator(".mark")).to_have_text("silenced")

    page.goto(f"{url_of(tel)}/#alert={of_the_program(tel).id}")
    page.reload()
    expect(line.locator("details")).to_have_attribute("open", "")
    expect(line.locator("summary")).to_be_focused()
    expect(line.locator("li").filter(has_text=HOSTILE)).to_be_visible()
    assert page.locator("main img, main script, main a").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert watched.complaints == []


def test_what_is_over_is_in_the_history_and_found_by_its_address(watched) -> None:
    page = watched.page
    server = start_server(SourceWithAlerts(), host="127.0.0.1", port=0)
    try:
        page.goto(f"{server.url}/#alert={RESOLVED.id}")
        named = card(page).get_by_role("list", name="The alert of the address")
        expect(named.locator("details")).to_have_attribute("open", "")
        expect(named).to_contain_text("the condition no longer holds")
        assert named.get_by_role("button").count() == 0

        page.get_by_role("button", name="Recent alerts").click()
        past = card(page).get_by_role("list", name="Recent alerts")
        titles = [MILD.title, FIRING.title, RESOLVED.title]
        expect(past.locator(".alert-title")).to_have_text(titles)
        expect(page.get_by_role("button", name="Older")).to_be_hidden()
        assert watched.complaints == []
    finally:
        server.stop()
