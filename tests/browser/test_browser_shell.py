"""The frame of all views: the address, the time, the keys, and going from view to view."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from metalscope.manager import MetalTelemetryManager
from metalscope.server import RunningServer

pytestmark = pytest.mark.browser

CONNECTION = "#connection"


def chosen_view(page: Page) -> str:
    return page.locator("#views a[aria-current=page]").inner_text()


def chosen_range(page: Page) -> str:
    return page.locator("#ranges button[aria-pressed=true]").inner_text()


@pytest.fixture
def opened(watched, server: RunningServer, tel: MetalTelemetryManager) -> Page:
    tel.record("execute", "matmul", duration_ns=1_000_000)
    page = watched.page
    page.goto(server.url)
    expect(page.locator(CONNECTION)).to_have_text("Live")
    return page


def test_each_view_has_an_address_that_leads_back_to_it(opened: Page, watched) -> None:
    page = opened
    titles = page.locator("#views a").all_inner_texts()
    assert titles[:3] == ["Overview", "Operations", "Memory"]
    for title in titles:
        page.locator("#views a", has_text=re.compile(f"^{title}$")).click()
        expect(page.locator("#views a[aria-current=page]")).to_have_text(title)
        expect(page.locator("main h2:visible").first).to_be_visible()
    for title in reversed(titles[:-1]):
        page.go_back()
        expect(page.locator("#views a[aria-current=page]")).to_have_text(title)
    assert watched.complaints == []


def test_the_time_goes_along_from_view_to_view_and_is_in_the_address(opened: Page, watched) -> None:
    page = opened
    page.get_by_role("button", name="1 h", exact=True).click()
    page.locator("#views a", has_text="Memory").click()
    expect(page.locator("#views a[aria-current=page]")).to_have_text("Memory")
    assert page.evaluate("location.hash") == "#/memory?range=1h"
    page.reload()
    assert chosen_view(page) == "Memory"
    assert chosen_range(page) == "1 h"
    assert watched.complaints == []


def test_a_time_that_is_over_is_shown_and_left_again(opened: Page, watched) -> None:
    page = opened
    since = int(time.time()) - 600
    page.goto(page.url.split("#")[0] + f"#/overview?since={since}&until={since + 300}")
    expect(page.locator(CONNECTION)).to_have_text("The past")
    assert page.locator("#ranges button[aria-pressed=true]").count() == 0
    page.get_by_role("button", name="5 min", exact=True).click()
    expect(page.locator(CONNECTION)).to_have_text("Live")
    assert "since" not in page.evaluate("location.hash")
    assert watched.complaints == []


def test_a_time_is_chosen_to_the_second_and_a_wrong_one_is_refused(opened: Page, watched) -> None:
    page = opened
    page.locator("#time-more summary").click()
    page.get_by_label("From", exact=True).fill("2026-01-02T10:00:00")
    page.get_by_label("Until", exact=True).fill("2026-01-02T09:00:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".time-said")).to_have_text(
        "Until must be at least ten seconds after from."
    )
    page.get_by_label("Until", exact=True).fill("2026-01-02T11:00:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(CONNECTION)).to_have_text("The past")
    params = page.evaluate(
        "Object.fromEntries(new URLSearchParams(location.hash.split('?')[1]).entries())"
    )
    assert int(params["until"]) - int(params["since"]) == 3600
    assert watched.complaints == []


def test_single_keys_work_are_listed_and_can_be_switched_off(opened: Page, watched) -> None:
    page = opened
    page.keyboard.press("2")
    expect(page.locator("#views a[aria-current=page]")).to_have_text("Operations")
    page.keyboard.press("]")
    assert chosen_range(page) == "15 min"
    page.keyboard.press("p")
    expect(page.locator(CONNECTION)).to_have_text("Paused")
    page.keyboard.press("p")
    expect(page.locator(CONNECTION)).to_have_text("Live")

    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("A longer range")
    keys.get_by_label("Single keys are on").uncheck()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("1")
    page.keyboard.press("[")
    assert (chosen_view(page), chosen_range(page)) == ("Operations", "15 min")
    assert watched.complaints == []


def test_keys_typed_into_a_field_stay_there(opened: Page) -> None:
    page = opened
    page.keyboard.press("/")
    expect(page.locator("#operations-filter")).to_be_focused()
    page.keyboard.type("p2]")
    assert page.locator("#operations-filter").input_value() == "p2]"
    assert (chosen_view(page), chosen_range(page)) == ("Overview", "5 min")
    expect(page.locator(CONNECTION)).to_have_text("Live")


def test_the_link_that_skips_the_views_leads_into_the_content(opened: Page) -> None:
    page = opened
    page.keyboard.press("2")
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert chosen_view(page) == "Operations"


def test_a_view_that_is_not_there_gives_the_first(opened: Page, watched) -> None:
    page = opened
    page.goto(page.url.split("#")[0] + "#/no-such-view?x=<b>")
    expect(page.locator("#views a[aria-current=page]")).to_have_text("Overview")
    assert watched.complaints == []


def test_a_view_that_cannot_be_loaded_says_so(opened: Page) -> None:
    page = opened
    page.route("**/js/views/memory.js", lambda route: route.abort())
    page.locator("#views a", has_text="Memory").click()
    expect(page.get_by_role("alert")).to_contain_text("Memory could not be loaded")
    page.locator("#views a", has_text="Overview").click()
    expect(page.locator("#tiles")).to_be_visible()


def test_what_there_is_is_asked_for_until_it_is_answered(watched, server: RunningServer) -> None:
    page = watched.page
    page.route("**/api/v1/past", lambda route: route.fulfill(status=503, json={}), times=2)
    with page.expect_response(lambda answer: answer.url.endswith("/api/v1/past") and answer.ok):
        page.goto(f"{server.url}/#/logs")
        expect(page.locator(CONNECTION)).to_have_text("Live")
    assert sum(url.endswith("/api/v1/past") for url in watched.requested) == 3
