"""The page over a real Prometheus: the hosts that it scrapes, and what they did."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from prometheus_at_hand import FLEET, LATE, a_fleet, prometheus_of

from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions

pytestmark = [pytest.mark.browser, pytest.mark.server]


@pytest.fixture(scope="module")
def tel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetalTelemetryManager]:
    with prometheus_of(a_fleet(), tmp_path_factory.mktemp("prometheus")) as prometheus:
        source = {"address": f"prometheus={prometheus.url}"}
        options = MetalTelemetryOptions(
            server={"enabled": True, "port": 0, "page": {"source": source}}
        )
        with MetalTelemetryManager(options) as manager:
            yield manager


def test_the_same_page_shows_a_fleet_and_each_host_of_it(
    watched, tel: MetalTelemetryManager
) -> None:
    page = watched.page
    assert tel.server is not None
    page.goto(f"{tel.server.url}/#/fleet?range=1h")
    hosts = page.locator("main table tbody tr")
    expect(hosts).to_have_count(len(FLEET))
    for host in FLEET:
        row = hosts.filter(has_text=host)
        expect(row).to_be_visible()
        expect(row).to_contain_text(re.compile(r"[\d.]+ %"))
    titles = page.locator("#views a").all_inner_texts()
    # What only a process knows of itself is not offered.
    assert titles[0] == "Fleet"
    assert not {"Overview", "Logs", "Traces", "Events", "Report"} & set(titles)

    for title in titles[1:]:
        page.locator("#views a", has_text=re.compile(f"^{title}$")).click()
        expect(page.locator("#views a[aria-current=page]")).to_have_text(title)
        expect(page.locator("main .card:visible, main .chart:visible").first).to_be_visible()

    page.goto(f"{tel.server.url}/#/operations?range=1h")
    page.get_by_label("Host", exact=True).select_option(LATE)
    assert f"host={LATE.replace(':', '%3A')}" in page.evaluate("location.hash")
    expect(page.locator("main table tbody tr", has_text="matmul").first).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == []
    assert watched.complaints == []
    assert watched.hosts() == {f"127.0.0.1:{tel.server.port}"}
