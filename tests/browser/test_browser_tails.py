"""The views of the log and of traces: what a program said and did, as the page shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from metalscope.correlating import correlation
from metalscope.logs.record import Severity
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.traces.no_span import NoSpan

pytestmark = pytest.mark.browser

# Not enabled, so that nothing is said unasked.
LOG = {"level": "debug", "enable_stack_trace_logging": True}
HOSTILE = "<img src=x onerror=alert(1)>\n</script>"
SECOND_NS = 1_000_000_000
LONG_AGO = int(datetime.fromisoformat("2026-01-02T10:00:00Z").timestamp())
SOME_TIME = 2_100  # ms: after it the log is asked for again
CHOSEN = "#views a[aria-current=page]"


def started(**options: Any) -> MetalTelemetryManager:
    server = {"enabled": True, "port": 0, "page": {"log_records": 4000}}
    return MetalTelemetryManager(MetalTelemetryOptions(server=server, **options))


@pytest.fixture(scope="module")
def program() -> Iterator[MetalTelemetryManager]:
    """One that has said and done a little, and nothing since."""
    traces = {"enabled": True, "sample_ratio": 1.0}
    with started(logging=LOG, traces=traces) as tel:
        log = tel.log
        log.log(Severity.INFO, "long ago", at_ns=LONG_AGO * SECOND_NS)
        log.debug("looked up", key="k1")
        for order in ("order-1", "order-2"):
            with correlation(order), tel.span("request", attributes={"route": HOSTILE}) as span:
                assert not isinstance(span, NoSpan)
                with tel.operation("synchronize", "eval"), tel.operation("execute", "matmul"):
                    pass
                log.info("order taken", items=3, nested={"a": [1, {"b": "c"}]})
                span.add_event("taken", {"tokens": 7})
                if order == "order-2":
                    span.set_error("no such kernel")
                    try:
                        raise ValueError("no such kernel")
                    except ValueError:
                        log.exception("order failed", event="order.failed")
        log.warning(HOSTILE, note=HOSTILE)
        log.critical("no memory left")
        assert log.flush()
        yield tel


@pytest.fixture(scope="module")
def growing() -> Iterator[MetalTelemetryManager]:
    """One that goes on; each test looks at what it says itself."""
    with started(logging=LOG) as tel:
        yield tel


class Reading:
    """One page for all that only look at the program, and what its console complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def goto(self, hash_: str) -> Page:
        """Where one is already, only the address changes."""
        self.complaints.clear()
        self.page.goto(f"{self.url}{hash_}")
        return self.page


@pytest.fixture(scope="module")
def reading(browser: Browser, program: MetalTelemetryManager) -> Iterator[Reading]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    assert program.server is not None
    yield Reading(context.new_page(), program.server.url)
    context.close()


def opened(watched: Any, tel: MetalTelemetryManager, hash_: str) -> Page:
    page: Page = watched.page
    page.clock.install()
    assert tel.server is not None
    page.goto(f"{tel.server.url}{hash_}")
    return page


def bodies(page: Page) -> list[str]:
    return page.locator(".log-body").all_inner_texts()


def row(page: Page, text: str) -> Locator:
    return page.locator(".log-row", has=page.get_by_text(text, exact=True).first)


def say(tel: MetalTelemetryManager, what: str, first: int, count: int) -> None:
    for number in range(first, first + count):
        tel.log.info(f"{what} {number}")
    assert tel.log.flush()


def params(page: Page) -> dict[str, str]:
    return dict(
        page.evaluate("[...new URLSearchParams(location.hash.split('?')[1] ?? '').entries()]")
    )


# -- the log -----------------------------------------------------------------------------------


def test_what_was_said_stands_in_its_order_with_severity_in_words(reading: Reading) -> None:
    page = reading.goto("#/logs")
    expect(row(page, "no memory left")).to_be_visible()
    said = bodies(page)
    assert said[:3] == ["long ago", "looked up", "order taken"]
    assert said[-1] == "no memory left"
    severities = page.locator(".log-severity").all_text_contents()
    assert (severities[1], severities[-1]) == ("·debug", "◆critical")
    assert "ValueError: no such kernel" in row(page, "order failed").inner_text()
    serious = [
        one["id"]
        for one in Axe().run(page).response["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
    assert serious == []
    assert reading.complaints == []


def test_a_record_opens_to_all_that_is_known_of_it(reading: Reading) -> None:
    page = reading.goto("#/logs")
    line = row(page, "order failed").locator(".log-line")
    line.click()
    expect(line).to_have_attribute("aria-expanded", "true")
    details = row(page, "order failed").locator(".log-details")
    expect(details.get_by_role("region", name="Stack")).to_contain_text("in program")
    for fact in ("order.failed", "MainThread", "order-2", "error"):
        expect(details.get_by_text(fact, exact=True).first).to_be_visible()
    line.click()
    expect(details).to_have_count(0)

    row(page, "order taken").first.locator(".log-line").click()
    expect(page.locator(".log-details dd").nth(1)).to_contain_text('"b": "c"')
    assert reading.complaints == []


def test_a_record_leads_to_its_work_and_to_its_trace(reading: Reading) -> None:
    page = reading.goto("#/logs?severity=error&range=1h")
    row(page, "order failed").locator(".log-line").click()
    page.locator(".log-details").get_by_role("link", name="order-2").click()
    expect(page.get_by_label("Correlation", exact=True)).to_have_value("order-2")
    expect(page.locator(".log-body")).to_have_count(2)
    assert params(page) == {"range": "1h", "correlation_id": "order-2"}
    assert bodies(page) == ["order taken", "order failed"]

    row(page, "order failed").locator(".log-line").click()
    page.locator(".log-details dt", has_text="Trace").locator("+ dd a").first.click()
    expect(page.locator(CHOSEN)).to_have_text("Traces")
    expect(page.locator(".waterfall-row")).to_have_count(3)
    chosen = page.locator(".waterfall-row[aria-selected=true]")
    expect(chosen).to_contain_text("request")
    expect(page.locator(".waterfall-details h3")).to_have_text("request")
    page.get_by_role("link", name="Its log").click()
    expect(page.locator(CHOSEN)).to_have_text("Logs")
    expect(page.locator(".log-body")).to_have_count(2)
    assert reading.complaints == []


def test_the_link_of_a_record_is_copied(reading: Reading) -> None:
    page = reading.goto("#/logs?severity=error")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    row(page, "order failed").locator(".log-line").click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.url.split("#")[0] + "#/logs?correlation_id=order-2"


def test_records_are_chosen_and_the_address_says_so(reading: Reading) -> None:
    page = reading.goto("#/logs")
    page.get_by_label("Text").fill("ORDER")
    expect(row(page, "looked up")).to_have_count(0)
    page.get_by_label("Severity").select_option("error")
    expect(page.locator(".log-body")).to_have_count(1)
    assert bodies(page) == ["order failed"]
    assert params(page) == {"contains": "ORDER", "severity": "error"}
    page.reload()
    expect(page.locator(".log-body")).to_have_count(1)
    assert page.get_by_label("Text").input_value() == "ORDER"
    page.get_by_label("Text").fill("no such text")
    expect(page.get_by_text("No record fits the filters.")).to_be_visible()
    page.get_by_label("Trace", exact=True).fill("not-a-trace")
    expect(page.locator(".notice")).to_contain_text("32 hexadecimal digits")
    page.get_by_role("button", name="Clear the filters").click()
    expect(row(page, "looked up")).to_be_visible()
    expect(page.locator(".notice")).to_be_hidden()
    assert params(page) == {}
    # The browser itself says that the server refused.
    assert [one for one in reading.complaints if "400" not in one] == []


def test_hostile_texts_stay_texts(reading: Reading) -> None:
    page = reading.goto("#/logs?severity=warning")
    line = page.locator(".log-row[data-severity=warning] .log-line")
    line.click()
    expect(page.locator(".log-whole")).to_have_text(HOSTILE)
    expect(page.locator(".log-facts dd").first).to_have_text(HOSTILE)
    assert page.locator("main img").count() == 0
    assert reading.complaints == []


def test_records_are_walked_by_keys(reading: Reading) -> None:
    page = reading.goto("#/logs")
    expect(row(page, "no memory left")).to_be_visible()
    assert page.locator(".log-line[tabindex='0']").count() == 1
    page.get_by_role("region", name="Records of the log").focus()
    page.keyboard.press("Tab")
    last = row(page, "no memory left").locator(".log-line")
    expect(last).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    second = row(page, "looked up").locator(".log-line")
    expect(second).to_be_focused()
    page.keyboard.press("Enter")
    expect(second).to_have_attribute("aria-expanded", "true")
    assert page.locator(".log-line[tabindex='0']").count() == 1


def test_a_time_that_is_over_has_its_own_records(reading: Reading) -> None:
    page = reading.goto(f"#/logs?since={LONG_AGO - 60}&until={LONG_AGO + 60}")
    expect(page.locator(".log-body")).to_have_count(1)
    assert bodies(page) == ["long ago"]
    reading.goto(f"#/traces?since={LONG_AGO - 60}&until={LONG_AGO + 60}")
    expect(page.locator(".traces-view .empty")).to_have_text(
        "No trace of this time is kept any more, or there was none."
    )


def test_the_newest_are_followed_unless_one_reads_further_up(
    watched: Any, growing: MetalTelemetryManager
) -> None:
    say(growing, "followed", 0, 100)
    page = opened(watched, growing, "#/logs?contains=followed")
    expect(row(page, "followed 99")).to_be_in_viewport()
    say(growing, "followed", 100, 5)
    page.clock.fast_forward(SOME_TIME)
    expect(row(page, "followed 104")).to_be_in_viewport()

    page.locator(".log-box").evaluate("(box) => { box.scrollTop = 200; }")
    say(growing, "followed", 105, 3)
    page.clock.fast_forward(SOME_TIME)
    newer = page.get_by_role("button", name="3 newer")
    expect(newer).to_be_visible()
    assert row(page, "followed 107").count() == 0
    assert page.locator(".log-box").evaluate("(box) => box.scrollTop") == 200
    newer.click()
    expect(row(page, "followed 107")).to_be_in_viewport()
    expect(row(page, "followed 107").locator(".log-line")).to_be_focused()
    expect(newer).to_be_hidden()
    assert watched.complaints == []


def test_a_paused_page_asks_for_nothing_and_goes_on_where_it_was(
    watched: Any, growing: MetalTelemetryManager
) -> None:
    say(growing, "still", 0, 2)
    page = opened(watched, growing, "#/logs?contains=still")
    expect(row(page, "still 1")).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()
    say(growing, "still", 2, 2)
    asked = len([url for url in watched.requested if "api/v1/logs" in url])
    page.clock.fast_forward(3 * SOME_TIME)
    assert len([url for url in watched.requested if "api/v1/logs" in url]) == asked
    page.get_by_role("button", name="Resume").click()
    page.clock.fast_forward(SOME_TIME)
    expect(row(page, "still 3")).to_be_visible()
    assert bodies(page) == [f"still {number}" for number in range(4)]


def test_the_page_holds_the_latest_2000_records(
    watched: Any, growing: MetalTelemetryManager
) -> None:
    for first in (0, 500):
        say(growing, "many", first, 500)
    page = opened(watched, growing, "#/logs?contains=many")
    newest = page.locator(".log-row").last
    expect(newest).to_contain_text("many 999")
    for first in (1000, 1500, 2000):
        say(growing, "many", first, 500)
    page.clock.fast_forward(SOME_TIME)  # one answer has a thousand; the next is asked for at once
    expect(newest).to_contain_text("many 2499")
    expect(newest).to_be_in_viewport()
    assert page.locator(".log-row").count() == 2000
    assert watched.complaints == []


# -- traces ------------------------------------------------------------------------------------


def test_traces_are_listed_and_one_of_them_is_shown_as_it_ran(reading: Reading) -> None:
    page = reading.goto("#/traces")
    table = page.get_by_role("table", name="The latest traces")
    expect(table.locator("tbody tr")).to_have_count(2)
    first = table.locator("tbody tr").first
    expect(first).to_contain_text("✕ 1")
    expect(first).to_contain_text("order-2")
    first.get_by_role("button", name="request").click()
    expect(page.locator(".waterfall-row")).to_have_count(3)
    expect(first.get_by_role("button", name="request")).to_have_attribute("aria-pressed", "true")
    page.locator(".waterfall-row").first.click()
    details = page.locator(".waterfall-details")
    expect(details).to_contain_text("✕ Failed: no such kernel")
    expect(details).to_contain_text(HOSTILE)
    expect(details).to_contain_text("taken, at")
    serious = [
        one["id"]
        for one in Axe().run(page).response["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
    assert serious == []

    page.wait_for_function("() => location.hash.includes('span=')")
    before = page.evaluate("location.hash")
    page.locator(".waterfall-row").first.press("End")
    chosen = page.locator(".waterfall-row[aria-selected=true]")
    expect(chosen).to_contain_text("execute matmul")
    page.wait_for_function("(before) => location.hash !== before", arg=before)
    page.reload()
    expect(chosen).to_contain_text("execute matmul")
    expect(details.get_by_role("link", name="The operation over time")).to_have_attribute(
        "href", "#/operations?operation=execute%3Amatmul%3A"
    )
    page.get_by_role("button", name="Close the trace").click()
    expect(page.locator(".waterfall-row")).to_have_count(0)
    assert params(page) == {}
    page.go_back()
    expect(page.locator(".waterfall-row")).to_have_count(3)
    assert reading.complaints == []


def test_traces_are_chosen_and_sorted_and_the_address_says_so(reading: Reading) -> None:
    page = reading.goto("#/traces")
    rows = page.locator(".traces-view tbody tr")
    expect(rows).to_have_count(2)
    page.get_by_label("Outcome").select_option("false")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("order-1")
    page.get_by_label("Outcome").select_option("")
    page.get_by_label("Name").fill("MATMUL")
    page.get_by_label("Took at least, ms").fill("0.001")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Correlation").click()
    expect(rows.first).to_contain_text("order-1")
    expected = {"name": "MATMUL", "min_ms": "0.001", "sort": "correlation", "order": "ascending"}
    page.wait_for_function("() => location.hash.includes('min_ms')")
    assert params(page) == expected
    page.reload()
    expect(rows.first).to_contain_text("order-1")
    assert page.get_by_label("Name").input_value() == "MATMUL"
    rows.first.get_by_role("link", name="order-1").click()
    expect(rows).to_have_count(1)
    page.get_by_label("Took at least, ms").fill("600000")
    expect(page.get_by_text("No trace fits the filters.")).to_be_visible()
    assert reading.complaints == []


def test_a_trace_that_is_not_here_says_so(reading: Reading) -> None:
    page = reading.goto("#/traces?trace=<b>")
    expect(page.locator(".trace-view .notice")).to_contain_text("no trace has this id")
    assert page.locator(".trace-view .waterfall-row").count() == 0
    assert [one for one in reading.complaints if "404" not in one] == []


# -- where there is neither --------------------------------------------------------------------


def test_a_program_without_log_and_traces_says_how_they_are_switched_on(watched: Any) -> None:
    with started() as tel:
        page = opened(watched, tel, "#/logs")
        expect(page.locator(".notice")).to_have_text(
            re.compile(r"^There is no log to show: .*set logging\.enabled to true.*\.$")
        )
        expect(page.locator(".logs-view")).to_be_hidden()
        page.goto(page.url.split("#")[0] + "#/traces")
        expect(page.locator(".notice:visible")).to_have_text(
            re.compile(r"^There are no traces to show: .*set traces\.enabled to true\.$")
        )
        expect(page.locator(".traces-view")).to_be_hidden()
    assert watched.complaints == []
